"""A client that sends what no HTTP library would."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import aiohttp

from tests.gateway.conftest import IRIS
from tests.waiting import LONG

BODY = json.dumps(IRIS).encode()
HEAD = b"POST /iris/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


class Raw:
    """A connection on which anything can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, client: aiohttp.ClientSession) -> "Raw":
        assert client._base_url is not None
        raw = cls(*await asyncio.open_connection(client._base_url.host, client._base_url.port))
        opened.append(raw)
        return raw

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """Status, headers and JSON of the next answer; every error must be a problem document."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), LONG)).decode().split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        body = json.loads(await self.reader.readexactly(int(headers["content-length"])))
        if status >= 400:
            assert headers["content-type"] == "application/problem+json"
            assert body["status"] == status
            assert body["request_id"] == headers["x-request-id"]
        return status, headers, body

    async def closed(self) -> bytes:
        """What still comes until the other side closes; b"" even if it does so rudely."""
        try:
            return await asyncio.wait_for(self.reader.read(), LONG)
        except ConnectionError:
            return b""
        finally:
            self.writer.close()


opened: list[Raw] = []
"""To be closed at the end of each test."""


async def close_all() -> None:
    """Close what was opened."""
    for raw in opened:
        raw.writer.close()
        with suppress(ConnectionError):
            await raw.writer.wait_closed()
    opened.clear()
