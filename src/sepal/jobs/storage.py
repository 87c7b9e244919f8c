"""The storages of huey: a queue, keys and values, and counters, over SQLite, Redis or PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huey import storage as huey_storage
from huey.exceptions import ConfigurationError as HueyConfigurationError
from huey.storage import BaseStorage

from sepal.errors import ConfigurationError, QueueError


def open_storage(url: str, name: str) -> BaseStorage:
    """The storage of a queue by this name.

    QueueError if it can't be reached, ConfigurationError if its driver is not installed.
    """
    scheme, _, rest = url.partition("://")
    with told():
        try:
            if scheme == "sqlite":
                file = Path(rest.removeprefix("/"))
                file.parent.mkdir(parents=True, exist_ok=True)
                return huey_storage.SqliteStorage(name, filename=str(file), fsync=True)
            if scheme == "postgresql":
                return huey_storage.PostgresStorage(
                    name, dsn=url, table_prefix="sepal_jobs", blocking=False
                )
            return huey_storage.RedisStorage(name, url=url, blocking=False)
        except HueyConfigurationError as error:
            extra = "postgres" if scheme == "postgresql" else "redis"
            raise ConfigurationError(
                f"SEPAL_JOBS_QUEUE_URL is at {scheme}, whose driver is not installed: "
                f'pip install "sepal[{extra}]".'
            ) from error


@contextmanager
def told() -> Iterator[None]:
    """Tell what goes wrong in a storage as a QueueError, with nothing of its address."""
    try:
        yield
    except _errors() as error:
        raise QueueError(
            f"The queue of jobs does not answer ({type(error).__name__}). Try again shortly."
        ) from error


def _errors() -> tuple[type[Exception], ...]:
    """What the storages raise, as far as their drivers are installed."""
    errors: list[type[Exception]] = [OSError, sqlite3.Error]
    if huey_storage.Redis is not None:
        from redis.exceptions import RedisError

        errors.append(RedisError)
    if huey_storage.psycopg is not None:
        errors.append(huey_storage.psycopg.Error)
    return tuple(errors)
