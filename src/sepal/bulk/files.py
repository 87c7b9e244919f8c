"""Files of input: found by address, on any file system that pyarrow knows, and read as text or as bytes."""

import codecs
import errno
import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sepal.bulk.formats import COMPRESSIONS, Format, format_of, public
from sepal.errors import DataError, NotFoundError, SourceAwayError

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16's, with which it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OWN_SCHEMES = ("file://", "local://")
"""Of this machine's own files, as pyarrow has them."""
_LASTING = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EINVAL,
}
"""What will be the same at the next try."""
_WILDCARDS = frozenset("*?[")
_INVALID = "\udcff"
"""Stands for what can't be decoded: as UTF-8 it is the byte FF, which UTF-8 does not have."""


@dataclass(frozen=True)
class InputFile:
    """One file; `path` as its file system has it."""

    path: str
    size: int
    modified: datetime | None
    filesystem: Any = None  # pyarrow.fs.FileSystem, which ships no types; None for this machine's own

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
        from sepal.bulk.arrow_files import known

        return known(self.filesystem).open_input_file(self.path)


def find(address: str) -> list[InputFile]:
    """The files of an address: a file, a folder, a pattern with * and ?, or a URL such as s3://bucket/folder.

    In the order of their names. Files whose names begin with a dot or an underscore, as
    well as those in folders named so, are nobody's data. NotFoundError if there are none.
    """
    if (plain := _plain_file(address)) is not None:
        return [plain]
    from sepal.bulk.arrow_files import found

    filesystem, path = filesystem_of(address)
    fixed = path
    try:
        infos = found(filesystem, path)
        while not infos and _WILDCARDS & set(fixed):
            fixed = fixed.rpartition("/")[0]
        if fixed != path:
            infos = [info for info in found(filesystem, fixed or "/") if Path(info.path).match(path)]
    except (OSError, ValueError) as error:
        kind = SourceAwayError if may_pass(error, filesystem) else NotFoundError
        raise kind(f"{public(address)} can't be read: {error}") from error
    files = [
        InputFile(info.path, info.size, info.mtime, filesystem)
        for info in sorted(infos, key=lambda info: info.path)
        if not _hidden(info.path, fixed)
    ]
    if not files:
        raise NotFoundError(
            f"There is no file at {public(address)}. Give a file, a folder, a pattern or a URL."
        )
    return files


def filesystem_of(address: str) -> tuple[Any, str]:
    """The file system of an address, None for this machine's own, and the path on it."""
    if "://" not in address:
        return None, str(Path(address).absolute())
    from sepal.bulk.arrow_files import filesystem_of_url

    return filesystem_of_url(address)


def is_local(address: str) -> bool:
    """Whether an address is a path on this machine; of a URL its scheme says so, and no server is asked."""
    return "://" not in address or address.startswith(_OWN_SCHEMES)


def may_pass(error: Exception, filesystem: Any) -> bool:  # noqa: ANN401
    """Whether what failed on a file system may go well at the next try.

    A store of objects gives no number with its errors, nor does what is damaged on this machine.
    """
    if not isinstance(error, OSError):
        return False
    return error.errno not in _LASTING if error.errno is not None else filesystem is not None


def unreadable(file: InputFile, what: str, error: Exception) -> DataError:
    """The error of a file that can't be read: whether it is of use to try again, its kind says."""
    kind = SourceAwayError if may_pass(error, file.filesystem) else DataError
    return kind(f"{file.path} {what}: {error}")


def is_folder(filesystem: Any, path: str) -> bool:  # noqa: ANN401
    """Whether there is a folder at a path."""
    if filesystem is None:
        return Path(path).is_dir()
    from sepal.bulk.arrow_files import is_folder

    return is_folder(filesystem, path)


def _plain_file(address: str) -> InputFile | None:
    """The file of a path on this machine, as pyarrow would find it; None if there is anything else."""
    path = Path(address).absolute()
    try:
        str(path).encode()  # pyarrow refuses names that are no UTF-8
        found = path.stat()
    except (OSError, ValueError):
        return None
    if "://" in address or not stat.S_ISREG(found.st_mode):
        return None
    modified = datetime.fromtimestamp(found.st_mtime_ns / 1e9, UTC)  # rounded as pyarrow does
    return InputFile(str(path), found.st_size, modified)


def _hidden(path: str, folder: str) -> bool:
    below = path.removeprefix(folder) if path != folder else ""
    return any(part.startswith((".", "_")) for part in Path(below).parts)


def _opened(file: InputFile) -> tuple[Any, Any]:
    """The file, which can tell and seek, and the stream of its content: of a plain file the same."""
    if file.filesystem is None and file.compression is None:
        raw = Path(file.path).open("rb", buffering=0)  # noqa: SIM115 (Text closes it)
        return raw, raw
    from sepal.bulk.arrow_files import Stream

    opened = file.open()
    return opened, Stream(opened, file.compression)


class Text:
    """A file's text in UTF-8, decompressed, without byte order mark, from the start on."""

    def __init__(self, file: InputFile, encoding: str | None) -> None:
        self._file, self._decoded, self._ended = file, b"", False
        try:
            self._raw, self._stream = _opened(file)
        except OSError as error:
            raise unreadable(file, "can't be read", error) from error
        self._mark = 0
        self._ahead, self._encoding = self._without_mark(encoding)
        self._decoder = (
            None if self._encoding == "utf-8" else codecs.getincrementaldecoder(self._encoding)("replace")
        )

    def read(self, size: int) -> bytes:
        """The next `size` bytes of text; fewer at the end alone."""
        if self._decoder is None:
            return self._read_raw(size)
        while len(self._decoded) < size and not self._ended:
            data = self._read_raw(size)
            self._ended = len(data) < size
            try:
                decoded = self._decoder.decode(data, final=self._ended)
            except UnicodeError as error:  # such as of UTF-16 that does not say its byte order
                raise DataError(
                    f"{self._file.path} is not in {self._encoding}: {error}. Give its --encoding, such as "
                    "utf-8, utf-16-le or cp1252."
                ) from error
            self._decoded += decoded.replace("\ufffd", _INVALID).encode("utf-8", "surrogateescape")
        text, self._decoded = self._decoded[:size], self._decoded[size:]
        return text

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
        self._ahead = b""
        self._raw.seek(self._mark + offset)

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
        except OSError as error:
            raise unreadable(self._file, "can't be read to its end", error) from error
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _without_mark(self, encoding: str | None) -> tuple[bytes, str]:
        self._ahead = b""
        start = self._read_raw(4)
        for mark, marked in _BYTE_ORDER_MARKS:
            if start.startswith(mark) and (encoding is None or encoding.startswith((marked, "utf-8"))):
                self._mark = len(mark) if marked == "utf-8" else 0
                return start[self._mark :], marked
        return start, encoding or "utf-8"
