"""A registry of a few versions alone, which travels with them."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import insert

from sepal.registry import audit, records, tables
from sepal.registry.database import Database
from sepal.registry.registry import CHAMPION
from sepal.registry.versions import Version


def pack(versions: Iterable[Version], file: Path) -> None:
    """Write a new SQLite file with these versions, one a model, each the champion of its model.

    Numbers, records and checksums are those that they have; the audit trail begins anew.
    """
    database = Database(f"sqlite:///{file}")
    try:
        with database.writing() as connection:
            for version in versions:
                named = insert(tables.models).values(name=version.model, last_number=version.number)
                connection.execute(named)
                records.record(connection, version)
                audit.append(connection, "register", version, "packed into a bento")
                records.point(connection, CHAMPION, version)
                audit.append(connection, "promote", version, "packed as the champion", alias=CHAMPION)
    finally:
        database.close()
