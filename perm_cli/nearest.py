"""What to write in place of a name that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches

_TYPO = 0.85  # of two names that are one but for a slip


def expected_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that is nearest, or all of them where none is near."""
    names = list(known)
    near = get_close_matches(name.lower(), names, 1)
    return near[0] if near else f"one of {', '.join(names)}"


def misspelt(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was surely meant, None if another one may have been."""
    names = list(known)
    near = [] if name in names else get_close_matches(name, names, 1, _TYPO)
    return near[0] if near else None
