"""One chunk's rows: checked, scored, and laid out as rows of the output; for any thread."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from sepal.bulk.answers import Answers, Model, Summary
from sepal.bulk.rows import Indices, Rejected, Rows
from sepal.errors import ArtefactError, DataError
from sepal.scoring.columns import Encoded, encode
from sepal.scoring.matrix import Matrix

DATE_PARTS = ("year", "month", "day")
"""Parts of the contract's time that output may be partitioned by, if no column has that name."""


@dataclass(frozen=True)
class Scored:
    """What came of a chunk: the rows of the output in order, the rejected ones, and counts of both."""

    frame: pl.DataFrame
    rejected: Sequence[Rejected]
    summary: Summary

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows are rejected for which reason."""
        told = (f"{row.column} {row.reason}".strip() for row in self.rejected)
        return dict(Counter(told))


@dataclass(frozen=True)
class Scorer:
    """Scores rows of one file.

    `matched` gives each feature's column, `keep` the type in the output of each column to
    carry over, `stem` the beginning of a row's id.
    """

    model: Model
    matched: Mapping[str, str]
    keep: Mapping[str, pl.DataType]
    stem: str
    row_id: str | None
    date_parts: Sequence[str]
    version_name: str | None = "model_version"

    def score(self, rows: Rows) -> Scored:
        """Score the rows that the contract takes; reject the others, each for the first of its faults."""
        matrix, kept, rejected = self._encode(rows)
        answers = self._answers(matrix, rows.lines)
        if answers.finite is not None:
            name = answers.columns[0].name
            rejected += _rejections(rows, kept[~answers.finite], [(name, "the model gives no number")])
        frame = pl.DataFrame(
            [
                *self._row_ids(rows.lines, kept),
                *self._carried(rows.frame, kept),
                *answers.columns,
                *self._version(len(kept)),
                *self._dates(matrix),
            ]
        )
        return Scored(
            frame if answers.finite is None else frame.filter(answers.finite),
            sorted([*rows.rejected, *rejected], key=lambda row: row.line),
            answers.summary(answers.finite),
        )

    def _answers(self, matrix: Matrix, lines: Indices) -> Answers:
        try:
            return self.model.answer(matrix)
        except MemoryError:
            raise
        except Exception as error:
            raise ArtefactError(
                f"{self.model.version.tag} fails on rows of {self.stem}, among lines {lines[0]:,} to "
                f"{lines[-1]:,}, that its contract takes: {error}. Mend the contract or the model."
            ) from error

    def _encode(self, rows: Rows) -> tuple[Matrix, Indices, list[Rejected]]:
        """The sound rows as a matrix, which of all rows they are, and the rejections of the others."""
        encoded = self._encode_frame(rows.frame)
        if not encoded.faults:
            return encoded.rows, np.arange(len(encoded.rows)), []
        suspects = np.flatnonzero(encoded.faulty)
        again = encoded.some(suspects)
        if rows.as_text is not None:  # what is no number at first sight may be one with blanks around it
            again = self._encode_frame(rows.as_text(suspects))
            encoded.rows[suspects] = again.rows
        first = np.full(len(suspects), -1)
        for at in reversed(range(len(again.faults))):
            first[again.faults[at].where] = at
        faults = [(self.matched.get(f.feature.name, f.feature.name), f.reason) for f in again.faults]
        wrong = suspects[first >= 0]
        rejected = _rejections(rows, wrong, [faults[at] for at in first[first >= 0]])
        kept = np.delete(np.arange(len(encoded.rows)), wrong)
        return np.asfortranarray(encoded.rows[kept]), kept, rejected

    def _encode_frame(self, frame: pl.DataFrame) -> Encoded:
        columns = {feature: frame[column] for feature, column in self.matched.items()}
        return encode(self.model.contract, columns, len(frame))

    def _carried(self, frame: pl.DataFrame, kept: Indices) -> Iterable[pl.Series]:
        if not self.keep:
            return []
        try:
            carried = frame.select(pl.col(name).cast(kind) for name, kind in self.keep.items())
        except pl.exceptions.PolarsError as error:
            raise DataError(
                f"{self.stem} has columns of other types than the first file: {error}"
            ) from error
        return carried if len(kept) == len(frame) else carried[kept]

    def _row_ids(self, lines: Indices, kept: Indices) -> Iterable[pl.Series]:
        if self.row_id is None:
            return []
        numbers = pl.DataFrame({"line": lines[kept]})
        return [numbers.select(pl.format(f"{self.stem}/{{}}", "line")).to_series().alias(self.row_id)]

    def _version(self, n_rows: int) -> Iterable[pl.Series]:
        if self.version_name is None:
            return []
        codes = pl.Series(self.version_name, np.zeros(n_rows, dtype=np.uint32))
        return [codes.cat.to(pl.Enum([self.model.version.name]))]

    def _dates(self, matrix: Matrix) -> Iterable[pl.Series]:
        if not self.date_parts:
            return []
        at = next(at for at, feature in enumerate(self.model.contract.columns) if feature.kind == "time")
        seconds = pl.Series(np.ascontiguousarray(matrix[:, at]), nan_to_null=True)
        times = (seconds * 1e6).round().cast(pl.Int64).cast(pl.Datetime("us"))
        return [getattr(times.dt, part)().alias(part) for part in self.date_parts]


def no_rows(scorer: Scorer) -> Rows:
    """Rows for a scorer, none of them."""
    names = {**dict.fromkeys(scorer.matched.values(), pl.String()), **scorer.keep}
    return Rows(pl.DataFrame(schema=names), np.empty(0, dtype=np.int64), (), lambda rows: [])


def _rejections(rows: Rows, wrong: Indices, faults: Sequence[tuple[str, str]]) -> list[Rejected]:
    """The rejections of some rows, each with its column and reason, or all with one."""
    if not len(wrong):
        return []
    each = faults if len(faults) == len(wrong) else [*faults] * len(wrong)
    return [
        Rejected(int(line), column, reason, values)
        for line, (column, reason), values in zip(rows.lines[wrong], each, rows.told(wrong), strict=True)
    ]
