"""The registry's database: connections, transactions, and bringing its tables up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from sepal.errors import ConfigurationError, RegistryError
from sepal.registry.versions import SCHEMA as SCHEMA

_BUSY_TIMEOUT_MS = 30_000
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """One SQLAlchemy URL. Nothing is opened before it is used."""

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
            self._engine = create_engine(self._url)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigurationError(f"SEPAL_DATABASE_URL={url!r} can't be used: {error}") from error
        self._writing = self._engine.execution_options(sepal_write=True)
        if self._engine.dialect.name == "sqlite":
            _make_transactions_explicit(self._engine)

    @property
    def exists(self) -> bool:
        """Whether there is a database with tables in it."""
        if self._file is not None and not self._file.is_file():
            return False  # connecting would make an empty file
        with self.reading(check=False) as connection:
            return inspect(connection).has_table("alembic_version")

    @contextmanager
    def reading(self, *, check: bool = True) -> Iterator[Connection]:
        """A transaction that reads; RegistryError if the tables are not those of this release."""
        with self._translated(), self._engine.begin() as connection:
            if check:
                self._check_schema(connection)
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, on tables that are up to date."""
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._translated(), self._writing.begin() as connection:
            if self._schema(connection) != SCHEMA:
                _migrate(connection)
            yield connection

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @property
    def _file(self) -> Path | None:
        if self._engine.dialect.name == "sqlite" and self._url.database not in (None, "", ":memory:"):
            return Path(str(self._url.database))
        return None

    def _check_schema(self, connection: Connection) -> None:
        if (found := self._schema(connection)) != SCHEMA:
            raise RegistryError(
                f"The tables in {self} are of schema {found or 'none'}, this release works with {SCHEMA}. "
                "`sepal serve` and `sepal train` bring old ones up to date; newer ones need a newer Sepal."
            )

    @staticmethod
    def _schema(connection: Connection) -> str | None:
        if not inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise RegistryError(f"The registry in {self} can't be used: {error.orig}.") from error

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)


def _make_transactions_explicit(engine: Engine) -> None:
    """Have SQLite begin where SQLAlchemy says so, and writers take the lock before they read.

    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#serializable-isolation-savepoints-transactional-ddl
    """

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:  # noqa: ANN401 (sqlite3's connection)
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("sepal_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_MIGRATIONS))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise RegistryError(f"The registry's tables can't be brought up to date: {error}") from error
