"""Names of categories and labels, which files must be able to hold."""

from collections.abc import Sequence

from sepal.errors import ConfigurationError


def check_names(of: str, names: Sequence[str]) -> None:
    """ConfigurationError if a name is nothing but blanks, or two are alike but for blanks around them.

    In files blanks around a value do not count, and a blank value is a missing one.
    """
    first: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise ConfigurationError(
                f"{of} can't have {name!r}: in files a blank value is a missing one. Give it a name, or "
                "let it be missing."
            )
        if (other := first.setdefault(name.strip(), name)) != name:
            raise ConfigurationError(
                f"{of} can't have both {other!r} and {name!r}: in files blanks around a value do not "
                "count. Keep one."
            )
