"""Keeps requests from waiting for a model server that is not there.

When it dies, its port may take connections long before anybody answers them again. So
after a connection has failed, every call is refused at once, and one probe at a time
finds out when the model server is back.
"""

import asyncio
from collections.abc import Awaitable, Callable

from sepal.errors import ModelServerUnavailableError, UpstreamError
from sepal.telemetry.correlation import CURRENT

PAUSE = 0.1
"""Seconds between two probes."""


class Breaker:
    """Closed while the model server can be reached, open from a failed connection to an answered probe."""

    def __init__(self, probe: Callable[[], Awaitable[object]]) -> None:
        self._probe = probe
        self._recovery: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raise ModelServerUnavailableError while it is open."""
        if self._recovery is not None:
            raise ModelServerUnavailableError("The model server can't be reached. Try again shortly.")

    def trip(self) -> None:
        """Open it, since a connection has failed."""
        if self._recovery is None:
            self._recovery = asyncio.create_task(self._recover())

    async def close(self) -> None:
        """Stop probing."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)

    async def _recover(self) -> None:
        CURRENT.set(None)  # it is for no one request
        while True:
            try:
                await self._probe()
            except UpstreamError:
                await asyncio.sleep(PAUSE)
            else:
                self._recovery = None
                return
