"""Ratings, each by one judge of one dimension of one turn, and the run folder that stores them."""
