"""The event loop of a gateway process: TLS handshakes are bounded in number and time."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
import uvicorn

from sepal.gateway.app import create_app
from sepal.gateway.bounds import Bounds
from sepal.gateway.http_protocol import BoundedHttp
from sepal.gateway.loops import GatewayLoop
from sepal.settings import Settings

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Place:
    """A gateway that speaks TLS, and who connects to it."""

    def __init__(self, bounds: Bounds, port: int, authority: trustme.CA) -> None:
        self.bounds = bounds
        self._port = port
        self._context = ssl.create_default_context()
        authority.configure_trust(self._context)
        self._opened: list[asyncio.StreamWriter] = []

    async def connect(self, *, shake: bool) -> Streams:
        """A new connection, with or without a handshake."""
        context = self._context if shake else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
        self._opened.append(writer)
        return reader, writer

    async def ask(self, streams: Streams) -> bytes:
        """The first line of the answer to a request."""
        streams[1].write(LIVEZ)
        return await streams[0].readline()

    async def until_open(self, connections: int) -> None:
        """Wait until so many are open."""
        async with asyncio.timeout(10):
            while self.bounds.open != connections:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)

    def close(self) -> None:
        for writer in self._opened:
            writer.transport.abort()


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=GatewayLoop) as runner:
        yield runner


@asynccontextmanager
async def gateway(folder: Path, settings: Settings) -> AsyncIterator[Place]:
    authority = trustme.CA()
    pem = folder / "gateway.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    app = create_app(settings)
    config = uvicorn.Config(
        app, port=0, http=BoundedHttp, ws="none", log_level="warning", lifespan="on", ssl_certfile=pem
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done(), "the gateway has not started"
        await asyncio.sleep(0.001)
    place = Place(app.state.bounds, server.servers[0].sockets[0].getsockname()[1], authority)
    try:
        yield place
    finally:
        place.close()
        server.should_exit = True
        await serving


def test_a_client_that_never_ends_its_handshake_is_cut_off(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def silence() -> tuple[bytes, float]:
        async with gateway(tmp_path, Settings(client_timeout=0.4)) as place:
            started = time.monotonic()
            reader, _ = await place.connect(shake=False)
            await place.until_open(1)
            async with asyncio.timeout(10):
                said = await reader.read()
            await place.until_open(0)
            return said, time.monotonic() - started

    said, seconds = runner.run(silence())
    assert said == b""
    assert 0.3 < seconds < 30


def test_handshakes_under_way_are_connections_of_which_there_may_be_only_so_many(
    runner: asyncio.Runner, tmp_path: Path
) -> None:
    async def crowd() -> None:
        async with gateway(tmp_path, Settings(max_connections=8, client_timeout=30)) as place:
            kept = await place.connect(shake=True)
            silent = [await place.connect(shake=False) for _ in range(7)]
            await place.until_open(8)

            one_more = await place.connect(shake=True)
            assert await one_more[0].readline() == b"HTTP/1.1 503 Overloaded\r\n"
            one_more[1].close()
            await place.until_open(8)

            far_too_many = [await place.connect(shake=False) for _ in range(40)]
            async with asyncio.timeout(5):
                for reader, _ in far_too_many[-37:]:
                    assert await reader.read() == b""
            assert place.bounds.open == 8 + 3
            assert place.bounds.refused == {"connections": 38}

            for _, writer in (*silent, *far_too_many):
                writer.transport.abort()
            await place.until_open(1)
            assert await place.ask(await place.connect(shake=True)) == b"HTTP/1.1 200 OK\r\n"
            assert await place.ask(kept) == b"HTTP/1.1 200 OK\r\n"

    runner.run(crowd())


def test_what_is_no_handshake_is_counted_no_longer(runner: asyncio.Runner, tmp_path: Path) -> None:
    async def nonsense() -> None:
        async with gateway(tmp_path, Settings()) as place:
            reader, writer = await place.connect(shake=False)
            writer.write(LIVEZ)
            async with asyncio.timeout(5):
                await reader.read()
            await place.until_open(0)

    runner.run(nonsense())


def test_without_tls_a_server_is_what_it_was(runner: asyncio.Runner) -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:  # noqa: ANN401 (uvloop's)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    async def echo() -> bytes:
        server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
        async with server, asyncio.timeout(30):
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"plain")
            heard = await reader.readexactly(5)
            writer.close()
            await writer.wait_closed()
        return heard

    assert runner.run(echo()) == b"plain"
