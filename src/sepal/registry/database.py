"""The registry's database: connections, transactions, and bringing its tables up to date."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from sepal.errors import ConfigurationError, RegistryError
from sepal.registry.versions import SCHEMA as SCHEMA

PATIENCE = 30.0
"""Seconds that a command waits for another one's write lock, which is held for moments."""

_DIALECTS = ("sqlite", "postgresql")
_POSTGRESQL_LOCK = 0x5E9A1
"""Names the write lock among PostgreSQL's advisory locks; it is of no table."""
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The URL of a SQLite file or of a PostgreSQL database. Nothing is opened before it is used."""

    def __init__(self, url: str) -> None:
        unusable = f"SEPAL_DATABASE_URL={_hidden(url)!r} can't be used"
        try:
            self._url = make_url(url)
            self._dialect = self._url.get_backend_name()
            if self._dialect not in _DIALECTS:
                raise ConfigurationError(
                    f"{unusable}: Sepal can't lock {self._dialect} for one writer at a time. "
                    "Say sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE."
                )
            self._engine = create_engine(_with_driver(self._url))
        except (ArgumentError, NoSuchModuleError) as error:
            raise ConfigurationError(f"{unusable}: {error}") from error
        except ImportError as error:
            raise ConfigurationError(
                f"{unusable}: {error}. PostgreSQL needs: pip install 'sepal[postgres]'"
            ) from error
        if self._dialect == "sqlite":
            _make_transactions_explicit(self._engine)
            self._snapshots = self._engine
        else:
            self._snapshots = self._engine.execution_options(isolation_level="REPEATABLE READ")

    @property
    def exists(self) -> bool:
        """Whether there is a database with tables in it."""
        if self._file is not None and not self._file.is_file():
            return False  # connecting would make an empty file
        with self.reading(check=False) as connection:
            return inspect(connection).has_table("alembic_version")

    @contextmanager
    def reading(self, *, check: bool = True) -> Iterator[Connection]:
        """A transaction that reads one state; RegistryError if the tables are not those of this release."""
        with self._translated(), self._snapshots.begin() as connection:
            if check:
                self._check_schema(connection)
            yield connection

    @contextmanager
    def writing(self, patience: float = PATIENCE) -> Iterator[Connection]:
        """A transaction that holds the write lock from its start, on tables that are up to date.

        RegistryError if others hold it for longer than `patience` seconds.
        """
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        engine = self._engine.execution_options(sepal_patience=patience)
        with self._translated(), engine.begin() as connection:
            if self._dialect == "postgresql":
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {_milliseconds(patience)}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_POSTGRESQL_LOCK})")
            if self._schema(connection) != SCHEMA:
                _migrate(connection)
            yield connection

    def close(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    @property
    def _file(self) -> Path | None:
        if self._dialect == "sqlite" and self._url.database not in (None, "", ":memory:"):
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
        except DBAPIError as error:
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

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        patience = connection.get_execution_options().get("sepal_patience")
        waits = PATIENCE if patience is None else patience
        connection.exec_driver_sql(f"PRAGMA busy_timeout = {_milliseconds(waits)}")
        connection.exec_driver_sql("BEGIN" if patience is None else "BEGIN IMMEDIATE")


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)


def _with_driver(url: URL) -> URL:
    """PostgreSQL by the driver that the extra `postgres` brings."""
    return url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url


def _hidden(url: str) -> str:
    """A URL without its password, if it is one."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


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
