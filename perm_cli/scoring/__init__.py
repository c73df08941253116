"""How ratings are made: live, in batches of a provider, or on a Ray cluster."""
