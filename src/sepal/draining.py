"""Stops a process of either tier without losing a request: first it says so, then it stops.

On SIGTERM uvicorn closes its socket and all idle connections at once. But a load balancer
needs time to notice, and a client that keeps a connection may be about to use it.
"""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import uvicorn

LAST_CALL = 0.5
"""Seconds for which connections stay open once no new ones are taken; each is closed by its next answer."""

_POLL = 0.02


def drain_on_sigterm(delay: float, begin: Callable[[], None]) -> None:
    """Have SIGTERM drain this process before its uvicorn stops. To be called in uvicorn's event loop.

    At the signal `begin` is called, for `delay` seconds connections are taken, then no more
    of them; at last uvicorn finishes what is under way. SIGINT stops it without delay.
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
            draining.append(loop.create_task(_drain(server, delay)))

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(start)

    signal.signal(signal.SIGTERM, on_signal)


async def _drain(server: uvicorn.Server, delay: float) -> None:
    await asyncio.sleep(delay)
    for listener in server.servers:
        listener.close()
    until = asyncio.get_running_loop().time() + LAST_CALL
    while server.server_state.connections and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)  # nobody tells when the last connection has gone
    server.handle_exit(signal.SIGTERM, None)
