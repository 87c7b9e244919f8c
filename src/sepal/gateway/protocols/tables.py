"""Rows in the forms that data frames are sent in, as columns of a contract."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from fastapi import HTTPException

from sepal.contracts import Contract, Feature
from sepal.contracts.columns import Columns
from sepal.contracts.features import Kind
from sepal.errors import DataError

_MISSING = ("", "NaN", "nan", "NaT")
"""How pandas writes that a value is not there."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Table:
    """Named columns of one length, some of them perhaps not the contract's."""

    columns: dict[str, list[Any]]
    n_rows: int

    @classmethod
    def of(cls, form: str, content: Any, contract: Contract) -> Self:  # noqa: ANN401 (JSON)
        """The rows in one of MLflow's forms; HTTPException 400 if it is none."""
        if form == "dataframe_split":
            return cls._of_split(content)
        if isinstance(content, dict) and form == "inputs":
            return cls._of_columns(content)
        if not isinstance(content, list) or not content:
            raise HTTPException(400, f"{form} should be an array of one or more rows.")
        if all(isinstance(row, dict) for row in content):
            return cls.of_records(content)
        if form != "dataframe_records" and all(isinstance(row, list) for row in content):
            return cls.of_rows(in_order(contract, len(content[0])), content)
        raise HTTPException(400, f"The rows of {form} should all be objects with the features.")

    @classmethod
    def _of_split(cls, content: Any) -> Self:  # noqa: ANN401 (JSON)
        try:
            names, rows = content["columns"], content["data"]
        except (TypeError, KeyError) as error:
            raise HTTPException(400, "dataframe_split should have columns and data.") from error
        if not isinstance(names, list) or not isinstance(rows, list):
            raise HTTPException(400, "columns and data of dataframe_split should be arrays.")
        if not all(isinstance(row, list) for row in rows):
            raise HTTPException(400, "Each row of dataframe_split's data should be an array.")
        return cls.of_rows(names, rows)

    @classmethod
    def _of_columns(cls, content: dict[str, Any]) -> Self:
        if not all(isinstance(values, list) for values in content.values()):
            raise HTTPException(400, "Each column of inputs should be an array.")
        lengths = {len(values) for values in content.values()}
        if len(lengths) > 1:
            raise HTTPException(400, f"The columns of inputs are of different lengths: {sorted(lengths)}.")
        return cls(content, lengths.pop() if lengths else 0)

    @classmethod
    def of_records(cls, records: Sequence[dict[str, Any]]) -> Self:
        """Rows as objects; what one of them lacks and another has is missing there."""
        names = dict.fromkeys(name for record in records for name in record)
        return cls({name: [record.get(name) for record in records] for name in names}, len(records))

    @classmethod
    def of_rows(cls, names: Sequence[Any], rows: list[list[Any]]) -> Self:
        """Rows of values with the columns' names; HTTPException 400 if they do not fit."""
        names = [str(name) for name in names]
        if len(set(names)) < len(names):
            raise HTTPException(400, f"Two columns have one name: {', '.join(names)}.")
        for number, row in enumerate(rows):
            if len(row) != len(names):
                raise HTTPException(400, f"Row {number} has {len(row)} values, not {len(names)}.")
        columns = zip(*rows, strict=True) if rows else ([] for _ in names)
        return cls({name: list(values) for name, values in zip(names, columns, strict=True)}, len(rows))

    def columns_of(self, contract: Contract) -> Columns:
        """The contract's columns; others are left alone. HTTPException 400 if required ones are missing."""
        try:
            matched = contract.match_columns(list(self.columns))
        except DataError as error:
            raise HTTPException(400, str(error)) from error
        if not self.n_rows:
            raise HTTPException(400, "There are no rows. Send at least one.")
        return {
            feature.name: _without_missing(feature, self.columns[matched[feature.name]])
            for feature in contract.columns
            if feature.name in matched
        }


def in_order(contract: Contract, width: int) -> list[str]:
    """The features that so many values of a row without names stand for; HTTPException 422.

    All of them in contract order, or all but the optional ones.
    """
    every = [column.name for column in contract.columns]
    required = [column.name for column in contract.columns if not column.optional]
    for names in (every, required):
        if len(names) == width:
            return names
    raise HTTPException(
        422, f"A row of {contract.name} has {len(required)} values, not {width}: {', '.join(required)}."
    )


def read_csv(body: bytes, contract: Contract) -> Table:
    """The rows of CSV with a header line; HTTPException 400."""
    try:
        text = io.StringIO(body.decode("utf-8-sig"), newline="")
        lines = [line for line in csv.reader(text, strict=True) if line]
    except (UnicodeDecodeError, csv.Error) as error:
        raise HTTPException(400, f"The body can't be read as CSV: {error}.") from error
    if not lines:
        raise HTTPException(400, "The body is empty.")
    table = Table.of_rows(lines[0], lines[1:])
    kinds = {column.name: column.kind for column in contract.columns}
    for name, values in table.columns.items():
        if (feature := contract.column_of.get(name)) is not None:
            values[:] = [_of_text(kinds[feature], text) for text in values]
    return table


def _of_text(kind: Kind, text: str) -> Any:  # noqa: ANN401 (a value of any kind)
    """A value of CSV, as JSON would have it; text that is none stays text, and is told as wrong."""
    if kind in ("number", "integer") and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _without_missing(feature: Feature, values: list[Any]) -> list[Any]:
    if not feature.optional:
        return values
    return [None if value != value or value in _MISSING else value for value in values]
