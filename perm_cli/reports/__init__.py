"""What a run is shown as: a summary in numbers, tables in the terminal."""
