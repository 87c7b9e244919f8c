"""Requests as bytes, sound or not, and what comes back on their connection."""

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass

import httptools

CUT, SILENT = "cut off", "no answer"


@dataclass(frozen=True)
class Reply:
    """A status, headers with small names and a body; or, with status 0, what came instead."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float


class _Reader:
    """Collects one response."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


async def ask(port: int, parts: Iterable[bytes] | AsyncIterator[bytes], wait: float) -> Reply:
    """Send bytes on a connection of their own until an answer comes, or `wait` seconds have passed.

    The connection is reset at the end, so that a hundred thousand of them leave no ports taken.
    """
    begun = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sender = asyncio.create_task(_send(writer, parts))
    try:
        async with asyncio.timeout(wait):
            status, headers, body = await _read(reader)
    except TimeoutError:
        status, headers, body = 0, {}, SILENT.encode()
    finally:
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        writer.transport.abort()
    return Reply(status, headers, body, time.monotonic() - begun)


async def _send(writer: asyncio.StreamWriter, parts: Iterable[bytes] | AsyncIterator[bytes]) -> None:
    with suppress(OSError):
        if isinstance(parts, AsyncIterator):
            async for part in parts:
                writer.write(part)
                await writer.drain()
        else:
            for part in parts:
                writer.write(part)
                await writer.drain()


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    collected = _Reader()
    parser = httptools.HttpResponseParser(collected)
    with suppress(ConnectionError):
        while not collected.complete and (data := await reader.read(2**16)):
            parser.feed_data(data)
    if not collected.complete:
        return 0, {}, CUT.encode()
    return parser.get_status_code(), collected.headers, collected.body


def post(path: str, body: bytes, *headers: str, media_type: str = "application/json") -> bytes:
    """A request with a body of the length that it says."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media_type}", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def head(path: str, *headers: str) -> bytes:
    """A request without the body that its headers promise."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def is_of_the_protocol(reply: Reply) -> bool:
    """Whether it is the HTTP server's own answer to what is no HTTP, before any application sees it."""
    return reply.status == 400 and b"This is no valid HTTP request." in reply.body


def exceptions_in(log: str) -> list[str]:
    """Lines of a tier's log that speak of what should not happen."""
    return [line for line in log.splitlines() if "Traceback" in line or "failed unexpectedly" in line]
