"""The bounds of one gateway process on its clients' connections, and the watch over slow ones."""

import asyncio
import logging
import resource
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from sepal.settings import Settings

logger = logging.getLogger(__name__)

BOUNDS = "sepal.bounds"
"""Where the protocol finds them in the state of the application's life."""

_LONGEST_INTERVAL = 1.0
"""Seconds between two looks at one connection."""

_TURNS = 50
"""A look at all connections is taken in so many turns: at thousands of them it takes milliseconds."""

_OTHER_DESCRIPTORS = 200
"""Descriptors besides those of clients' connections and calls upstream: files, pipes, the listener."""


class Connection(Protocol):
    """What is asked of a client's connection here."""

    def look(self, now: float) -> None:
        """Cut it off if its client is too slow, at monotonic time `now`."""

    def close_after_answer(self) -> None:
        """Have it closed once what is under way has been answered."""


@dataclass(slots=True)
class Bounds:
    """The bounds of one process, its connections, and how often each bound was met, by its name.

    With `closing`, each connection is closed after its next answer.
    """

    max_requests: int
    max_connections: int
    max_header_bytes: int
    client_timeout: float
    retry_after: int
    closing: bool = False
    refused: dict[str, int] = field(default_factory=dict)
    connections: Collection[Connection] = ()
    handshakes: set[object] = field(default_factory=set)
    """Protocols of those that still shake hands for TLS; they become connections after it."""
    _told: set[type[Exception]] = field(default_factory=set)
    """Kinds of failures of the watch that the log has already."""

    @property
    def open(self) -> int:
        """How many connections are open, TLS handshakes under way included."""
        return len(self.connections) + len(self.handshakes)

    @property
    def too_many_to_tell(self) -> bool:
        """Whether those are too many, too, that are told that there are too many."""
        return self.open > self.max_connections + self.max_connections // 4 + 1

    def refuse(self, reason: str) -> None:
        """Count one refusal."""
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def close(self) -> None:
        """Close each connection after its next answer, and those of new clients too."""
        self.closing = True
        for connection in self.connections:
            connection.close_after_answer()

    async def watch(self) -> None:
        """Look after slow clients until cancelled, a few at a time, so that nobody else waits for it."""
        pause = min(_LONGEST_INTERVAL, self.client_timeout / 4) / _TURNS
        while True:
            connections = tuple(self.connections)
            for turn in range(_TURNS):
                await asyncio.sleep(pause)
                now = time.monotonic()
                for connection in connections[turn::_TURNS]:
                    try:
                        connection.look(now)
                    except Exception as error:  # noqa: BLE001 (the watch goes on for all others)
                        self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Log a failure of the watch, once for each kind: it may come again with every look."""
        if type(error) not in self._told:
            self._told.add(type(error))
            logger.error("a connection could not be looked after; the watch goes on", exc_info=error)


def bounds_of(settings: Settings) -> Bounds:
    """The bounds that the settings say."""
    return Bounds(
        settings.max_requests,
        settings.max_connections,
        settings.max_header_bytes,
        settings.client_timeout,
        settings.retry_after,
    )


def raise_descriptor_limit(settings: Settings) -> None:
    """Let this process open as many files as the system allows it; warn if that is too few."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    needed = settings.max_connections + settings.upstream_connections + _OTHER_DESCRIPTORS
    if most not in (resource.RLIM_INFINITY, -1) and needed > most:
        logger.warning(
            "the system lets a process open %d files, and SEPAL_MAX_CONNECTIONS=%d needs %d: "
            "raise the limit (ulimit -n), or lower the setting",
            most,
            settings.max_connections,
            needed,
        )
