"""What pyarrow knows of files: file systems by URL, folders, and compressed text.

A plain file on this machine needs none of it, and so `bulk/files.py` imports it where it
is used: pyarrow's import takes a twentieth of a second.
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.fs

from sepal.bulk.formats import public
from sepal.errors import DataError, SourceAwayError


def filesystem_of_url(url: str) -> tuple[Any, str]:
    """The file system of a URL, None for this machine's own, and the path on it."""
    try:
        filesystem, path = pa.fs.FileSystem.from_uri(url)
    except OSError as error:  # of a store of objects, where its bucket is
        raise SourceAwayError(f"{public(url)} can't be reached: {error}") from error
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{public(url)} is no address that can be read: {error}") from error
    return None if isinstance(filesystem, pa.fs.LocalFileSystem) else filesystem, path


def known(filesystem: Any) -> Any:  # noqa: ANN401 (pyarrow.fs.FileSystem)
    """A file system as pyarrow has it; None is this machine's own."""
    return pa.fs.LocalFileSystem() if filesystem is None else filesystem


def found(filesystem: Any, path: str) -> Sequence[Any]:  # noqa: ANN401
    """The file at a path, or all files in the folder there: pyarrow.fs.FileInfo."""
    info = known(filesystem).get_file_info(path)
    if info.type == pa.fs.FileType.Directory:
        return below(filesystem, path)
    return [info] if info.type == pa.fs.FileType.File else []


def below(filesystem: Any, folder: str) -> Sequence[Any]:  # noqa: ANN401
    """All files in a folder, and in those in it; none if it is not there."""
    selector = pa.fs.FileSelector(folder, allow_not_found=True, recursive=True)
    return [info for info in known(filesystem).get_file_info(selector) if is_file(info)]


def is_file(info: Any) -> bool:  # noqa: ANN401
    """Whether what was found is a file."""
    return bool(info.type == pa.fs.FileType.File)


def is_folder(filesystem: Any, path: str) -> bool:  # noqa: ANN401
    """Whether there is a folder at a path."""
    return bool(known(filesystem).get_file_info(path).type == pa.fs.FileType.Directory)


class Stream:
    """The content of an open file, decompressed; OSError if it is damaged."""

    def __init__(self, raw: Any, compression: str | None) -> None:  # noqa: ANN401 (pyarrow.NativeFile)
        self._stream = raw if compression is None else pa.CompressedInputStream(raw, compression)

    def read(self, size: int) -> bytes:
        """At most so many of the next bytes; none at the end."""
        try:
            return bytes(self._stream.read(size))
        except pa.ArrowException as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Close the file."""
        self._stream.close()
