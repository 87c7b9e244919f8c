"""Sends head and body of a response in one packet, where uvicorn makes two system calls of them.

A system call costs as much as validating a row and putting its answer into words, and
half of them are saved, here and at the client.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sepal.gateway.backlog import in_the_system


class JoinedWrites(HttpToolsProtocol):
    """uvicorn's HTTP protocol on a transport that joins writes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection."""
        self.joined = JoiningTransport(transport, self.loop)
        super().connection_made(self.joined)  # type: ignore[arg-type]  # it is a transport in all that is used

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of a connection: of one that was reset, too, which uvicorn's timer holds till it ends."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()


class JoiningTransport:
    """A transport that keeps what is written until the event loop's next turn, and sends it at once.

    Closed while `lingers` says so, it only tells that nothing more will come: a socket that is closed
    with bytes unread takes what was sent last from the other side's hands. `ended_at` is when that
    was, in monotonic seconds.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._kept: list[bytes] = []
        self._sent = 0
        self._taken_in: tuple[int | None, float] = (None, 0.0)
        self.ended_at: float | None = None
        self.lingers: Callable[[], bool] = lambda: False

    def write(self, data: bytes) -> None:
        """Keep data for the next turn; what comes after the end is dropped, as a closed transport does."""
        if self.ended_at is not None:
            return
        if not self._kept:
            self._loop.call_soon(self._send)
        self._kept.append(data)

    def close(self) -> None:
        """Send what is kept, then close."""
        self._send()
        if not self.lingers():
            self._transport.close()
        elif not self.is_closing():
            self.ended_at = time.monotonic()
            if self._transport.can_write_eof():  # TLS can't
                self._transport.write_eof()

    def is_closing(self) -> bool:
        """Whether it was closed, and nothing more can be written."""
        return self.ended_at is not None or self._transport.is_closing()

    def stalled(self, now: float) -> float:
        """For how many seconds nothing was taken in, as far as these calls saw; 0 if nothing is to be."""
        waiting = self._transport.get_write_buffer_size()
        taken_in = self._sent - waiting - in_the_system(self._transport) if waiting else None
        before, since = self._taken_in
        if taken_in is None or taken_in != before:
            self._taken_in = (taken_in, now)
            return 0.0
        return now - since

    def _send(self) -> None:
        kept, self._kept = self._kept, []
        if kept and not self._transport.is_closing():  # the client may have gone in between
            data = b"".join(kept)
            self._sent += len(data)
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (everything else is the transport's own)
        return getattr(self._transport, name)
