"""The command line: reads arguments and settings, calls the parts, prints, and sets the exit code.

What starts quickly stays quick: at the top of their modules commands import what describes
their arguments. What only one of them works with, or only some inputs, is imported where
it is used; `tests/cli/test_imports.py` says what must not come along.
"""

from typing import NoReturn

from sepal import garbage


def main() -> NoReturn:
    """The `sepal` command."""
    garbage.look_seldom()
    from sepal.cli.commands import main as run

    run()
