"""What a seeker and a supporter said. Nothing is imported here: most modules import the value, few the formats."""
