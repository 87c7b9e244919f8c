"""Rows as they may be given, as JSON in parts of a bounded size, and the answers put back together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from sepal.client import frames
from sepal.client.answers import Prediction, read_prediction, read_predictions
from sepal.contracts import Contract, Features
from sepal.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Row: TypeAlias = Mapping[str, object] | Features
"""By feature's name or alias. A missing optional value is None, or left out."""

Rows: TypeAlias = "Row | Iterable[Row] | pd.DataFrame | pl.DataFrame"


@dataclass(frozen=True)
class Part:
    """Some rows in a row, for one request."""

    start: int
    rows: Sequence[Any]
    alone: bool
    contract: Contract | None

    def encode(self) -> bytes:
        """The request's body; DataError if a value has no place in JSON."""
        try:
            return to_json(self.rows[0] if self.alone else self.rows, fallback=_plain)
        except PydanticSerializationError as error:
            raise DataError(
                f"The rows from {self.start} to {self.start + len(self.rows) - 1} can't be JSON: {error}."
            ) from error

    def cut(self, pieces: int) -> "list[Part]":
        """The same rows in about so many parts, at least one row in each."""
        most = max(1, -(-len(self.rows) // pieces))
        return [
            Part(self.start + at, self.rows[at : at + most], self.alone, self.contract)
            for at in range(0, len(self.rows), most)
        ]

    def decode(self, body: bytes) -> list[Prediction]:
        """The answers to them."""
        if self.alone:
            return read_prediction(body, self.contract)
        return read_predictions(body, len(self.rows), self.contract)


class Given:
    """What a caller gave: one row, several, or a frame."""

    def __init__(self, rows: Any, contract: Contract | None) -> None:  # noqa: ANN401 (of libraries that may not be there)
        self._given, self._contract = rows, contract
        self._alone = isinstance(rows, Mapping | BaseModel)
        self._frame = frames.is_pandas(rows) or frames.is_polars(rows)
        self.rows: Sequence[Any]
        if self._alone:
            self.rows = [rows]
        elif self._frame:
            self.rows = frames.rows_of(rows, contract)
        else:
            self.rows = list(rows)
            _check(self.rows)

    def parts(self, most: int) -> list[Part]:
        """Parts of at most so many rows, in order."""
        return [
            Part(at, self.rows[at : at + most], self._alone, self._contract)
            for at in range(0, len(self.rows), most)
        ]

    def result(self, answers: Sequence[Sequence[Prediction]]) -> Any:  # noqa: ANN401 (typed by the clients' overloads)
        """The parts' answers in the form in which the rows were given."""
        joined = [answer for part in answers for answer in part]
        if self._alone:
            return joined[0]
        return frames.frame_of(joined, self._given) if self._frame else joined


def _check(rows: Sequence[object]) -> None:
    for at, row in enumerate(rows):
        if not isinstance(row, Mapping | BaseModel):
            raise DataError(
                f"Row {at} is {row!r:.100}: a row is a dictionary by feature's name, "
                "or a contract's Features."
            )


def _plain(value: object) -> object:
    """Python's own value of a number of numpy, or of what else has `item`."""
    if callable(item := getattr(value, "item", None)):
        return item()
    raise TypeError(f"{value!r:.100} of type {type(value).__name__} has no place in JSON")
