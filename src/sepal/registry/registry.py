"""The registry: makes versions, knows which is champion, and keeps the record."""

import getpass
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, text, update

from sepal.errors import NoChampionError, NotFoundError
from sepal.registry import tables
from sepal.registry.artefacts import EVALUATOR_SHA256, ArtefactStore, libraries
from sepal.registry.database import Database
from sepal.registry.versions import Draft, Version
from sepal.settings import Settings

CHAMPION = "champion"
"""The alias of the version that answers."""


class Registry:
    """Versions in a database, their artefacts in a store."""

    def __init__(self, database: Database, artefacts: ArtefactStore) -> None:
        self._database = database
        self.artefacts = artefacts

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator["Registry"]:
        """The registry that the settings name."""
        database = Database(settings.database)
        try:
            yield cls(database, ArtefactStore(settings.bentoml_home))
        finally:
            database.close()

    def register(self, draft: Draft) -> Version:
        """Make a draft the next version of its model; the first one becomes champion.

        The artefact is complete on disk before anything speaks of it. Then, under the
        database's write lock: take the next number, give the artefact its place, record
        the version, commit. Killed anywhere, there is either the whole version or none,
        and the next training gets the same number.
        """
        with (
            self.artefacts.stage(draft.pipeline, draft.evaluator) as staged,
            self._database.writing() as connection,
        ):
            version = _version(draft, _next_number(connection, draft.model), staged.sha256)
            staged.publish(version.tag)
            _record(connection, version)
            if version.number == 1:
                _make_champion(connection, version, "the first version")
        return self.version(version.model, version.name)

    def versions(self, model: str | None = None) -> list[Version]:
        """Every version, by model and number."""
        if not self._database.exists:
            return []
        with self._database.reading() as connection:
            query = select(tables.versions).order_by(tables.versions.c.model, tables.versions.c.number)
            if model is not None:
                query = query.where(tables.versions.c.model == model)
            return _read_versions(connection, connection.execute(query).mappings().all())

    def version(self, model: str, name: str) -> Version:
        """The version of that name; NotFoundError says which there are."""
        versions = self.versions(model)
        for version in versions:
            if version.name == name:
                return version
        there = ", ".join(version.name for version in versions) or "none"
        raise NotFoundError(f"There is no version {name!r} of {model}. There are: {there}.")

    def champion(self, model: str) -> Version:
        """The version that answers; NoChampionError says how to make one."""
        for version in self.versions(model):
            if CHAMPION in version.aliases:
                return version
        raise NoChampionError(f"{model} has no champion yet. Make one: sepal train {model}")


def _next_number(connection: Connection, model: str) -> int:
    connection.execute(
        text("INSERT INTO models (name, last_number) VALUES (:model, 0) ON CONFLICT (name) DO NOTHING"),
        {"model": model},
    )
    following = tables.models.c.last_number + 1
    take = update(tables.models).where(tables.models.c.name == model).values(last_number=following)
    return int(connection.execute(take.returning(tables.models.c.last_number)).scalar_one())


def _version(draft: Draft, number: int, sha256: str) -> Version:
    return Version(
        model=draft.model,
        number=number,
        algorithm=draft.algorithm,
        created_at=_now(),
        contract_signature=draft.contract_signature,
        artefact_sha256=sha256,
        libraries=libraries(),
        metrics=draft.metrics,
        details=_details(draft),
        data_source=draft.data_source,
        data_fingerprint=draft.data_fingerprint,
        train_rows=draft.train_rows,
        test_rows=draft.test_rows,
    )


def _details(draft: Draft) -> Mapping[str, Any]:
    if draft.evaluator is None:
        return draft.details
    return {**draft.details, EVALUATOR_SHA256: hashlib.sha256(draft.evaluator).hexdigest()}


def _record(connection: Connection, version: Version) -> None:
    row = {column.name: getattr(version, column.name) for column in tables.versions.columns}
    connection.execute(insert(tables.versions).values(**row))
    measured = [
        {"model": version.model, "number": version.number, "split": split, "name": name, "value": value}
        for split, values in version.metrics.items()
        for name, value in values.items()
    ]
    if measured:
        connection.execute(insert(tables.metrics), measured)
    _audit(connection, "register", version, why=f"trained on {version.data_source}")


def _make_champion(connection: Connection, version: Version, why: str) -> None:
    values = {"model": version.model, "alias": CHAMPION, "number": version.number}
    connection.execute(insert(tables.aliases).values(**values))
    _audit(connection, "promote", version, why, alias=CHAMPION)


def _audit(
    connection: Connection, action: str, version: Version, why: str, alias: str | None = None
) -> None:
    connection.execute(
        insert(tables.audit).values(
            at=_now(),
            actor=getpass.getuser(),
            action=action,
            model=version.model,
            version=version.name,
            alias=alias,
            why=why,
        )
    )


def _read_versions(connection: Connection, rows: Sequence[RowMapping]) -> list[Version]:
    measured: dict[tuple[str, int], dict[str, dict[str, float]]] = {}
    for metric in connection.execute(select(tables.metrics)).mappings():
        splits = measured.setdefault((metric["model"], metric["number"]), {})
        splits.setdefault(metric["split"], {})[metric["name"]] = metric["value"]
    named: dict[tuple[str, int], tuple[str, ...]] = {}
    for alias in connection.execute(select(tables.aliases)).mappings():
        key = alias["model"], alias["number"]
        named[key] = (*named.get(key, ()), alias["alias"])
    return [
        _from_row(row, measured.get(key, {}), named.get(key, ()))
        for row in rows
        for key in [(row["model"], row["number"])]
    ]


def _from_row(row: RowMapping, metrics: Mapping[str, Any], aliases: tuple[str, ...]) -> Version:
    values = {name: value for name, value in row.items() if name != "name"}
    return Version(**values, metrics=metrics, aliases=aliases)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
