"""Files independent of any format: where they come from, how they are packed, and the rows in them."""
