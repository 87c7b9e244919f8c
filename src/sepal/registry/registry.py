"""The registry: makes versions, knows which is champion, and keeps the record."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, select

from sepal.errors import NoChampionError, NotFoundError
from sepal.registry import audit, records, tables
from sepal.registry.artefacts import ArtefactStore
from sepal.registry.aside import settle
from sepal.registry.database import PATIENCE, Database
from sepal.registry.versions import Draft, Version
from sepal.settings import Settings

_REGISTER_PATIENCE = 600.0
"""Seconds that a training waits for the write lock: its pipeline may have taken hours, and is gone if it
gives up. Others hold the lock for moments, but for migrations of big tables and slow disks."""

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
            yield cls(database, ArtefactStore.of(settings))
        finally:
            database.close()

    @property
    def exists(self) -> bool:
        """Whether there is a database with tables in it."""
        return self._database.exists

    def register(self, draft: Draft) -> Version:
        """Make a draft the next version of its model.

        It becomes champion if the model has none, unless it has a gate and did not pass, or
        the draft says otherwise.

        The artefact is complete on disk before anything speaks of it. Then, under the
        database's write lock: take the next number, give the artefact its place, record
        the version, commit. Killed anywhere, there is either the whole version or none,
        and the next training gets the same number.
        """
        with (
            self.artefacts.stage(draft.pipeline, draft.evaluator) as staged,
            self.writing(_REGISTER_PATIENCE) as connection,
        ):
            number = records.next_number(connection, draft.model)
            version = records.made_of(draft, number, staged.sha256, staged.stored_as)
            staged.publish(version.tag)
            version = records.record(connection, version)
            audit.append(connection, "register", version, draft.why or f"trained on {version.data_source}")
            lacks = records.aliased(connection, version.model, CHAMPION) is None and not draft.only_by_hand
            if lacks and version.state in ("passed", "unjudged"):
                records.point(connection, CHAMPION, version)
                why = "the first version" if number == 1 else "the first that its gate let pass"
                audit.append(connection, "promote", version, why, alias=CHAMPION)
        return self.version(version.model, version.name)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads one state; RegistryError if the tables are not those of this release."""
        with self._database.reading() as connection:
            yield connection

    @contextmanager
    def writing(self, patience: float = PATIENCE) -> Iterator[Connection]:
        """A transaction that holds the write lock, for which it waits at most `patience` seconds.

        First it finishes, one way or the other, what a command left that was killed while
        it took artefacts away.
        """
        with self._database.writing(patience) as connection:
            settle(self.artefacts, lambda tag: records.has(connection, tag))
            yield connection

    def bring_up_to_date(self) -> None:
        """Bring the tables, if there are any, to this release's; finish what was left half-done."""
        if self._database.exists:
            with self.writing():
                pass

    def versions(self, model: str | None = None) -> list[Version]:
        """Every version, by model and number."""
        if not self._database.exists:
            return []
        with self.reading() as connection:
            return records.read(connection, model)

    def version(self, model: str, name: str) -> Version:
        """The version of that name; NotFoundError says which there are."""
        return named(self.versions(model), model, name)

    def champion(self, model: str) -> Version:
        """The version that answers; NoChampionError says how to make one."""
        versions = self.versions(model)
        for version in versions:
            if CHAMPION in version.aliases:
                return version
        if not versions:
            raise NoChampionError(f"{model} has no champion yet. Make one: sepal train {model}")
        raise NoChampionError(
            f"{model} has no champion: its gate has let none of its versions pass. Train a better one, "
            f"or choose one: sepal models promote {model} {versions[-1].name} --why REASON"
        )

    def champions(self) -> dict[str, tuple[int, str]]:
        """For each model that has one the champion's number and artefact's SHA-256, by one small query."""
        if not self._database.exists:
            return {}
        versions, aliases = tables.versions.c, tables.aliases.c
        query = (
            select(versions.model, versions.number, versions.artefact_sha256)
            .join(tables.aliases, (aliases.model == versions.model) & (aliases.number == versions.number))
            .where(aliases.alias == CHAMPION)
        )
        with self.reading() as connection:
            return {row.model: (row.number, row.artefact_sha256) for row in connection.execute(query)}

    def trail(self, model: str | None = None) -> list[audit.Entry]:
        """The audit trail of one model or of all, oldest first."""
        if not self._database.exists:
            return []
        with self.reading() as connection:
            return audit.entries(connection, model)


def named(versions: list[Version], model: str, name: str) -> Version:
    """The version of that name among a model's; NotFoundError says which there are."""
    for version in versions:
        if version.name == name:
            return version
    there = ", ".join(version.name for version in versions) or "none"
    raise NotFoundError(f"There is no version {name!r} of {model}. There are: {there}.")
