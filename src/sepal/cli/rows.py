"""Rows as people type them or have them in files, as the service takes them."""

import csv
import io
import json
import shlex
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import typer

from sepal.errors import DataError

if TYPE_CHECKING:
    from sepal.client import ModelDescription

Row = dict[str, Any]


def rows_of_options(rows: Sequence[str], values: Sequence[str], model: "ModelDescription") -> list[Row]:
    """The rows of `--row`; `values` are the rest of a single one that was not put in quotes."""
    if values and len(rows) > 1:
        raise typer.BadParameter("put each row in quotes if there are several", param_hint="--row")
    if not rows:
        return [_row(list(values), model)]
    return [_row([*_words(row), *values], model) for row in rows]


def _words(row: str) -> list[str]:
    if row.lstrip().startswith("{"):
        return [row]
    try:
        return shlex.split(row.replace(",", " "))
    except ValueError as error:
        raise typer.BadParameter(f"{row!r}: {error}", param_hint="--row") from error


def _row(words: list[str], model: "ModelDescription") -> Row:
    if len(words) == 1 and words[0].lstrip().startswith("{"):
        found = _json(words[0], "--row")
        assert isinstance(found, dict)  # noqa: S101 (it begins so)
        return found
    row: Row = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{word!r} is not NAME=VALUE", param_hint="--row")
        if name in row:
            raise typer.BadParameter(f"{name} comes twice: give each row a --row", param_hint="--row")
        row[name] = value
    return _typed(row, model)


def rows_of_text(text: str, model: "ModelDescription") -> list[Row]:
    """The rows of a file: an array or lines of JSON objects, or CSV with a header."""
    start = text.lstrip()[:1]
    if not start:
        raise DataError("There are no rows: the input is empty.")
    if start == "[":
        return _objects(_json(text, "the input"))
    if start == "{":
        return _objects(_json_lines(text))
    known = {known for f in model.features for known in (f.name, *f.aliases)}
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a column that is left out may be long
    table = csv.DictReader(io.StringIO(text, newline=""), restkey="")
    try:
        names = table.fieldnames or ()
        rows = [{k: v for k, v in row.items() if k in known} for row in table]
    except csv.Error as error:
        raise DataError(f"The CSV can't be read: line {table.line_num}: {error}.") from error
    if not known & set(names):
        raise DataError(
            f"The first line names no feature of {model.name}, which takes "
            f"{', '.join(f.name for f in model.features)}. It begins {text[:80].splitlines()[0]!r}."
        )
    return [_typed(row, model) for row in rows]


def _json_lines(text: str) -> object:
    """One object over several lines, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [_json(line, f"line {at}") for at, line in enumerate(text.splitlines(), 1) if line.strip()]


def _json(text: str, where: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"The JSON of {where} can't be read: {error}.") from error


def _objects(found: object) -> list[Row]:
    rows: list[Row] = []
    for at, row in enumerate(found if isinstance(found, list) else [found]):
        if not isinstance(row, dict):
            raise DataError(f"Row {at} is {row!r:.80}: a row is an object by feature's name.")
        rows.append(row)
    return rows


def _typed(row: dict[str, str | None], model: "ModelDescription") -> Row:
    """A row of text as values; what can't be one stays text, for the service to say what is wrong."""
    readers = {known: _READERS.get(f.kind, str) for f in model.features for known in (f.name, *f.aliases)}
    typed: Row = {}
    for name, value in row.items():
        if value is None or not value.strip():
            continue
        try:
            typed[name] = readers.get(name, str)(value.strip())
        except ValueError:
            typed[name] = value
    return typed


def _number(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise ValueError(text)  # NaN and infinity are no JSON
    return number


_BOOLEANS = {"true": True, "false": False}
"""As `sepal score` reads them."""


def _boolean(text: str) -> bool:
    if text.lower() not in _BOOLEANS:
        raise ValueError(text)
    return _BOOLEANS[text.lower()]


def _integer(text: str) -> float:
    number = _number(text)
    return int(number) if number.is_integer() else number


_READERS: dict[str, Callable[[str], object]] = {"number": _number, "integer": _integer, "boolean": _boolean}
