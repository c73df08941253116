"""Judges, systems and people side by side, over tables of scores."""
