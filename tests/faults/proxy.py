"""A TCP proxy between the gateway and the model server that makes the network, or the server, misbehave."""

import asyncio
import itertools
import os
import random
import re
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from enum import Enum

from sepal.contracts.iris import contract

_ROW = 8 * len(contract.columns)
_ANSWER = 8 * contract.answer_width


class Fault(Enum):
    """What the proxy does to answers."""

    NONE = "none"
    SLOW = "each answer a second late"
    GARBAGE = "nonsense in the place of answers"
    RESET = "every second answer broken off by a reset"


class FaultProxy:
    """Listens on a port that stays, as a service's address does, and passes on to one that may change."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.fault = Fault.NONE
        self.port = 0
        self._turns = itertools.count()
        self._garbage = itertools.cycle(_NONSENSE)
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one connection, both ways; if there is nobody at the target, break it off."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(far_writer)
        ways = [self._requests(reader, far_writer, writer), self._answers(far_reader, writer)]
        tasks = [asyncio.ensure_future(way) for way in ways]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in (writer, far_writer):
            one.transport.abort()
            self._writers.discard(one)

    async def cut(self) -> None:
        """Break off all connections."""
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    async def _requests(
        self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(2**16):
            if self.fault is Fault.GARBAGE:
                back.write(next(self._garbage)(_rows_asked(data)))
                await back.drain()
                if random.random() < 0.5:  # noqa: S311
                    return
            else:
                far.write(data)
                await far.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(2**16):
            if self.fault is Fault.SLOW:
                await asyncio.sleep(1)
            if self.fault is Fault.RESET and next(self._turns) % 2:
                writer.write(data[: len(data) // 2])
                await asyncio.sleep(0)
                return
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def proxy_to(target: int) -> AsyncIterator[FaultProxy]:
    """A proxy to a port of this machine."""
    proxy = FaultProxy(target)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.cut()


def _rows_asked(request: bytes) -> int:
    length = re.search(rb"content-length: *(\d+)", request, re.IGNORECASE)
    return int(length[1]) // _ROW if length else 1


def _noise(_rows: int) -> bytes:
    return os.urandom(200)


def _html(_rows: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 5\r\n\r\nhello"


def _numbers(body: bytes, versions: bytes = b'{"1": "log_reg_1"}', length: int | None = None) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/vnd.sepal.float64\r\nsepal-versions: " + versions
    return head + b"\r\ncontent-length: %d\r\n\r\n" % (len(body) if length is None else length) + body


def _no_numbers(rows: int) -> bytes:
    return _numbers(array("d", [float("nan")] * (rows * _ANSWER // 8)).tobytes())


def _any_numbers(rows: int) -> bytes:
    return _numbers(array("d", (random.gauss(0, 9) for _ in range(rows * _ANSWER // 8))).tobytes())


def _unnamed(rows: int) -> bytes:
    return _numbers(array("d", [1.0] * (rows * _ANSWER // 8)).tobytes(), b"log_reg_1")


def _too_few(_rows: int) -> bytes:
    return _numbers(b"\0" * 8)


def _too_many(rows: int) -> bytes:
    return _numbers(b"\0" * _ANSWER * (rows + 1))


def _unfinished(rows: int) -> bytes:
    return _numbers(b"\0" * 8, length=rows * _ANSWER)


def _traceback(_rows: int) -> bytes:
    body = b'Traceback (most recent call last):\n  File "/srv/model.py", line 1, in score\nValueError: oh'
    return b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _endless_head(_rows: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\n" + b"x-noise: %s\r\n" % (b"n" * 8000) * 20


def _redirect(_rows: int) -> bytes:
    return b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"


def _two_lengths(rows: int) -> bytes:
    return _numbers(b"\0" * _ANSWER * rows).replace(b"\r\n\r\n", b"\r\ncontent-length: 3\r\n\r\n", 1)


_NONSENSE = [
    *(_noise, _html, _no_numbers, _any_numbers, _unnamed, _too_few, _too_many, _unfinished),
    *(_traceback, _endless_head, _redirect, _two_lengths),
]


def nonsense() -> Iterator[str]:
    """The names of all kinds of nonsense."""
    return (make.__name__.strip("_").replace("_", " ") for make in _NONSENSE)
