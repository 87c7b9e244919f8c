"""Outputs that are not on this machine: made here, then copied to where they belong."""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from sepal.bulk.files import filesystem_of, is_local
from sepal.bulk.formats import name_of, public
from sepal.bulk.outputs import Output
from sepal.bulk.places import beside
from sepal.errors import StorageError
from sepal.settings import Settings

_ENDINGS = ("rejected.csv", "manifest.json")


def local_output(address: str, settings: Settings) -> Path:
    """Where the output of an address is made: there, or in a folder of the data folder for a remote one."""
    if is_local(address):
        return Path(filesystem_of(address)[1])
    name = hashlib.sha256(address.encode()).hexdigest()[:16]
    return settings.data_dir.resolve() / "bulk" / name / name_of(address).name


def upload(made: Path, address: str, output: Output) -> None:
    """Copy a remote address's output there, what belongs to it first.

    An object store shows an object only once it is whole. Of a partitioned output, what
    an earlier one had there and this one has not is removed last.
    """
    if is_local(address) or not made.exists():  # it is there already, and was removed here
        return
    from sepal.bulk.arrow_files import is_file

    filesystem, path = filesystem_of(address)
    try:
        for ending in _ENDINGS:
            if (source := beside(made, ending)).exists():
                _copy(source, filesystem, f"{path}.{ending}")
            elif is_file(filesystem.get_file_info(f"{path}.{ending}")):
                filesystem.delete_file(f"{path}.{ending}")
        written = {_copy(source, filesystem, target) for source, target in _files(made, path)}
        if made.is_dir():
            _remove_earlier(filesystem, path, written, output)
    except OSError as error:
        raise StorageError(
            f"{public(address)} can't be written: {error}. The output is whole in {made}: give the "
            "same command again once the place can be written."
        ) from error


def remove(made: Path, address: str, work: Path) -> None:
    """Remove here what is a copy of a remote address's output, while its work folder is still locked.

    First of all, in one step, the output goes into the work folder: what is there is whole.
    """
    if is_local(address):
        return
    if made.exists():
        made.replace(work / "uploaded")
    for ending in _ENDINGS:
        beside(made, ending).unlink(missing_ok=True)


def remove_folder(made: Path, address: str) -> None:
    """Remove the folder of a remote address's output, unless the next run has begun in it."""
    if not is_local(address):
        with suppress(OSError):
            made.parent.rmdir()


def _files(made: Path, path: str) -> Iterator[tuple[Path, str]]:
    if made.is_file():
        yield made, path
        return
    for source in sorted(made.rglob("*")):
        if source.is_file():
            yield source, f"{path}/{source.relative_to(made).as_posix()}"


def _copy(source: Path, filesystem: Any, target: str) -> str:  # noqa: ANN401 (pyarrow.fs.FileSystem)
    """In a thread of its own: a signal must not end it, for what is closed half-way is an object too."""
    with ThreadPoolExecutor(1) as alone:
        return alone.submit(_copy_whole, source, filesystem, target).result()


def _copy_whole(source: Path, filesystem: Any, target: str) -> str:  # noqa: ANN401
    with source.open("rb") as file, filesystem.open_output_stream(target, compression=None) as stream:
        while data := file.read(1 << 22):
            stream.write(data)
    return target


def _remove_earlier(filesystem: Any, path: str, written: set[str], output: Output) -> None:  # noqa: ANN401
    from sepal.bulk.arrow_files import below

    for info in below(filesystem, path):
        own = output.may_own(info.path.removeprefix(f"{path}/"))
        if own and info.path not in written:
            filesystem.delete_file(info.path)
