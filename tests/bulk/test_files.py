"""Files of input: what is found without pyarrow is what pyarrow finds."""

import errno
import io
import os
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow.fs import LocalFileSystem

from sepal.bulk.files import InputFile, Text, find, is_local, unreadable
from sepal.bulk.parquet_reader import ParquetReader
from sepal.errors import DataError, NotFoundError, SourceAwayError


@pytest.mark.parametrize("nanoseconds", [0, 123_456_789, 999_999_600])
def test_a_plain_file_is_found_as_pyarrow_finds_it(tmp_path: Path, nanoseconds: int) -> None:
    path = tmp_path / "irises.csv"
    path.write_text("a,b\n1,2\n")
    os.utime(path, ns=(0, 1_600_000_000_000_000_000 + nanoseconds))
    expected = LocalFileSystem().get_file_info(str(path))
    (found,) = find(str(path))
    assert (found.path, found.size, found.modified) == (expected.path, expected.size, expected.mtime)
    assert found.identity["modified"] == expected.mtime.isoformat()
    assert [found] == find(path.as_uri()) == find(str(tmp_path)) == find(f"{tmp_path}/*.csv")


def test_a_link_to_a_file_is_that_file_under_its_own_name(tmp_path: Path) -> None:
    (tmp_path / "irises.csv").write_text("a,b\n")
    (tmp_path / "link.csv").symlink_to("irises.csv")
    (found,) = find(str(tmp_path / "link.csv"))
    assert (found.path, found.size) == (str(tmp_path / "link.csv"), 4)


@pytest.mark.parametrize("name", ["pipe", "missing.csv", "\udcff.csv", "a\0b.csv"])
def test_what_is_no_file_that_can_be_read_is_told(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NotFoundError):
        find(str(tmp_path / name))


class Away:
    """A file system that does not answer, or no more once a file is open."""

    def __init__(self, content: bytes | None = None) -> None:
        self._content = content

    def open_input_file(self, path: str) -> pa.NativeFile:
        if self._content is None:
            raise OSError("could not connect")
        return pa.PythonFile(Breaking(self._content), mode="r")


class Breaking(io.BytesIO):
    """A file whose second half can't be read."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= len(self.getvalue()) // 2:
            raise OSError("connection reset")
        return super().read(size)


def test_what_does_not_answer_is_told_apart_from_what_is_damaged(tmp_path: Path) -> None:
    away = InputFile("flowers/in.csv", 100, None, Away())
    with pytest.raises(SourceAwayError, match=r"flowers/in\.csv can't be read: could not connect"):
        Text(away, None)
    with pytest.raises(SourceAwayError, match="could not connect"):
        ParquetReader(away, n_values=100, n_bytes=1000, most_columns=10)
    breaking = Text(InputFile("flowers/in.csv", 100, None, Away(b"1,2\n" * 25)), None)
    with pytest.raises(SourceAwayError, match="can't be read to its end: connection reset"):
        [*iter(partial(breaking.read, 40), b"")]
    for name in ("damaged.csv.gz", "damaged.parquet"):
        (tmp_path / name).write_bytes(b"\x1f\x8bno more than this")
    (gzipped, parquet) = find(str(tmp_path))
    with pytest.raises(DataError) as told:
        Text(gzipped, None)
    assert type(told.value) is DataError
    with pytest.raises(DataError) as told:
        ParquetReader(parquet, n_values=100, n_bytes=1000, most_columns=10)
    assert type(told.value) is DataError


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EIO, SourceAwayError), (errno.ESTALE, SourceAwayError), (errno.EACCES, DataError)],
)
def test_a_drive_that_fails_may_come_back_and_a_missing_permission_does_not(
    number: int, kind: type[DataError]
) -> None:
    error = OSError(number, os.strerror(number))
    assert type(unreadable(InputFile("/in.csv", 1, None), "can't be read", error)) is kind


def test_whether_an_address_is_local_is_told_without_asking_a_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sepal.bulk.arrow_files.filesystem_of_url", None)
    assert not is_local("s3://no-such-bucket-anywhere/in.csv")
    assert is_local("file:///in.csv")
    assert is_local("in.csv")
