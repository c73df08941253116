"""The location of rubrics and prompt templates: beside the package in a checkout, in `shipped/` once installed."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped(folder: str) -> Path:
    """Return the path of the shipped folder `prompts` or `rubrics`."""
    installed = _PACKAGE / "shipped" / folder
    return installed if installed.is_dir() else _PACKAGE.parent / folder
