"""Artefacts on their way out: set aside first, deleted once no record speaks of them.

A database and a file system have no transaction in common. So an artefact is moved aside
under the write lock, its record is removed and committed, and only then is it deleted.
Killed in between, the next writer sees by the record which way it went.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sepal.durable import flush_folder
from sepal.errors import RegistryError
from sepal.registry.artefacts import ArtefactStore

_ASIDE = "aside"


def set_aside(store: ArtefactStore, tag: str) -> None:
    """Move a tag's artefact to where `settle` finds it. For the holder of the write lock."""
    folder = store.folder(tag)
    if not folder.exists():
        return
    aside = store.home / _ASIDE
    with _told(folder):
        aside.mkdir(exist_ok=True)
        folder.rename(aside / tag)
        flush_folder(aside)
        flush_folder(folder.parent)


def is_unsettled(store: ArtefactStore) -> bool:
    """Whether a command was killed, or is at work, between setting aside and deleting."""
    aside = store.home / _ASIDE
    return aside.is_dir() and any(aside.iterdir())


def settle(store: ArtefactStore, is_recorded: Callable[[str], bool]) -> None:
    """Give each artefact that was set aside its place back if it is recorded, else delete it.

    For the holder of the write lock, who sees the record as it was committed. RegistryError
    if the file system does not let it.
    """
    aside = store.home / _ASIDE
    if not aside.is_dir():
        return
    with _told(aside):
        for folder in aside.iterdir():
            if is_recorded(folder.name):
                store.place(folder, folder.name)
            else:
                shutil.rmtree(folder)


@contextmanager
def _told(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RegistryError(
            f"What is in {place} can't be moved or removed: {error}. Until it can, nothing is changed: "
            "let the user who runs Sepal write there."
        ) from error
