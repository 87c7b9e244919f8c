"""What every command prints through."""

from rich.console import Console
from rich.table import Table

console = Console()
_aside = Console(stderr=True)

_WIDE = 240
"""Columns of a table that no terminal bounds: in a file or a pipe no name is cut short."""


def show(table: Table) -> None:
    """Print a table."""
    (console if console.is_terminal else Console(width=_WIDE)).print(table)


def say(line: str) -> None:
    """Print a line as it is, however long."""
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def say_aside(line: str) -> None:
    """Print a line to standard error: standard output is the log's."""
    _aside.print(line, soft_wrap=True, highlight=False, markup=False)
