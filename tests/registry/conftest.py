"""A PostgreSQL server, for the registry as for the queues of jobs."""

from tests.jobs.conftest import postgres_url

__all__ = ["postgres_url"]
