"""Keeps requests from waiting for a model server that is not there, or that fails again and again.

When it dies, its port may take connections long before anybody answers them again. So
after a connection has failed, every call is refused at once, and one probe at a time
finds out when the model server is back. It may also answer probes and fail at its work:
too slowly, with errors, with nonsense. After a few such calls in a row it is left alone
too, and once a probe is answered, a single call finds out whether the others may follow.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Literal

from sepal.errors import ModelServerUnavailableError, UpstreamError
from sepal.telemetry.correlation import CURRENT

logger = logging.getLogger(__name__)

PAUSE, LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two probes: doubled each time, and up to a fifth more or less."""

State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed while calls go well; after `failures` in a row, or a failed connection, open.

    `state` tells which; `opened` counts how often it opened.
    """

    def __init__(self, probe: Callable[[], Awaitable[object]], failures: int) -> None:
        self._probe = probe
        self._most = failures
        self._failures = 0
        self._probes = 0
        self._trying = False
        self._recovery: asyncio.Task[None] | None = None
        self.state: State = "closed"
        self.opened = 0

    def check(self) -> None:
        """Raise ModelServerUnavailableError if a call has no chance now."""
        if self.state == "open" or self._trying:
            raise ModelServerUnavailableError("The model server can't be reached. Try again shortly.")

    def admit(self) -> None:
        """Let a call through, and half-open only one at a time; or raise as `check` does."""
        if self.state != "closed":
            self.check()
            self._trying = True

    def succeeded(self) -> None:
        """Note that a call went well."""
        self._failures = 0
        if self.state == "half-open":
            self._close()

    def failed(self) -> None:
        """Note that a call took all its time, or was answered with an error or nonsense."""
        self._failures += 1
        if self.state == "half-open" or self._failures >= self._most:
            self._open("half-open")

    def trip(self) -> None:
        """Note that a connection has failed."""
        self._open("half-open" if self.state == "half-open" else "closed")

    def undecided(self) -> None:
        """Note that a call has ended in a way that tells nothing."""
        self._trying = False

    async def close(self) -> None:
        """Stop probing."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)

    def _open(self, then: State) -> None:
        # `then` is what an answered probe makes of it. A connection that failed said nothing of how the
        # model server works, so a probe is answer enough, and all may follow: "closed". Calls that failed,
        # or the one that was tried after them, may have done so while probes were answered all along. So
        # another single call has to go well first: "half-open".
        self._trying = False
        if self.state != "open":
            self.state = "open"
            self.opened += 1
            logger.warning("calls to the model server are held back until it answers")
            self._recovery = asyncio.create_task(self._recover(then))

    def _close(self) -> None:
        self.state = "closed"
        self._trying = False
        self._failures = self._probes = 0
        logger.warning("the model server answers again")

    async def _recover(self, then: State) -> None:
        CURRENT.set(None)  # it is for no one request
        told = False
        while True:
            if self._probes:
                pause = min(PAUSE * 2 ** min(self._probes - 1, 10), LONGEST_PAUSE)
                await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 (no secret)
            self._probes += 1
            try:
                await self._probe()
            except UpstreamError:
                continue
            except Exception:
                if not told:
                    logger.exception("asking whether the model server is back has failed")
                told = True
                continue
            if then == "closed":
                self._close()
            else:
                self.state = then
            return
