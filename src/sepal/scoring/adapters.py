"""Adapters: pipelines that take columns by name, as pipelines that take the matrix of the wire.

A pipeline that was made without Sepal was fitted on a data frame or on dicts, with names,
texts and times. An adapter makes those from the matrix, and is unpickled wherever the
pipeline is scored.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.contracts import Feature
from sepal.errors import ArtefactError
from sepal.scoring.matrix import Matrix

Form: TypeAlias = Literal["matrix", "frame", "records"]
"""What the pipeline takes: a float64 matrix, a pandas data frame, or a list of dicts."""

ColumnKind: TypeAlias = Literal["number", "integer", "boolean", "text", "time"]


_READERS: Mapping[str, Callable[[Any], Any]] = {"number": float, "integer": int, "boolean": bool}
"""From a value that is no text, category or time to Python's type for a kind."""


@dataclass(frozen=True)
class Source:
    """A feature as it stands in the matrix, and the format specification for its text, such as `%H`."""

    position: int
    kind: str
    categories: tuple[str, ...] = ()
    format: str = ""

    @classmethod
    def of(cls, position: int, feature: Feature, form: str = "") -> "Source":
        """The feature at that position of a contract."""
        return cls(position, feature.kind, feature.categories, form)

    def values(self, rows: Matrix) -> list[Any]:
        """Its values in Python's own types, None where there is none."""
        numbers = rows[:, self.position]
        if self.kind == "time":
            return list(_moments(numbers).astype(object))
        read = _READERS.get(self.kind) or (lambda code: self.categories[int(code)])
        return [None if number != number else read(number) for number in numbers.tolist()]

    def texts(self, rows: Matrix) -> list[str | None]:
        """Its values as text, None where there is none."""
        form = self.format
        return [None if value is None else _text(value, form) for value in self.values(rows)]


@dataclass(frozen=True)
class Column:
    """A column as the pipeline knows it.

    `parts` is the feature that it is; or, for a text, the features and the texts between
    them that it is made of. A text of which one feature is missing is missing.
    """

    name: str
    kind: ColumnKind
    parts: tuple[Source | str, ...]

    @property
    def source(self) -> Source:
        """The feature that it is, of a column that is no text made of several."""
        [source] = [part for part in self.parts if isinstance(part, Source)]
        return source

    def values(self, rows: Matrix) -> list[Any]:
        """Its values in Python's own types, None where there is none."""
        if self.kind == "text":
            return self._texts(rows)
        values = self.source.values(rows)
        read = _READERS.get(self.kind, _as_is)
        return [None if value is None else read(value) for value in values]

    def array(self, rows: Matrix) -> NDArray[Any]:
        """Its values as a data frame has them: NaN and NaT where there is none, None among texts."""
        if self.kind == "text":
            return _objects(self._texts(rows))
        numbers = rows[:, self.source.position]
        if self.kind == "time":
            return _moments(numbers)
        if self.kind == "number":
            return np.array(numbers)
        if np.isnan(numbers).any():
            return _objects(self.values(rows))
        return numbers.astype(np.bool_ if self.kind == "boolean" else np.int64)

    def _texts(self, rows: Matrix) -> list[str | None]:
        parts: Iterable[Sequence[str | None]] = (
            part.texts(rows) if isinstance(part, Source) else [part] * len(rows) for part in self.parts
        )
        return [
            None if None in pieces else "".join(map(str, pieces)) for pieces in zip(*parts, strict=True)
        ]


@dataclass(frozen=True)
class NamedRegressor:
    """A regression whose pipeline takes these columns in this form."""

    pipeline: Any
    columns: tuple[Column, ...]
    form: Form

    def predict(self, rows: Matrix) -> Matrix:
        """A quantity for each of the rows, which are as the contract encodes them, (n_rows,)."""
        answers: Matrix = np.asarray(self.pipeline.predict(self.decode(rows)), dtype=np.float64)
        return answers.reshape(len(rows))

    def decode(self, rows: Matrix) -> Any:  # noqa: ANN401 (a matrix, frame or list)
        """The rows as the pipeline takes them."""
        if self.form == "matrix":
            return rows[:, [column.source.position for column in self.columns]]
        if self.form == "records":
            names = [column.name for column in self.columns]
            values = (column.values(rows) for column in self.columns)
            return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]
        return _pandas().DataFrame({column.name: column.array(rows) for column in self.columns})


@dataclass(frozen=True)
class NamedClassifier(NamedRegressor):
    """A classification whose pipeline takes these columns in this form.

    `labels` has the contract's label for each of the pipeline's classes, in their order.
    """

    labels: tuple[str, ...]

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels in order, as scikit-learn's classifiers have them."""
        return np.array(sorted(self.labels))

    def predict(self, rows: Matrix) -> NDArray[Any]:
        """The label of each row, (n_rows,)."""
        predicted = np.asarray(self.pipeline.predict(self.decode(rows))).reshape(len(rows))
        answers = np.empty(len(rows), dtype=self.classes_.dtype)
        for label, known in zip(self.labels, self.pipeline.classes_, strict=True):
            answers[predicted == known] = label
        return answers

    def predict_proba(self, rows: Matrix) -> Matrix:
        """Each label's probability, (n_rows, n_labels), in the order of `classes_`."""
        probabilities: Matrix = np.asarray(self.pipeline.predict_proba(self.decode(rows)), dtype=np.float64)
        return probabilities[:, np.argsort(self.labels)]


def _pandas() -> Any:  # noqa: ANN401 (a module that need not be there)
    """pandas, which no other part of scoring needs."""
    try:
        return importlib.import_module("pandas")
    except ImportError as error:
        raise ArtefactError(
            "This pipeline takes a data frame, and pandas is not installed here: pip install pandas"
        ) from error


def _moments(seconds: Matrix) -> NDArray[np.datetime64]:
    """Seconds since 1970 on the wall clock as datetime64, NaT where there is none."""
    known = ~np.isnan(seconds)
    moments = np.full(len(seconds), np.datetime64("NaT"), dtype="datetime64[us]")
    moments[known] = np.rint(seconds[known] * 1e6).astype(np.int64).view("datetime64[us]")
    return moments


def _text(value: Any, form: str) -> str:  # noqa: ANN401 (any of a feature's values)
    return value.isoformat(sep=" ") if isinstance(value, datetime) and not form else format(value, form)


def _as_is(value: Any) -> Any:  # noqa: ANN401 (any of a feature's values)
    return value


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made
