"""Limits on the memory that a file may take, since a few compressed or nested bytes can stand for gigabytes."""

import sys

_HARMLESS_UNPACKED = 16 * 2**20
_MOST_TIMES_PACKED = 100  # natural language compresses 3 to 10 times; far more is an attack
_HARMLESS_PARSED = 2**29
_MOST_TIMES_TEXT = 12  # dialogues take two to four times as much in memory as their JSON, bare numbers up to nine
# Bytes that CPython takes, roughly, per object, list, quote (a string has two) and value in a container.
_COSTS = {b"{": 120, b"[": 60, b'"': 24, b",": 16}


def most_unpacked(packed: int, most: int = sys.maxsize) -> int:
    """Return the limit of bytes after decompression: `most`, or less where no natural text compresses that well."""
    return min(most, max(_HARMLESS_UNPACKED, _MOST_TIMES_PACKED * packed))


def excess_of(text: bytes) -> str:
    """Return the message for JSON that would take disproportionate memory, or an empty text."""
    parsed = len(text) + sum(cost * text.count(sign) for sign, cost in _COSTS.items())
    if parsed <= max(_HARMLESS_PARSED, _MOST_TIMES_TEXT * len(text)):
        return ""
    return f"{len(text):,} bytes of JSON found that would take about {parsed / 2**30:.1f} GiB of memory"
