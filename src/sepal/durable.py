"""Makes what is written survive a power cut; the standard library alone."""

import os
from pathlib import Path
from typing import IO


def flush(file: IO[bytes]) -> None:
    """Have what was written to an open file on the disk."""
    file.flush()
    os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(
    path: Path, content: bytes, mode: int | None = None, owner: tuple[int, int] | None = None
) -> None:
    """Write a file that is there whole or not at all; who may read it is settled before it has content.

    `owner` is its user and group. PermissionError if it can't be theirs.
    """
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        if owner is not None:
            os.fchown(file.fileno(), *owner)
        if mode is not None:
            os.fchmod(file.fileno(), mode)
        file.write(content)
        flush(file)
    new.rename(path)
    flush_folder(path.parent)
