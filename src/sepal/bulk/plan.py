"""A run before it begins: what the job says, held against the files that are there and their columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from sepal.bulk.answers import Model
from sepal.bulk.csv_reader import CsvReader
from sepal.bulk.files import InputFile, filesystem_of, find, is_folder
from sepal.bulk.formats import COMPRESSIONS, ENDINGS, Format, public
from sepal.bulk.job import Job, probability_name
from sepal.bulk.jsonl_reader import JsonLinesReader
from sepal.bulk.outputs import Output
from sepal.bulk.rows import Reader
from sepal.bulk.scoring import DATE_PARTS, Scorer
from sepal.contracts import Contract, Labels
from sepal.contracts.contract import few
from sepal.errors import DataError, NotFoundError, ResumeError, StorageError
from sepal.settings import Settings

_LARGEST_BLOCK, _SMALLEST_BLOCK = 1 << 25, 1 << 18
_BLOCKS = 128
"""Into so many blocks of text the memory is divided: one on its way takes about ten times its size."""
_BYTES_PER_VALUE = 200
"""Memory that a value of Parquet takes on its way, in every form that it has: an upper estimate."""


@dataclass(frozen=True)
class Sizes:
    """How much is read at a time: bytes of text; of Parquet, rows times columns; and columns at most."""

    block: int
    values: int
    columns: int

    @classmethod
    def of(cls, settings: Settings) -> "Sizes":
        """From the memory that a run may take."""
        block = min(max(settings.bulk_memory // _BLOCKS, _SMALLEST_BLOCK), _LARGEST_BLOCK)
        return cls(block, settings.bulk_memory // _BYTES_PER_VALUE, settings.bulk_columns)


CheckPlace: TypeAlias = Callable[[str, Output, Sequence[InputFile]], None]


@dataclass(frozen=True)
class Plan:
    """What is read, file by file, and what is written."""

    job: Job
    contract: Contract
    files: Sequence[InputFile]
    sizes: Sizes
    output: Output
    keep: Mapping[str, pl.DataType]
    date_parts: Sequence[str]

    @classmethod
    def make(
        cls, job: Job, contract: Contract, settings: Settings, *, check: CheckPlace | None = None
    ) -> "Plan":
        """Look at the files; every header is held against the contract before the first row is read.

        `check` looks at the output's place, by default `check_place`. Raises NotFoundError and DataError.
        """
        files, sizes = find(job.input), Sizes.of(settings)
        output = Output.of(job.output, job.format_of_output, job.partition_by)
        (check or check_place)(job.output, output, files)
        if job.row_id is not None:
            _check_stems(files)
        readers = (_open(job, file, sizes) for file in files)
        first = next(readers)
        _matched(job, contract, files[0], first)
        keep = _kept(job, contract, first)
        date_parts = _date_parts(job, contract, first)
        keys = [key for key in job.partition_by if key not in (*date_parts, job.prediction_name)]
        plan = cls(
            job,
            contract,
            files,
            sizes,
            output,
            first.types([*keep, *(key for key in keys if key not in keep)]),
            date_parts,
        )
        for name, kind in plan.keep.items():
            if not output.can_write(kind):
                raise DataError(f"{output.format} has no values such as those of {name!r}: {kind}.")
        for file, reader in zip(files[1:], readers, strict=True):
            plan.matched(reader, file)
        return plan

    def identity(self, model: Model) -> dict[str, Any]:
        """All that a resumed run must have in common with the one that was begun, each under its name."""
        job = self.job.model_dump(exclude={"max_rejected", "version"})
        return {
            **job,
            "input": public(self.job.input),
            "output": public(self.job.output),
            "version": model.version.name,
            "artefact": model.version.artefact_sha256,
            "input files": [file.identity for file in self.files],
            "memory": [self.sizes.block, self.sizes.values],
        }

    def check_input(self) -> None:
        """ResumeError unless every file still is what it was when the run began."""
        before = [file.identity for file in self.files]
        try:
            now = [file.identity for file in find(self.job.input)]
        except NotFoundError:
            now = []
        if now != before:
            raise ResumeError(
                f"{public(self.job.input)} has changed while it was read. Nothing is published. "
                "Begin again with --restart."
            )

    def reader(self, file: InputFile) -> Reader:
        """A reader of one of the files, the wanted columns selected."""
        reader = _open(self.job, file, self.sizes)
        matched = self.matched(reader, file)
        numbers = [
            matched[feature.name]
            for feature in self.contract.columns
            if feature.name in matched and feature.kind in ("number", "integer") and not feature.optional
        ]
        reader.select(numbers, [*self.keep, *(name for name in matched.values() if name not in numbers)])
        if isinstance(reader, JsonLinesReader):
            features = {feature.name: feature for feature in self.contract.columns}
            reader.expect({column: features[name] for name, column in matched.items()})
            reader.refuse([name for name, of in self.contract.column_of.items() if of not in matched])
        return reader

    def matched(self, reader: Reader, file: InputFile) -> dict[str, str]:
        """Each feature's column; DataError naming the file if it, or a kept column, is not there."""
        matched = _matched(self.job, self.contract, file, reader)
        wanted = [*matched.values(), *self.keep]
        if missing := [name for name in wanted if name not in reader.columns]:
            raise DataError(f"{file.path} lacks {few(missing)}. It has: {few(reader.columns)}.")
        if twice := [name for name in wanted if reader.columns.count(name) > 1]:
            raise DataError(f"{file.path} has two columns {twice[0]!r}: rename one.")
        return matched

    def scorer(self, model: Model, file: InputFile, reader: Reader) -> Scorer:
        """What scores the rows of one of the files."""
        return Scorer(
            model,
            self.matched(reader, file),
            self.keep,
            stem_of(file),
            self.job.row_id,
            self.date_parts,
            self.job.version_name,
        )


def _matched(job: Job, contract: Contract, file: InputFile, reader: Reader) -> dict[str, str]:
    try:
        return contract.match_columns(reader.columns)
    except DataError as error:
        raise DataError(f"{file.path}: {error}{_other_delimiter(reader)}") from error


def stem_of(file: InputFile) -> str:
    """A file's name without what says its format."""
    name = Path(file.path).name
    for endings in (COMPRESSIONS, ENDINGS):
        stem, dot, ending = name.rpartition(".")
        if stem and dot + ending.lower() in endings:
            name = stem
    return name


def check_place(address: str, output: Output, files: Sequence[InputFile]) -> None:
    """Raise DataError if the output would take the place of an input, or of what is not its own.

    StorageError if its place does not answer.
    """
    try:
        _check_place(address, output, files)
    except OSError as error:
        raise StorageError(f"{public(address)} can't be looked at: {error}") from error


def _check_place(address: str, output: Output, files: Sequence[InputFile]) -> None:
    filesystem, path = filesystem_of(address)
    for file in files:
        inside = output.partition_by and file.path.startswith(f"{path}/")
        if file.filesystem == filesystem and (file.path == path or inside):
            raise DataError(f"{public(address)} is an input, too: give the output another name.")
    if not output.partition_by:
        if is_folder(filesystem, path):
            raise DataError(f"{public(address)} is a folder: give the name of a file in it.")
        return
    from sepal.bulk.arrow_files import found

    for info in found(filesystem, path):
        if info.path == path:
            raise DataError(
                f"{public(address)} is a file, and --partition-by writes a folder: give another name."
            )
        if not output.may_own(info.path.removeprefix(f"{path}/")):
            raise DataError(
                f"{public(address)} has other things in it than an output by these keys, such as "
                f"{info.path}: give a folder that is not there yet."
            )


def _check_stems(files: Sequence[InputFile]) -> None:
    first: dict[str, InputFile] = {}
    for file in files:
        if (other := first.setdefault(stem_of(file), file)) is not file:
            raise DataError(
                f"{other.path} and {file.path} would give their rows the same ids: rename one, or leave "
                "out --row-id."
            )


def _other_delimiter(reader: Reader) -> str:
    """A hint, if the values in the header seem to be separated by something else."""
    if isinstance(reader, CsvReader) and len(reader.columns) == 1:
        for name, character in {"\\t": "\t", ";": ";", "|": "|", ",": ","}.items():
            if character in reader.columns[0]:
                return f" Are its values separated otherwise? Give --delimiter '{name}'."
    return ""


def _kept(job: Job, contract: Contract, reader: Reader) -> list[str]:
    """The columns to carry over; DataError if one is not there, or an output column has its name."""
    written = {*job.own_columns}
    if job.proba and isinstance(contract.target, Labels):
        written |= {*map(probability_name, contract.target.names)}
    if job.keep == "all":
        return [name for name in reader.columns if name not in written]
    for name in job.keep:
        if name not in reader.columns:
            raise DataError(f"There is no column {name!r} to keep. There are: {few(reader.columns)}.")
        if name in written:
            raise DataError(f"The output has a column {name!r} of its own: it can't be kept.")
    return list(dict.fromkeys(job.keep))


def _date_parts(job: Job, contract: Contract, reader: Reader) -> list[str]:
    """The keys of the partition that are parts of the contract's time."""
    parts = []
    for key in job.partition_by:
        if key in reader.columns or key == job.prediction_name:
            continue
        if key not in DATE_PARTS or all(feature.kind != "time" for feature in contract.columns):
            raise DataError(
                f"There is no column {key!r} to partition by. There are: {few(reader.columns)}; "
                f"and {', '.join(DATE_PARTS)} where the contract has a time."
            )
        parts.append(key)
    return parts


def _open(job: Job, file: InputFile, sizes: Sizes) -> Reader:
    form = job.input_format or file.format
    if form is None:
        raise DataError(
            f"{file.path} does not say its format by its name: end it with .csv, .parquet or .jsonl, "
            "or give --input-format."
        )
    return _READERS[form](job, file, sizes)


def _open_parquet(job: Job, file: InputFile, sizes: Sizes) -> Reader:
    from sepal.bulk.parquet_reader import ParquetReader  # late: pyarrow's import takes a while

    return ParquetReader(file, n_values=sizes.values, n_bytes=sizes.block, most_columns=sizes.columns)


_READERS: dict[Format, Callable[[Job, InputFile, Sizes], Reader]] = {
    "csv": lambda job, file, sizes: CsvReader(
        file,
        separator=job.delimiter,
        encoding=job.encoding,
        size=sizes.block,
        most_columns=sizes.columns,
    ),
    "jsonl": lambda job, file, sizes: JsonLinesReader(file, encoding=job.encoding, size=sizes.block),
    "parquet": _open_parquet,
}
