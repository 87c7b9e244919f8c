"""Where an output is made and published, on any file system that Hadoop knows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepal.bulk.files import InputFile, is_local
from sepal.bulk.formats import public
from sepal.bulk.locking import locked, no_space
from sepal.bulk.outputs import Output
from sepal.bulk.places import folder_of
from sepal.errors import DataError, OutputBusyError, ResumeError, StorageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def address_of(output: str) -> str:
    """An output as Hadoop knows it: s3:// is its s3a://, and a path one of this machine's."""
    if output.startswith("s3://"):
        return f"s3a://{output.removeprefix('s3://')}"
    return output.rstrip("/") if "://" in output else f"file://{Path(output).absolute()}"


def check_apart(output: str, _: Output, files: Sequence[InputFile]) -> None:
    """Raise DataError if an output, which is a folder here, would take the place of an input."""
    place = address_of(output).partition("://")[2]
    if any(file.path == place or file.path.startswith(f"{place}/") for file in files):
        raise DataError(f"{public(output)} is an input, too: give the output another name.")


class HadoopFiles:
    """Files by their addresses, through the JVM's Hadoop: StorageError if something can't be done."""

    def __init__(self, spark: "SparkSession", address: str) -> None:
        self._jvm: Any = spark._jvm
        self._conf = spark._jsc.hadoopConfiguration()
        self._files = self._path(address).getFileSystem(self._conf)

    def exists(self, address: str) -> bool:
        """Whether there is a file or folder."""
        return bool(self._files.exists(self._path(address)))

    def is_folder(self, address: str) -> bool:
        """Whether there is a folder."""
        return self.exists(address) and bool(self._files.getFileStatus(self._path(address)).isDirectory())

    def move(self, source: str, target: str) -> None:
        """Rename; a target that is there is removed first."""
        self.remove(target)
        if not self._files.rename(self._path(source), self._path(target)):
            raise StorageError(f"{source} can't be moved to {target}.")

    def remove(self, address: str) -> None:
        """Remove a file, or a folder and all in it, if it is there."""
        self._files.delete(self._path(address), True)

    def make_folder(self, address: str) -> None:
        """Make a folder."""
        self._files.mkdirs(self._path(address))

    def write(self, address: str, content: bytes, *, replace: bool = True) -> None:
        """Write a small file whole."""
        stream = self._files.create(self._path(address), replace)
        try:
            stream.write(bytearray(content))
        finally:
            stream.close()

    def read(self, address: str) -> bytes:
        """Read a small file."""
        stream = self._files.open(self._path(address))
        try:
            return bytes(stream.readAllBytes())
        finally:
            stream.close()

    def sizes(self, address: str) -> dict[str, int]:
        """The bytes of every file in a folder, by its path there, in the order of the names."""
        found, start = {}, len(self._files.makeQualified(self._path(address)).toString()) + 1
        files = self._files.listFiles(self._path(address), True)
        while files.hasNext():
            status = files.next()
            found[status.getPath().toString()[start:]] = int(status.getLen())
        return dict(sorted(found.items()))

    def _path(self, address: str) -> Any:  # noqa: ANN401 (py4j's object)
        return self._jvm.org.apache.hadoop.fs.Path(address)


class Place:
    """The hidden folder beside an output where Spark works, and the output itself."""

    def __init__(self, files: HadoopFiles, address: str) -> None:
        parent, _, name = address.rpartition("/")
        self._files, self._output = files, address
        self._work = f"{parent}/.{name}.sepal/spark"
        self.written, self.rejected_parts = f"{self._work}/written", f"{self._work}/rejected"
        self.rejected = f"{self._work}/rejected.csv"
        self._replaced = f"{self._work}/replaced"

    @classmethod
    @contextmanager
    def opened(
        cls, spark: "SparkSession", output: str, *, who: str, restart: bool = False
    ) -> Iterator["Place"]:
        """The place of an output, emptied, for this run alone.

        OutputBusyError if another run has it. On this machine the kernel lets go of a
        dead run's lock; elsewhere a file says who began, and is removed at the end of a
        run or by `restart`. ResumeError if a run of the local engine is unfinished.
        """
        address = address_of(output)
        place = cls(HadoopFiles(spark, address), address)
        lock = (
            _locked_here(output, restart=restart)
            if is_local_output(output)
            else place._marked(who, restart)
        )
        with lock:
            place._begin()
            try:
                yield place
            finally:
                place._clear()

    @property
    def quarantine(self) -> str:
        """Where a person finds the quarantine of a run that is not published."""
        return self.rejected.removeprefix("file://")

    def publish(self, made: str, manifest: Mapping[str, Any]) -> None:
        """Put the output in its place by one rename, after its quarantine and manifest beside it."""
        if self._files.exists(self.rejected):
            self._files.move(self.rejected, f"{self._output}.rejected.csv")
        else:
            self._files.remove(f"{self._output}.rejected.csv")
        content = json.dumps(manifest, indent=2).encode() + b"\n"
        self._files.write(f"{self._work}/manifest.json", content)
        self._files.move(f"{self._work}/manifest.json", f"{self._output}.manifest.json")
        if self._files.exists(self._output):
            self._files.move(self._output, self._replaced)
        self._files.move(made, self._output)
        self._files.remove(self._work)

    def end_names(self, folder: str, ending: str) -> None:
        """Let the names of part files say their format, where Spark's say only that they are text."""
        for name in self.sizes(folder):
            if name.startswith("part-"):
                stem, _, compression = name.partition(".txt")
                self._files.move(f"{folder}/{name}", f"{folder}/{stem}.{ending}{compression}")

    def join_rejected(self) -> None:
        """Make the only part of the quarantine the quarantine."""
        part = next(name for name in self._files.sizes(self.rejected_parts) if name.startswith("part-"))
        self._files.move(f"{self.rejected_parts}/{part}", self.rejected)

    def sizes(self, folder: str) -> dict[str, int]:
        """The bytes of every file in a folder that has an output's rows."""
        return {
            name: size
            for name, size in self._files.sizes(folder).items()
            if not name.rpartition("/")[2].startswith((".", "_"))
        }

    def exists(self, folder: str) -> bool:
        """Whether there is such a folder."""
        return self._files.exists(folder)

    def _begin(self) -> None:
        """Remove what a run that was killed has left, but for an output that it had set aside.

        DataError if there is something in the output's place that is no output.
        """
        if self._files.exists(self._replaced) and not self._files.exists(self._output):
            self._files.move(self._replaced, self._output)
        for name in self._files.sizes(self._output) if self._files.is_folder(self._output) else ():
            if not name.rpartition("/")[2].startswith(("part-", ".", "_")):
                raise DataError(
                    f"{public(self._output)} has other things in it than an output, such as {name}: give a "
                    "folder that is not there yet."
                )
        self._files.remove(self._work)
        self._files.make_folder(self._work)

    def _clear(self) -> None:
        """Remove what is of no more use: all but a quarantine that somebody is to look at."""
        for each in (self.written, self.rejected_parts):
            self._files.remove(each)
        if not self._files.exists(self.rejected) and not self._files.exists(self._replaced):
            self._files.remove(self._work.removesuffix("/spark"))

    @contextmanager
    def _marked(self, who: str, restart: bool) -> Iterator[None]:
        mark = f"{self._work.removesuffix('/spark')}/running"
        if self._files.exists(mark) and not restart:
            raise OutputBusyError(
                f"Another run is writing this output: {self._files.read(mark).decode()}. Wait for it or "
                "stop it; if it is dead already, give --restart."
            )
        self._files.write(mark, who.encode())
        try:
            yield
        finally:
            self._files.remove(mark)


def is_local_output(output: str) -> bool:
    """Whether an output is on this machine, or on what is mounted here."""
    return "://" not in output or (output.startswith("file://") and is_local(output))


@contextmanager
def _locked_here(output: str, *, restart: bool) -> Iterator[None]:
    folder = folder_of(Path(output.removeprefix("file://")).absolute())
    with no_space(folder), locked(folder):
        if (folder / "plan.json").exists() and not restart:
            raise ResumeError(
                f"A run of the local engine is unfinished in {folder}. Finish it with --engine local, or "
                "begin anew with --restart."
            )
        yield
