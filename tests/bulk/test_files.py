"""Files of input: what is found without pyarrow is what pyarrow finds."""

import os
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from sepal.bulk.files import find
from sepal.errors import NotFoundError


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
