"""What a file is, whatever its rows mean: where it comes from, how it is packed, and the rows in it."""
