"""A run before it begins: what the job says, held against the files that are there and their columns."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sepal.bulk.answers import Model
from sepal.bulk.csv_reader import CsvReader
from sepal.bulk.files import Format, InputFile, find
from sepal.bulk.job import Job
from sepal.bulk.jsonl_reader import JsonLinesReader
from sepal.bulk.outputs import Output
from sepal.bulk.parquet_reader import ParquetReader
from sepal.bulk.rows import Reader
from sepal.bulk.scoring import DATE_PARTS, Scorer
from sepal.contracts import Contract
from sepal.errors import DataError, ResumeError
from sepal.settings import Settings

_LARGEST_BLOCK, _SMALLEST_BLOCK = 1 << 25, 1 << 18
_BYTES_PER_VALUE = 200
"""Memory that a value of Parquet takes on its way, in every form that it has: an upper estimate."""


@dataclass(frozen=True)
class Sizes:
    """How much is read at a time: bytes of text, rows times columns of Parquet; and columns at most."""

    block: int
    values: int
    columns: int

    @classmethod
    def of(cls, settings: Settings) -> "Sizes":
        """From the memory that a run may take."""
        block = min(max(settings.bulk_memory // 64, _SMALLEST_BLOCK), _LARGEST_BLOCK)
        return cls(block, settings.bulk_memory // _BYTES_PER_VALUE, settings.bulk_columns)


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
    def make(cls, job: Job, contract: Contract, settings: Settings) -> "Plan":
        """Look at the files; every header is held against the contract before the first row is read.

        Raises NotFoundError and DataError.
        """
        files, sizes = find(job.input), Sizes.of(settings)
        readers = (_open(job, file, sizes) for file in files)
        first = next(readers)
        contract.match_columns(first.columns)
        keep = _kept(job, contract, first)
        date_parts = _date_parts(job, contract, first)
        keys = [key for key in job.partition_by if key not in (*date_parts, job.prediction_name)]
        plan = cls(
            job,
            contract,
            files,
            sizes,
            Output.of(job.output, job.format_of_output, job.partition_by),
            first.types([*keep, *(key for key in keys if key not in keep)]),
            date_parts,
        )
        for file, reader in zip(files[1:], readers, strict=True):
            plan.matched(reader, file)
        return plan

    def identity(self, model: Model) -> dict[str, Any]:
        """All that a resumed run must have in common with the one that was begun."""
        return {
            "job": self.job.model_dump(exclude={"max_rejected"}),
            "version": model.version.name,
            "artefact": model.version.artefact_sha256,
            "input": [file.identity for file in self.files],
            "sizes": [self.sizes.block, self.sizes.values],
        }

    def check_input(self) -> None:
        """ResumeError unless every file still is what it was when the run began."""
        before = [file.identity for file in self.files]
        if [file.identity for file in find(self.job.input)] != before:
            raise ResumeError(
                f"{self.job.input} has changed while it was read. Nothing is published. "
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
        return reader

    def matched(self, reader: Reader, file: InputFile) -> dict[str, str]:
        """Each feature's column; DataError naming the file if it, or a kept column, is not there."""
        try:
            matched = self.contract.match_columns(reader.columns)
        except DataError as error:
            raise DataError(f"{file.path}: {error}") from error
        wanted = [*matched.values(), *self.keep]
        if missing := [name for name in wanted if name not in reader.columns]:
            raise DataError(f"{file.path} lacks {', '.join(missing)}. It has: {', '.join(reader.columns)}.")
        if twice := [name for name in wanted if reader.columns.count(name) > 1]:
            raise DataError(f"{file.path} has two columns {twice[0]!r}: rename one.")
        return matched

    def scorer(self, model: Model, file: InputFile, reader: Reader) -> Scorer:
        """What scores the rows of one of the files."""
        return Scorer(
            model,
            self.matched(reader, file),
            self.keep,
            Path(file.path).name.partition(".")[0],
            self.job.row_id,
            self.date_parts,
        )


def _kept(job: Job, contract: Contract, reader: Reader) -> list[str]:
    """The columns to carry over; DataError if one is not there, or an output column has its name."""
    written = {job.prediction_name, "model_version", job.row_id}
    if job.keep == "all":
        return [name for name in reader.columns if name not in written]
    for name in job.keep:
        if name not in reader.columns:
            raise DataError(f"There is no column {name!r} to keep. There are: {', '.join(reader.columns)}.")
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
                f"There is no column {key!r} to partition by. There are: {', '.join(reader.columns)}; "
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


_READERS: dict[Format, Callable[[Job, InputFile, Sizes], Reader]] = {
    "csv": lambda job, file, sizes: CsvReader(
        file,
        separator=job.delimiter,
        encoding=job.encoding,
        size=sizes.block,
        most_columns=sizes.columns,
    ),
    "jsonl": lambda job, file, sizes: JsonLinesReader(file, encoding=job.encoding, size=sizes.block),
    "parquet": lambda job, file, sizes: ParquetReader(
        file, n_values=sizes.values, most_columns=sizes.columns
    ),
}
