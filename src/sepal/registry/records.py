"""Versions as rows: written, read and removed."""

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Table,
    and_,
    delete,
    insert,
    select,
    text,
    update,
)

from sepal.registry import tables
from sepal.registry.artefacts import EVALUATOR_SHA256, FILES, STORED_AS, libraries
from sepal.registry.audit import now
from sepal.registry.versions import Draft, Format, Version


def next_number(connection: Connection, model: str) -> int:
    """Take the next number of a model. For the holder of the write lock."""
    connection.execute(
        text("INSERT INTO models (name, last_number) VALUES (:model, 0) ON CONFLICT (name) DO NOTHING"),
        {"model": model},
    )
    following = tables.models.c.last_number + 1
    take = update(tables.models).where(tables.models.c.name == model).values(last_number=following)
    return int(connection.execute(take.returning(tables.models.c.last_number)).scalar_one())


def made_of(draft: Draft, number: int, sha256: str, stored_as: Format = "pickle") -> Version:
    """The version that a draft becomes."""
    details = draft.details
    if stored_as != "pickle":
        details = {**details, STORED_AS: {"format": stored_as, "file": FILES[stored_as]}}
    if draft.evaluator is not None:
        details = {**details, EVALUATOR_SHA256: hashlib.sha256(draft.evaluator).hexdigest()}
    return Version(
        model=draft.model,
        number=number,
        algorithm=draft.algorithm,
        created_at=now(),
        contract_signature=draft.contract_signature,
        artefact_sha256=sha256,
        libraries=libraries(),
        metrics=draft.metrics,
        details=details,
        data_source=draft.data_source,
        data_fingerprint=draft.data_fingerprint,
        train_rows=draft.train_rows,
        test_rows=draft.test_rows,
        state=draft.state,
        reasons=draft.reasons,
    )


def record(connection: Connection, version: Version) -> Version:
    """Write a version; the version as it reads from now on."""
    row = {column.name: getattr(version, column.name) for column in tables.versions.columns}
    connection.execute(insert(tables.versions).values(**row))
    measured = [
        {"model": version.model, "number": version.number, "split": split, "name": name, "value": value}
        for split, values in version.metrics.items()
        for name, value in values.items()
    ]
    if measured:
        connection.execute(insert(tables.metrics), measured)
    [recorded] = read(connection, version.model, version.number)
    return recorded


def remove(connection: Connection, version: Version) -> None:
    """Remove a version that no alias names."""
    for table in (tables.metrics, tables.versions):
        where = and_(table.c.model == version.model, table.c.number == version.number)
        connection.execute(delete(table).where(where))


def read(connection: Connection, model: str | None = None, number: int | None = None) -> list[Version]:
    """All versions, those of one model, or one, by model and number."""
    wanted = {"model": model, "number": number}

    def where(table: Table) -> ColumnElement[bool]:
        return and_(True, *(table.c[name] == value for name, value in wanted.items() if value is not None))

    measured: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for metric in connection.execute(select(tables.metrics).where(where(tables.metrics))).mappings():
        splits = measured.setdefault((metric["model"], metric["number"]), {})
        splits.setdefault(metric["split"], {})[metric["name"]] = metric["value"]
    named: dict[tuple[str, int], tuple[str, ...]] = {}
    for alias in connection.execute(select(tables.aliases).where(where(tables.aliases))).mappings():
        key = alias["model"], alias["number"]
        named[key] = (*named.get(key, ()), alias["alias"])
    query = select(tables.versions).where(where(tables.versions))
    rows = connection.execute(query.order_by(tables.versions.c.model, tables.versions.c.number)).mappings()
    return [
        _from_row(row, measured.get(key, {}), named.get(key, ()))
        for row in rows
        for key in [(row["model"], row["number"])]
    ]


def has(connection: Connection, tag: str) -> bool:
    """Whether there is a version of this tag."""
    model, _, name = tag.partition(":")
    query = select(tables.versions.c.number).where(
        tables.versions.c.model == model, tables.versions.c.name == name
    )
    return connection.execute(query).first() is not None


def aliased(connection: Connection, model: str, alias: str) -> Version | None:
    """The version that an alias names."""
    query = select(tables.aliases.c.number).where(
        tables.aliases.c.model == model, tables.aliases.c.alias == alias
    )
    number = connection.execute(query).scalar_one_or_none()
    return None if number is None else next(iter(read(connection, model, number)), None)


def point(connection: Connection, alias: str, version: Version) -> None:
    """Have an alias name this version."""
    unpoint(connection, alias, version.model)
    connection.execute(
        insert(tables.aliases).values(model=version.model, alias=alias, number=version.number)
    )


def unpoint(connection: Connection, alias: str, model: str) -> None:
    """Have an alias of a model name no version any more."""
    table = tables.aliases
    connection.execute(delete(table).where(table.c.model == model, table.c.alias == alias))


def _from_row(row: RowMapping, metrics: Mapping[str, Any], aliases: tuple[str, ...]) -> Version:
    values = {name: value for name, value in row.items() if name not in ("name", "reasons")}
    return Version(**values, reasons=tuple(row["reasons"]), metrics=metrics, aliases=aliases)
