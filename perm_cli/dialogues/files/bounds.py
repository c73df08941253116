"""How large a file may become in memory, where a few bytes can stand for gigabytes."""

import sys

_HARMLESS_UNPACKED = 16 * 2**20
_MOST_TIMES_PACKED = 100  # what people say packs to a third or a tenth of itself
_HARMLESS_PARSED = 2**29
_MOST_TIMES_TEXT = 12  # dialogues take two to four times as much in memory as their JSON, bare numbers up to nine
# Roughly what CPython spends on an object, a list, a string (it has two quotes) and the place of any value.
_COSTS = {b"{": 120, b"[": 60, b'"': 24, b",": 16}


def most_unpacked(packed: int, most: int = sys.maxsize) -> int:
    """Return how many bytes may come of so many packed ones: `most`, or fewer if nothing honest packs that well."""
    return min(most, max(_HARMLESS_UNPACKED, _MOST_TIMES_PACKED * packed))


def excess_of(text: bytes) -> str:
    """Return what is wrong with JSON that would take memory out of all proportion, or nothing."""
    parsed = len(text) + sum(cost * text.count(sign) for sign, cost in _COSTS.items())
    if parsed <= max(_HARMLESS_PARSED, _MOST_TIMES_TEXT * len(text)):
        return ""
    return f"{len(text):,} bytes of JSON found that would take about {parsed / 2**30:.1f} GiB of memory"
