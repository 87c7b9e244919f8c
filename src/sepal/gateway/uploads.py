"""Receives files onto the disk, never whole in memory; what breaks off leaves nothing."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import HTTPException
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from sepal.durable import flush, flush_folder
from sepal.errors import ClientGoneError, OverloadedError, StorageError
from sepal.jobs import folders
from sepal.settings import Settings


@dataclass(frozen=True)
class Upload:
    """A file that was received, in a folder of its own; `digest` tells it from others."""

    folder: Path
    digest: str

    def move_to(self, folder: Path) -> None:
        """Put it in its place, unless an earlier try has put the same there."""
        with _told():
            try:
                self.folder.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                folders.remove(self.folder)
            flush_folder(folder.parent)


class Uploads:
    """The uploads of this process, a bounded number at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._under_way = 0

    async def receive(self, chunks: AsyncIterator[bytes], name: str) -> Upload:
        """Keep a body under a name, durably. OverloadedError, StorageError, ClientGoneError."""
        if self._under_way >= self._settings.jobs_uploads:
            raise OverloadedError(f"{self._under_way} files are being uploaded already. Try again shortly.")
        self._under_way += 1
        folder: Path | None = None
        try:
            with _told():
                folder = await run_in_threadpool(folders.incoming, self._settings, secrets.token_hex(8))
                return Upload(folder, await _write(chunks, folder / name))
        except BaseException as error:
            if folder is not None:
                folders.remove(folder)
            if isinstance(error, ClientDisconnect):
                raise ClientGoneError("The client has gone before its file was whole.") from error
            raise
        finally:
            self._under_way -= 1


async def _write(chunks: AsyncIterator[bytes], path: Path) -> str:
    digest, size = hashlib.sha256(), 0
    with path.open("xb") as file:
        async for chunk in chunks:
            digest.update(chunk)
            size += await run_in_threadpool(file.write, chunk)
        if not size:
            raise HTTPException(400, "The body is empty. Send a file to score.")
        await run_in_threadpool(flush, file)
    await run_in_threadpool(flush_folder, path.parent)
    return digest.hexdigest()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"The file can't be kept: {error.strerror}.") from error
