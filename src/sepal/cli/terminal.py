"""What every command prints through."""

from rich.console import Console

console = Console()


def say(line: str) -> None:
    """Print a line as it is, however long."""
    console.print(line, soft_wrap=True, highlight=False, markup=False)
