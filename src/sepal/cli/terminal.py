"""What every command prints through."""

import os
import sys

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


def drop_what_nobody_takes() -> None:
    """Drop what could not be printed, as on a full disk: Python would try once more, and end with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
