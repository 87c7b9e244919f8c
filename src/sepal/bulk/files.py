"""Files of input: found by address, on any file system that pyarrow knows, and read as text or as bytes."""

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.fs

from sepal.errors import DataError, NotFoundError

Format: TypeAlias = Literal["csv", "jsonl", "parquet"]

ENDINGS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WILDCARDS = frozenset("*?[")
_INVALID = "\udcff"
"""Stands for what can't be decoded: as UTF-8 it is the byte FF, which UTF-8 does not have."""


@dataclass(frozen=True)
class InputFile:
    """One file; `path` as its file system has it."""

    path: str
    size: int
    modified: datetime | None
    filesystem: Any  # pyarrow.fs.FileSystem, which ships no types

    @property
    def compression(self) -> str | None:
        """By its name."""
        return COMPRESSIONS.get(Path(self.path).suffix.lower())

    @property
    def format(self) -> Format | None:
        """By its name; None if that does not say."""
        return format_of(self.path)

    @property
    def identity(self) -> dict[str, str | int | None]:
        """What tells it from what it was before somebody changed it."""
        modified = None if self.modified is None else self.modified.isoformat()
        return {"path": self.path, "bytes": self.size, "modified": modified}

    def open(self) -> Any:  # noqa: ANN401 (pyarrow.NativeFile)
        """For reading anywhere in it."""
        return self.filesystem.open_input_file(self.path)


def format_of(path: str) -> Format | None:
    """The format that a file's name says, compressed or not; None if it says none."""
    name = Path(path)
    if name.suffix.lower() in COMPRESSIONS:
        name = name.with_suffix("")
    return ENDINGS.get(name.suffix.lower())


def find(address: str) -> list[InputFile]:
    """The files of an address: a file, a folder, a pattern with * and ?, or a URL such as s3://bucket/folder.

    In the order of their names. Files whose names begin with a dot or an underscore, as
    well as those in folders named so, are nobody's data. NotFoundError if there are none.
    """
    filesystem, path = filesystem_of(address)
    fixed = path
    while _WILDCARDS & set(fixed):
        fixed = fixed.rpartition("/")[0]
    try:
        infos = _infos(filesystem, fixed or ("." if not path.startswith("/") else "/"))
    except OSError as error:
        raise NotFoundError(f"{address} can't be read: {error}") from error
    if fixed != path:
        infos = [info for info in infos if Path(info.path).match(path)]
    files = [
        InputFile(info.path, info.size, info.mtime, filesystem)
        for info in sorted(infos, key=lambda info: info.path)
        if not _hidden(info.path, fixed)
    ]
    if not files:
        raise NotFoundError(f"There is no file at {address}. Give a file, a folder, a pattern or a URL.")
    return files


def filesystem_of(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path on it."""
    if "://" not in address:
        return pa.fs.LocalFileSystem(), str(Path(address).absolute())
    try:
        filesystem, path = pa.fs.FileSystem.from_uri(address)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{address} is no address that can be read: {error}") from error
    return filesystem, path


def is_local(address: str) -> bool:
    """Whether an address is a path on this machine."""
    return isinstance(filesystem_of(address)[0], pa.fs.LocalFileSystem)


def _infos(filesystem: Any, path: str) -> Sequence[Any]:  # noqa: ANN401
    info = filesystem.get_file_info(path)
    if info.type == pa.fs.FileType.Directory:
        found = filesystem.get_file_info(pa.fs.FileSelector(path, recursive=True))
        return [info for info in found if info.type == pa.fs.FileType.File]
    return [info] if info.type == pa.fs.FileType.File else []


def _hidden(path: str, folder: str) -> bool:
    below = path.removeprefix(folder) if path != folder else ""
    return any(part.startswith((".", "_")) for part in Path(below).parts)


class Text:
    """A file's text in UTF-8, decompressed, without byte order mark, from the start on."""

    def __init__(self, file: InputFile, encoding: str | None) -> None:
        self._file, self._again = file, b""
        try:
            self._raw = file.open()
            self._stream = (
                self._raw
                if file.compression is None
                else pa.CompressedInputStream(self._raw, file.compression)
            )
        except OSError as error:
            raise DataError(f"{file.path} can't be read: {error}") from error
        self._mark = 0
        self._ahead, encoding = self._without_mark(encoding)
        self._decoder = None if encoding in ("utf-8", "ascii") else _decoder(encoding)

    def read(self, size: int) -> bytes:
        """The next `size` bytes of text, or about as many if they are decoded; b"" at the end alone."""
        if self._again:
            again, self._again = self._again, b""
            return again
        data = self._read_raw(size)
        return data if self._decoder is None else self._decode(data, size)

    @property
    def share(self) -> float:
        """How much of the file is read, from 0 to 1."""
        return float(self._raw.tell()) / max(1, self._file.size)

    @property
    def seekable(self) -> bool:
        """Whether the text is what the file holds, so that reading can begin anywhere."""
        return self._file.compression is None and self._decoder is None

    def seek(self, offset: int) -> None:
        """Go to a place in a text that is `seekable`."""
        self._ahead = self._again = b""
        self._raw.seek(self._mark + offset)

    def unread(self, data: bytes) -> None:
        """Give back the last of what was read, to be read again."""
        self._again = data

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _read_raw(self, size: int) -> bytes:
        parts, missing = [self._ahead[:size]], size - len(self._ahead[:size])
        self._ahead = self._ahead[size:]
        try:
            while missing > 0 and (part := self._stream.read(missing)):
                parts.append(part)
                missing -= len(part)
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{self._file.path} can't be read to its end: {error}") from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _decode(self, data: bytes, size: int) -> bytes:
        text = self._decoder.decode(data, final=len(data) < size)  # type: ignore[union-attr]
        if not text and data:
            return self.read(size)
        return text.replace("\ufffd", _INVALID).encode("utf-8", "surrogateescape")

    def _without_mark(self, encoding: str | None) -> tuple[bytes, str]:
        self._ahead = b""
        start = self._read_raw(4)
        for mark, marked in _BYTE_ORDER_MARKS:
            if start.startswith(mark) and encoding in (None, marked, "utf-8"):
                self._mark = len(mark) if marked == "utf-8" else 0
                return start[self._mark :], marked
        return start, encoding or "utf-8"


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder(encoding)(errors="replace")


def check_encoding(encoding: str | None) -> str | None:
    """Its usual name; DataError if there is no such encoding."""
    if encoding is None:
        return None
    try:
        return codecs.lookup(encoding).name
    except LookupError as error:
        raise DataError(f"There is no encoding {encoding!r}. Try utf-8, utf-16 or latin-1.") from error
