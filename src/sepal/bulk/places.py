"""Where a run puts what belongs to an output; the standard library alone."""

from pathlib import Path

REJECTED = "rejected.csv"
"""The name in the work folder of the rejected rows."""


def folder_of(output: Path) -> Path:
    """The hidden folder beside an output where a run that makes it works."""
    return output.parent / f".{output.name}.sepal"


def beside(output: Path, ending: str) -> Path:
    """A file that belongs to an output."""
    return output.parent / f"{output.name}.{ending}"
