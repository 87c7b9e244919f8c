"""Stops a process of either tier without losing a request: first it says so, then it stops.

On SIGTERM uvicorn closes its socket and all idle connections at once. But a load balancer
needs time to notice, and a client that keeps a connection may be about to use it. And the
system takes connections in advance: those that nobody has fetched when the socket is closed
are reset, with the requests that were sent on them.
"""

import asyncio
import ctypes
import os
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


HURRY = signal.SIGUSR1
"""By it a parent tells its workers to stop without delay. Not by SIGINT: a Ctrl-C reaches them too,
and at a second one uvicorn drops what is under way."""


class DrainingWorkers(Multiprocess):
    """uvicorn's worker processes, whose common socket is refused to new connections once they drain.

    `failed` says that all were stopped because one of them could not start.
    """

    drain_delay: float = 0.0
    failed = False
    _hurrying = False

    def keep_subprocess_alive(self) -> None:
        """Start those again that have died; stop all if one can't start."""
        told = self.should_exit.is_set()
        super().keep_subprocess_alive()
        self.failed = self.should_exit.is_set() and not told

    def handle_int(self) -> None:
        """Stop without delay, since a person waits."""
        super().handle_int()
        self._hurrying = True

    handle_usr1 = handle_int
    """`HURRY`, by whoever has started this one."""

    def terminate_all(self) -> None:
        """Tell each to stop, and wait for as long as they take connections."""
        if self._hurrying:
            self._hurry()
        else:
            super().terminate_all()
        until = time.monotonic() + self.drain_delay
        while not self._hurrying and time.monotonic() < until and self._any_lives():
            self._await_hurry()
        _refuse_new(self.sockets)

    def join_all(self) -> None:
        """Wait until each has ended."""
        while self._any_lives():
            self._await_hurry()
        super().join_all()

    def _any_lives(self) -> bool:
        return any(worker.process.is_alive() for worker in self.processes)

    def _await_hurry(self) -> None:
        """Wait a moment for a SIGINT or `HURRY` that comes after the workers were told to stop."""
        time.sleep(_POLL)
        if signal.SIGINT in self.signal_queue or HURRY in self.signal_queue:
            self.signal_queue.clear()
            self._hurrying = True
            self._hurry()

    def _hurry(self) -> None:
        for worker in self.processes:
            if worker.process.is_alive() and worker.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, HURRY)


def drain_on_sigterm(delay: float, begin: Callable[[], None], *, alone: bool) -> None:
    """Have SIGTERM drain this process before its uvicorn stops. To be called in uvicorn's event loop.

    At the signal `begin` is called, for `delay` seconds connections are taken, then no more
    of them; at last uvicorn finishes what is under way. `HURRY` does the same without the
    delay, or ends it; SIGINT stops uvicorn at once. `alone` says that no other process takes
    connections from the same socket.
    """
    stop = signal.getsignal(signal.SIGTERM)
    server = getattr(stop, "__self__", None)
    if not isinstance(server, uvicorn.Server):
        return  # nobody stops this process by a signal: it is a test
    loop = asyncio.get_running_loop()
    hurry = asyncio.Event()
    draining: list[asyncio.Task[None]] = []

    def start(number: int) -> None:
        if number == HURRY:
            hurry.set()
        if not draining:
            begin()
            draining.append(loop.create_task(_drain(server, delay, hurry, alone)))

    def on_signal(number: int, _frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(start, number)

    for number in (signal.SIGTERM, HURRY):
        signal.signal(number, on_signal)


async def _drain(server: uvicorn.Server, delay: float, hurry: asyncio.Event, alone: bool) -> None:
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), delay)
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
