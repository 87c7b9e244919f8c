"""A work folder for one run alone, and what is told of a place that can't be written."""

import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from sepal.errors import OutputBusyError, StorageError
from sepal.user import user_name

LOCK = "lock"
"""The name of the file in the folder that the run which has it holds locked."""


def discard(folder: Path) -> None:
    """Remove what an unfinished run has left, unless another run is at it."""
    if folder.is_dir():
        with suppress(OutputBusyError), locked(folder):
            shutil.rmtree(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a work folder alone, made if it is not there; OutputBusyError naming who else has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(lock.fileno()), (folder / LOCK).stat()):
                raise FileNotFoundError("another run has just removed it")
        except OSError as error:
            lock.seek(0)
            raise OutputBusyError(
                f"Another run is writing this output: {lock.read().strip() or 'just started'}. "
                f"Wait for it or stop it. Its work folder is {folder}."
            ) from error
        lock.truncate(0)
        started = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lock.write(f"process {os.getpid()} of {user_name()} on {socket.gethostname()}, since {started}")
        lock.flush()
        yield


@contextmanager
def no_space(folder: Path) -> Iterator[None]:
    """Tell of a full disk, or a place that can't be written, as a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageError(
                f"No space is left for {folder}. Nothing is published, and what is done is kept: make room "
                "and give the same command again."
            ) from error
        raise StorageError(
            f"{error.filename or folder} can't be written: {error.strerror or error}."
        ) from error
