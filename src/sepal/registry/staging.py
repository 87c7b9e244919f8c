"""Folders in which artefacts are made, each locked by whoever works in it."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp


@contextmanager
def locked_folder(parent: Path) -> Iterator[Path]:
    """A new folder, locked for as long as this process lives and works in it, then removed.

    Those of trainings that were killed, whose locks the kernel let go, are removed too.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / "lock").open("w") as making:
        fcntl.flock(making, fcntl.LOCK_EX)
        _sweep(parent)
        folder = Path(mkdtemp(dir=parent))
        lock = (folder / "lock").open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _sweep(parent: Path) -> None:
    for folder in (path for path in parent.iterdir() if path.is_dir()):
        try:
            with (folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder)
        except OSError:
            continue  # somebody works in it, or is removing it
