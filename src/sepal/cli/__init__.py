"""The command line: reads arguments and settings, calls the parts, prints, and sets the exit code."""

from sepal.cli.commands import main

__all__ = ["main"]
