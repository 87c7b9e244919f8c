"""Holds values of JSON Lines against the types of JSON: no text for a number, no number for text."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sepal.contracts import Feature
from sepal.scoring.columns import NOT_READ

_TYPES: Mapping[str, Any] = {"number": pl.Float64, "integer": pl.Float64, "boolean": pl.Boolean}


@dataclass(frozen=True)
class JsonTypes:
    """What to look at in columns that are read as text, by which a number and its text are the same.

    `features` are those of the columns; `typed` the types of those that are no text in
    JSON; `bare` the categories that could be anything but text in JSON, such as `1`.
    """

    features: Mapping[str, Feature]
    typed: Mapping[str, Any]
    bare: Mapping[str, list[str]]

    @classmethod
    def of(cls, schema: Mapping[str, Any], features: Mapping[str, Feature]) -> "JsonTypes":
        """Of columns that are read by a schema; `features` by their columns."""
        as_text = {name: of for name, of in features.items() if schema.get(name) == pl.String}
        bare = {name: [c for c in of.categories if _is_json(c)] for name, of in as_text.items()}
        return cls(
            as_text,
            {name: _TYPES[of.kind] for name, of in as_text.items() if of.kind in _TYPES},
            {name: names for name, names in bare.items() if names},
        )

    def faults(
        self, frame: pl.DataFrame, data: bytes, row: Callable[[int], Mapping[str, Any]]
    ) -> dict[int, tuple[str, str]]:
        """Rows with a value of another type, each with its column and what is wrong with it.

        `frame` is what was read of the lines of `data`, and `row` gives the object of one.
        """
        found: dict[int, tuple[str, str]] = {}
        for name, suspects in self._suspects(frame, data):
            kind = self.features[name].kind
            for at in suspects.arg_true():
                if at not in found and not _fits(row(at).get(name), kind):
                    found[at] = (name, NOT_READ[kind])
        return found

    def _suspects(self, frame: pl.DataFrame, data: bytes) -> Iterator[tuple[str, pl.Series]]:
        for name, names in self.bare.items():
            yield name, frame[name].is_in(names)
        if not self.typed or not len(frame):
            return
        read = pl.read_ndjson(data, schema=dict(self.typed), ignore_errors=True)
        for name in self.typed:
            yield name, read[name].is_null() & frame[name].is_not_null()


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _fits(value: object, kind: str) -> bool:
    if value is None:
        return True
    if kind in ("number", "integer"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, bool if kind == "boolean" else str)
