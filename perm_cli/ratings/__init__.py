"""What one judge says of one dimension of one turn, and the run folder that keeps it."""
