"""The event loop of a gateway process."""

import asyncio
import ssl
import time

import pytest
import trustme

from sepal.gateway.loops import GatewayLoop


def test_a_client_that_never_ends_its_handshake_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEPAL_CLIENT_TIMEOUT", "0.4")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)

    async def silence() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        started = time.monotonic()
        async with asyncio.timeout(10):
            said = await reader.read()
        writer.close()
        server.close()
        return said, time.monotonic() - started

    with asyncio.Runner(loop_factory=GatewayLoop) as runner:
        said, seconds = runner.run(silence())
    assert said == b""
    assert 0.3 < seconds < 3


def test_without_tls_a_server_is_what_it_was() -> None:
    async def listen() -> int:
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
        server.close()
        return len(server.sockets)

    with asyncio.Runner(loop_factory=GatewayLoop) as runner:
        assert runner.run(listen()) <= 1
