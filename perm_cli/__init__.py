"""Score how empathetic a supporter's reply is, from every side of the conversation."""

__version__ = "0.1.0"
