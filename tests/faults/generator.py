"""Makes load that does not wait for answers: a request goes out when it is due, whatever became of others.

Raw HTTP/1.1 on an asyncio protocol: it costs a tenth of what an HTTP library's client takes, and that
matters where it shares the cores with what it measures.
"""

import asyncio
import gc
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httptools

from tests.faults.judge import PATH, PROBLEM, RIGHT, Judge

_TICK = 0.001


@dataclass
class Tally:
    """What became of the requests of a while. Times in seconds, from when a request was sent."""

    seconds: float = 0.0
    sent: int = 0
    right: "array[float]" = field(default_factory=lambda: array("f"))
    refused: "array[float]" = field(default_factory=lambda: array("f"))
    """Of clean problems."""
    statuses: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    lag: "array[float]" = field(default_factory=lambda: array("f"))
    """How late the generator itself was, at each tick."""

    @property
    def offered(self) -> float:
        """Requests a second."""
        return self.sent / self.seconds

    @property
    def goodput(self) -> float:
        """Right answers a second."""
        return len(self.right) / self.seconds


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with one request at a time on it."""

    def __init__(self, generator: "Generator") -> None:
        self._generator = generator
        self.transport: asyncio.Transport | None = None
        self.index = -1
        self.sent = 0.0
        self._start()

    def _start(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._complete = self._keep = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def ask(self, index: int) -> None:
        assert self.transport is not None
        self.index, self.sent = index, time.monotonic()
        self.transport.write(self._generator.requests[index])

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode().lower()] = value.decode()

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._complete = True
        self._keep = self._parser.should_keep_alive()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._complete:
            status, headers, body = self._parser.get_status_code(), self._headers, b"".join(self._body)
            keep, index, self.index = self._keep, self.index, -1
            self._start()
            self._generator.answered(self, index, status, headers, body, keep=keep)

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        self._generator.lost(self)


class Generator:
    """Asks one gateway for a judge's rows."""

    def __init__(self, port: int, judge: Judge, *, deadline: float = 5.0, connections: int = 4000) -> None:
        self._port = port
        self._judge = judge
        self._most = connections
        head = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        head += f"X-Request-Deadline: {deadline:g}\r\nContent-Length: "
        self.requests = [head.encode() + b"%d\r\n\r\n" % len(body) + body for body in judge.bodies]
        self._idle: list[_Connection] = []
        self._all: set[_Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._again: Callable[[_Connection], None] = self._idle.append
        self.tally = Tally()

    async def closed(self, connections: int, seconds: float) -> Tally:
        """So many connections that ask again as soon as they have an answer."""
        await self._connect(connections)
        self._begin()
        end = time.monotonic() + seconds

        def again(connection: _Connection) -> None:
            if time.monotonic() < end:
                self._ask(connection)
            else:
                self._idle.append(connection)

        self._again = again
        for connection in self._idle:
            self._ask(connection)
        self._idle.clear()
        await asyncio.sleep(seconds)
        return await self._end(seconds)

    async def open(self, rate: float, seconds: float, stop: Callable[[], bool] = lambda: False) -> Tally:
        """So many requests a second, spread evenly; a request that no connection is left for is a fault."""
        return await self._open_loop(rate, seconds, stop, self._next)

    async def pooled(
        self, rate: float, connections: int, seconds: float, stop: Callable[[], bool] = lambda: False
    ) -> Tally:
        """So many requests a second from a pool: a request waits until one of the connections is free."""
        await self._connect(connections)
        return await self._open_loop(rate, seconds, stop, self._next_of_pool)

    async def _open_loop(
        self, rate: float, seconds: float, stop: Callable[[], bool], send: Callable[[], bool]
    ) -> Tally:
        self._begin()
        self._again = self._idle.append
        start = time.monotonic()
        due = 0
        with _no_collection():
            while (now := time.monotonic() - start) < seconds and not stop():
                self.tally.lag.append(now - due / rate)
                while due <= now * rate and send():
                    due += 1
                await asyncio.sleep(_TICK)
        return await self._end(time.monotonic() - start)

    async def close(self) -> None:
        """End all connections."""
        for task in self._connecting:
            task.cancel()
        for connection in list(self._all):
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0.01)

    def answered(
        self,
        connection: _Connection,
        index: int,
        status: int,
        headers: dict[str, str],
        body: bytes,
        *,
        keep: bool,
    ) -> None:
        """Take an answer."""
        tally, seconds = self.tally, time.monotonic() - connection.sent
        tally.statuses[status] += 1
        verdict = self._judge.verdict(index, status, headers, body)
        if verdict is RIGHT:
            tally.right.append(seconds)
        elif verdict is PROBLEM:
            tally.refused.append(seconds)
        else:
            tally.faults[verdict] += 1
        if keep:
            self._again(connection)
        elif connection.transport is not None:
            connection.transport.close()

    def lost(self, connection: _Connection) -> None:
        """A connection has ended; if a request was under way on it, it is lost."""
        self._all.discard(connection)
        with suppress(ValueError):
            self._idle.remove(connection)
        if connection.index >= 0:
            self.tally.faults["cut off"] += 1

    def _begin(self) -> None:
        self.tally = Tally()

    async def _end(self, seconds: float) -> Tally:
        """Wait for what is under way; what does not come hangs."""
        self.tally.seconds = seconds
        end = time.monotonic() + 6
        while self._under_way() and time.monotonic() < end:  # noqa: ASYNC110 (a look now and then costs less)
            await asyncio.sleep(0.01)
        if hanging := self._under_way():
            self.tally.faults["no answer"] += hanging
        return self.tally

    def _under_way(self) -> int:
        return sum(connection.index >= 0 for connection in self._all) + len(self._connecting)

    def _next_of_pool(self) -> bool:
        """Whether a connection was free. They take turns, so that none is idle until it is closed."""
        if not self._idle:
            return False
        self._ask(self._idle.pop(0))
        return True

    def _next(self) -> bool:
        if self._idle:
            self._ask(self._idle.pop())
        elif len(self._all) + len(self._connecting) < self._most:
            self.tally.sent += 1
            task = asyncio.create_task(self._ask_on_a_new_one())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
        else:
            self.tally.faults["the generator has no connection left"] += 1
        return True

    def _ask(self, connection: _Connection) -> None:
        self.tally.sent += 1
        connection.ask(self._judge.draw())

    async def _ask_on_a_new_one(self) -> None:
        try:
            connection = await self._open()
        except OSError:
            self.tally.faults["not connected"] += 1
        else:
            connection.ask(self._judge.draw())

    async def _connect(self, connections: int) -> None:
        while len(self._all) < connections:
            self._idle.append(await self._open())

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        self._all.add(connection)
        return connection


@contextmanager
def _no_collection() -> Iterator[None]:
    """No pauses for garbage in what is measured."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
