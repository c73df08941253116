"""Tables that grow with the input, kept on disk: a temporary SQLite database that vanishes with its connection."""

import sqlite3

_CACHE_KIB = 8 * 1024


def scratch() -> sqlite3.Connection:
    """Open a database of one's own; it is in memory up to 8 MiB, the rest in the temporary folder of the system."""
    database = sqlite3.connect("", isolation_level=None)
    for pragma in (f"cache_size = -{_CACHE_KIB}", "journal_mode = OFF", "synchronous = OFF", "temp_store = FILE"):
        database.execute(f"PRAGMA {pragma}")
    # One transaction for good: nobody else reads it and nothing needs to be kept, and each end of one costs a write.
    database.execute("BEGIN")
    return database
