"""Clients that take up connections: slow ones, a byte a second, and idle ones. A process of its own.

`python -m tests.faults.crowd PORT SLOW IDLE` says "there" on a line when all are connected, and goes on
until it is stopped. Those that the gateway sends away come again.
"""

import asyncio
import itertools
import random
import sys
from contextlib import suppress

import uvloop

from tests.faults.judge import PATH

_PAUSE = 1.0
"""Seconds between two bytes."""
_AGAIN = 0.2
"""Seconds before one that was sent away comes again."""
_COMING = 5.0
"""Seconds within which they come: at once they would all be sent away, and come again, at once."""

_BODY = b'{"SepalLengthCm": 5, "SepalWidthCm": 2, "PetalLengthCm": 3, "PetalWidthCm": 4}'
_HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
_HEAD += b"Content-Length: %d\r\n\r\n" % len(_BODY)
_GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def crowd(port: int, slow: int, idle: int) -> None:
    """All of them, for ever."""
    there = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as tasks:
        for number in range(slow):
            # Half of them are slow from the first line on, the others in the body.
            quick = len(_HEAD) if number % 2 else 0
            tasks.create_task(_client(port, (_HEAD + _BODY)[:quick], (_HEAD + _BODY)[quick:], there))
        for number in range(idle):
            # Half of them have asked something before, the others never do.
            tasks.create_task(_client(port, _GET if number % 2 else b"", b"", there))
        for _ in range(slow + idle):
            await there.acquire()
        print("there", flush=True)  # noqa: T201 (who started this waits for it)


async def _client(port: int, at_once: bytes, slowly: bytes, there: asyncio.Semaphore) -> None:
    await asyncio.sleep(random.uniform(0, _COMING))  # noqa: S311
    for turn in itertools.count():
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(at_once)
            if turn == 0:
                there.release()
            sender = asyncio.create_task(_send(writer, slowly))
            while await reader.read(2**16):
                pass  # an answer; the connection is kept until the gateway ends it
            sender.cancel()
            writer.close()
        await asyncio.sleep(_AGAIN)


async def _send(writer: asyncio.StreamWriter, slowly: bytes) -> None:
    for at in range(len(slowly)):
        await asyncio.sleep(_PAUSE)
        if writer.is_closing():
            return  # the gateway has had enough
        writer.write(slowly[at : at + 1])


if __name__ == "__main__":
    uvloop.run(crowd(*map(int, sys.argv[1:])))
