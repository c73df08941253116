"""Making ratings: live, through a provider's batch API, or on a Ray cluster."""
