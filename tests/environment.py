"""Environments for the processes that tests start: nothing of who runs the tests is set in them."""

import os


def clean(**settings: object) -> dict[str, str]:
    """This process's environment with these settings of Sepal and no others."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("SEPAL_")}
    return others | {f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()}
