"""Finds one version, from a SQLite file without SQLAlchemy, whose import takes an eighth of a second.

For commands that score and end. `Registry` answers whenever there is anything unusual, and
tells what is wrong.
"""

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

from sepal.registry.versions import SCHEMA, Version
from sepal.settings import Settings

_SQLITE = "sqlite:///"
_BUSY_TIMEOUT = 30.0
"""Seconds that a writer is waited for, as the registry does."""

_CHAMPION = "SELECT number FROM aliases WHERE model = :model AND alias = 'champion'"
_NAMED = "SELECT number FROM versions WHERE model = :model AND name = :name"
_VERSION = "SELECT * FROM versions WHERE model = :model AND number = :number"
_ALIASES = "SELECT alias FROM aliases WHERE model = :model AND number = :number"
_METRICS = "SELECT split, name, value FROM metrics WHERE model = :model AND number = :number"


def find_version(settings: Settings, model: str, name: str | None = None) -> Version:
    """The version of that name, or the champion; NotFoundError and NoChampionError as `Registry` says."""
    if (found := _in_sqlite(settings.database, model, name)) is not None:
        return found
    from sepal.registry.registry import Registry

    with Registry.open(settings) as registry:
        return registry.version(model, name) if name else registry.champion(model)


def _in_sqlite(url: str, model: str, name: str | None) -> Version | None:
    """None if the database is no SQLite file of this release's tables with that version in it."""
    path = Path(url.removeprefix(_SQLITE))
    if not url.startswith(_SQLITE) or not path.is_file():
        return None
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, timeout=_BUSY_TIMEOUT, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            connection.execute("BEGIN")  # all queries see one state
            return _read(connection, model, name)
    except sqlite3.Error:
        return None


def _read(connection: sqlite3.Connection, model: str, name: str | None) -> Version | None:
    def rows(query: str, **values: object) -> list[sqlite3.Row]:
        return connection.execute(query, {"model": model, **values}).fetchall()

    if [*map(tuple, rows("SELECT version_num FROM alembic_version"))] != [(SCHEMA,)]:
        return None
    found = rows(_NAMED, name=name) if name else rows(_CHAMPION)
    if not found:
        return None
    number = found[0]["number"]
    metrics: dict[str, dict[str, float]] = {}
    for metric in rows(_METRICS, number=number):
        metrics.setdefault(metric["split"], {})[metric["name"]] = metric["value"]
    aliases = tuple(row["alias"] for row in rows(_ALIASES, number=number))
    return _from_row(dict(rows(_VERSION, number=number)[0]), metrics, aliases)


def _from_row(row: dict[str, Any], metrics: Mapping[str, Any], aliases: tuple[str, ...]) -> Version:
    del row["name"]  # made of algorithm and number
    row |= {name: json.loads(row[name]) for name in ("libraries", "details", "reasons")}
    row |= {"reasons": tuple(row["reasons"]), "created_at": datetime.fromisoformat(row["created_at"])}
    return Version(**row, metrics=metrics, aliases=aliases)
