"""Stops a process of either tier without losing a request: first it says so, then it stops.

On SIGTERM uvicorn closes its socket and all idle connections at once. But a load balancer
needs time to notice, and a client that keeps a connection may be about to use it. And the
system takes connections in advance: those that nobody has fetched when the socket is closed
are reset, with the requests that were sent on them.
"""

import asyncio
import ctypes
import select
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socket import SOL_SOCKET, socket
from types import FrameType

import uvicorn
from uvicorn.supervisors import Multiprocess

LAST_CALL = 0.5
"""Seconds for which connections stay open once no new ones are taken; each is closed by its next answer."""

_POLL = 0.02

_SO_ATTACH_FILTER = 26
_DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A filter of one instruction: of each packet, keep 0 bytes."""


class DrainingWorkers(Multiprocess):
    """uvicorn's worker processes, whose common socket is refused to new connections once they drain."""

    drain_delay: float = 0.0

    def terminate_all(self) -> None:
        """Tell each to stop, and wait for as long as they take connections."""
        super().terminate_all()
        until = time.monotonic() + self.drain_delay
        while time.monotonic() < until and any(worker.process.is_alive() for worker in self.processes):
            time.sleep(_POLL)
        _refuse_new(self.sockets)


def drain_on_sigterm(delay: float, begin: Callable[[], None], *, alone: bool) -> None:
    """Have SIGTERM drain this process before its uvicorn stops. To be called in uvicorn's event loop.

    At the signal `begin` is called, for `delay` seconds connections are taken, then no more
    of them; at last uvicorn finishes what is under way. SIGINT stops it without delay. `alone`
    says that no other process takes connections from the same socket.
    """
    stop = signal.getsignal(signal.SIGTERM)
    server = getattr(stop, "__self__", None)
    if not isinstance(server, uvicorn.Server):
        return  # nobody stops this process by a signal: it is a test
    loop = asyncio.get_running_loop()
    draining: list[asyncio.Task[None]] = []

    def start() -> None:
        if not draining:
            begin()
            draining.append(loop.create_task(_drain(server, delay, alone)))

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(start)

    signal.signal(signal.SIGTERM, on_signal)


async def _drain(server: uvicorn.Server, delay: float, alone: bool) -> None:
    try:
        await asyncio.sleep(delay)
        while not server.started:  # noqa: ASYNC110 (nobody tells when it has begun to listen)
            await asyncio.sleep(_POLL)
        if alone:
            await _fetch_all([listener for servers in server.servers for listener in servers.sockets])
        else:
            await asyncio.sleep(LAST_CALL)  # `DrainingWorkers` refuses new ones meanwhile; BentoML does not
        for listener in server.servers:
            listener.close()
        until = time.monotonic() + LAST_CALL
        while server.server_state.connections and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_POLL)  # nor when the last connection has gone
    finally:
        server.handle_exit(signal.SIGTERM, None)


async def _fetch_all(listeners: Iterable[socket]) -> None:
    """Refuse new connections, and wait until the event loop has those that the system took before."""
    _refuse_new(listeners)
    waiting = select.poll()
    for listener in listeners:
        waiting.register(listener.fileno(), select.POLLIN)
    until = time.monotonic() + LAST_CALL
    while waiting.poll(0) and time.monotonic() < until:  # noqa: ASYNC110 (nobody tells this either)
        await asyncio.sleep(_POLL)


def _refuse_new(listeners: Iterable[socket]) -> None:
    """Have the system take no more connections for these sockets, which keep those that it took.

    Who connects is not answered, asks again a second later, and is told that nobody listens.
    Linux alone can do it; elsewhere a connection that comes in this very moment is reset.
    """
    if sys.platform != "linux":
        return
    code = ctypes.create_string_buffer(_DROP_ALL)
    program = struct.pack("HL", 1, ctypes.addressof(code))
    for listener in listeners:
        with suppress(OSError):  # some sandboxes know no filters
            listener.setsockopt(SOL_SOCKET, _SO_ATTACH_FILTER, program)
