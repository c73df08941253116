"""Dialogues, and reading them from files. Nothing is imported here: most modules need the value, few the formats."""
