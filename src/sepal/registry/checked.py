"""A version that is to answer: checked while others may write, then taken under the write lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from sqlalchemy import Connection

from sepal.errors import RegistryError
from sepal.registry.registry import Registry
from sepal.registry.versions import Version

Check: TypeAlias = Callable[[Version], object]
"""Raises ArtefactError for a version that can't answer. What can is known above the registry."""

Choose: TypeAlias = Callable[[Connection], Version | None]
"""The version that is meant, as things are; None if nothing has to be done, an error if it may not be."""

_ATTEMPTS = 5
"""Only versions whose files are changed all the time need more."""


@contextmanager
def writing_checked(
    registry: Registry, choose: Choose, check: Check
) -> Iterator[tuple[Connection, Version | None]]:
    """A transaction that holds the write lock, and the version that was chosen and is found to answer.

    To read, load and try a version takes seconds, or minutes if it is big, in which others
    must be able to write. So it is done between two transactions, and once more if the
    second finds another version chosen, or its files changed.
    """
    for _ in range(_ATTEMPTS):
        with registry.writing() as connection:
            chosen = choose(connection)
        seen = None if chosen is None else registry.artefacts.stamp(chosen)
        if chosen is not None:
            registry.artefacts.check(chosen)
            check(chosen)
        with registry.writing() as connection:
            version = choose(connection)
            if version is None or registry.artefacts.stamp(version) == seen:
                yield connection, version
                return
    raise RegistryError(
        f"{chosen.tag if chosen else 'The version'} was changed {_ATTEMPTS} times while it was looked at. "
        "See who else is at work on it, and try again."
    )
