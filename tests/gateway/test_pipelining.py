"""Requests that are sent before the ones ahead are answered: in order, and a bounded number of them."""

import asyncio
import json
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from sepal.gateway import http_protocol
from sepal.gateway.http_protocol import LINGER
from sepal.gateway.pipelining import PIPELINED
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, settings_for
from tests.gateway.processes import process
from tests.gateway.raw import BODY, HEAD, WHOLE, Raw, close_all
from tests.waiting import LONG, comes_async

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
MIB = 2**20


@pytest.fixture(autouse=True)
async def close_connections() -> AsyncIterator[None]:
    yield
    await close_all()


def livez(number: int, more: bytes = b"") -> bytes:
    return b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: %d\r\n%s\r\n" % (number, more)


class Held:
    """A model server that answers only once it is let go."""

    def __init__(self, model_server: FakeModelServer) -> None:
        self._server = model_server
        self.go = asyncio.Event()
        model_server.respond = self._respond

    async def _respond(self, request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        body = await request.read()
        await self.go.wait()
        return self._server.answer("iris", body)

    async def asked(self) -> None:
        """Wait until it holds a call."""
        async with asyncio.timeout(LONG):
            while not self._server.calls:  # noqa: ASYNC110 (it tells nobody)
                await asyncio.sleep(0.001)


@asynccontextmanager
async def behind(
    model_server: FakeModelServer, following: bytes, reason: str, **settings: object
) -> AsyncIterator[Raw]:
    """A connection on which a sound request is answered, and what followed it was found to be none."""
    held = Held(model_server)
    async with gateway(settings_for(model_server, **settings)) as client:
        raw = await Raw.to(client)
        raw.send(WHOLE)
        await held.asked()
        raw.send(following)

        async def found() -> bool:
            async with client.get("/metrics") as response:
                return f'sepal_refusals_total{{reason="{reason}"}} 1' in await response.text()

        assert await comes_async(found)
        held.go.set()
        yield raw


async def test_a_few_requests_in_one_packet_are_answered_in_order(client: aiohttp.ClientSession) -> None:
    raw = await Raw.to(client)
    for _ in range(3):
        raw.send(b"".join(livez(number) for number in range(10)))
        for number in range(10):
            status, headers, _ = await raw.answer()
            assert (status, headers["x-request-id"], "connection" in headers) == (200, str(number), False)


async def test_what_comes_in_one_packet_beyond_the_bound_is_not_taken(
    client: aiohttp.ClientSession,
) -> None:
    raw = await Raw.to(client)
    raw.send(b"".join(livez(number) for number in range(5000)))
    last = PIPELINED  # they wait behind number 0
    for number in range(last + 1):
        status, headers, _ = await raw.answer()
        assert (status, headers["x-request-id"]) == (200, str(number))
        assert (headers.get("connection") == "close") is (number == last)
    assert await raw.closed() == b""


async def test_a_long_body_behind_a_request_is_read_when_its_turn_comes(
    model_server: FakeModelServer,
) -> None:
    held = Held(model_server)
    async with gateway(settings_for(model_server, max_body_bytes=10 * MIB, client_timeout=1)) as client:
        raw = await Raw.to(client)
        padded = BODY + b" " * 5 * MIB
        raw.send(WHOLE + HEAD + b"Content-Length: %d\r\n\r\n" % len(padded) + padded + livez(3))
        await held.asked()
        await asyncio.sleep(2)  # longer than a client may take, but it is not this one that is slow
        held.go.set()
        assert [(await raw.answer())[0] for _ in range(3)] == [200] * 3


async def test_clients_that_send_ahead_without_end_cost_neither_memory_nor_the_others_time(
    model_server: FakeModelServer,
) -> None:
    flood = LIVEZ * 20_000

    async def send_ahead(host: str, port: int) -> None:
        while True:
            with suppress(ConnectionError):
                _, writer = await asyncio.open_connection(host, port)
                try:
                    async with asyncio.timeout(1):
                        while True:
                            writer.write(flood)
                            await writer.drain()
                except TimeoutError:
                    pass
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.05)

    async with process(model_server) as (started, url), aiohttp.ClientSession(url) as client:
        for _ in range(50):
            await call(client, "GET", "/livez")
        before = memory_of(started.pid)
        assert client._base_url is not None
        host, port = client._base_url.host, client._base_url.port
        assert host is not None
        assert port is not None
        flooding = [asyncio.create_task(send_ahead(host, port)) for _ in range(2)]
        seconds = []
        begun = time.monotonic()
        while time.monotonic() - begun < 4:
            asked = time.monotonic()
            assert (await call(client, "GET", "/livez"))[0] == 200
            seconds.append(time.monotonic() - asked)
            await asyncio.sleep(0.01)
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
        grew = memory_of(started.pid) - before
    assert grew < 40 * MIB
    assert sorted(seconds)[int(0.99 * len(seconds))] < 2
    assert len(seconds) > 20


def memory_of(process: int) -> int:
    """The most bytes of memory that it has ever had."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    (peak,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    return int(peak) * 1024


async def test_many_requests_for_another_protocol_in_one_packet_cost_no_more_than_others(
    client: aiohttp.ClientSession,
) -> None:
    raw = await Raw.to(client)
    asking = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    packet = b"".join(livez(number, asking) for number in range(1500))
    tracemalloc.start()
    try:
        raw.send(packet)
        for number in range(PIPELINED + 1):
            status, headers, _ = await raw.answer()
            assert (status, headers["x-request-id"]) == (200, str(number))
        assert await raw.closed() == b""
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 5 * MIB


@pytest.mark.parametrize(
    ("following", "status", "reason"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400, "no HTTP"),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400, "no HTTP"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "no HTTP"),
        (HEAD + b"X: " + b"x" * 5000, 431, "head"),
        (HEAD, 408, "slow client"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense", 400, "no HTTP"),
    ],
    ids=["nonsense", "no host", "coding", "long head", "slow head", "no chunk"],
)
async def test_a_refusal_waits_for_the_answers_before_it(
    model_server: FakeModelServer, following: bytes, status: int, reason: str
) -> None:
    bounds = {"max_header_bytes": 2000, "client_timeout": 0.5}
    async with behind(model_server, following, reason, **bounds) as raw:
        answered, headers, _ = await raw.answer()
        assert (answered, "connection" in headers) == (200, False)
        answered, headers, _ = await raw.answer()
        assert (answered, headers["connection"]) == (status, "close")
        assert await raw.closed() == b""
    assert model_server.calls == 1


async def test_a_body_that_turns_out_to_be_none_is_400_and_is_not_scored(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    raw = await Raw.to(client)
    raw.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(BODY), BODY))
    await asyncio.sleep(0.05)  # so that the rest comes in a packet of its own
    raw.send(b"nonsense\r\n" + WHOLE)
    status, headers, _ = await raw.answer()
    assert (status, headers["connection"]) == (400, "close")
    assert await raw.closed() == b""
    assert not model_server.calls


async def test_a_body_that_goes_wrong_after_its_answer_is_not_answered_again(
    client: aiohttp.ClientSession,
) -> None:
    raw = await Raw.to(client)
    raw.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert (await raw.answer())[0] == 200
    raw.send(b"nonsense\r\n")
    assert await raw.closed() == b""


@pytest.mark.parametrize("last", [b"HTTP/1.1\r\nConnection: close", b"HTTP/1.0\r\nConnection: keep-alive"])
async def test_what_follows_a_connections_last_request_is_not_taken(
    client: aiohttp.ClientSession, model_server: FakeModelServer, last: bytes
) -> None:
    raw = await Raw.to(client)
    raw.send(WHOLE.replace(b"HTTP/1.1", last) + WHOLE)
    status, headers, _ = await raw.answer()
    assert (status, headers["connection"]) == (200, "close")
    assert await raw.closed() == b""
    assert model_server.calls == 1


async def test_a_client_that_goes_leaves_nothing_waiting(model_server: FakeModelServer) -> None:
    held = Held(model_server)
    async with gateway(settings_for(model_server)) as client:
        raw = await Raw.to(client)
        raw.send(WHOLE + b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        await held.asked()
        raw.writer.transport.abort()
        held.go.set()
        assert (await call(client, "GET", "/livez"))[0] == 200
    assert model_server.calls == 1


async def test_a_refused_client_gets_all_of_the_answer_before_it_however_slowly_it_reads(
    model_server: FakeModelServer,
) -> None:
    settings = settings_for(model_server, max_rows=100_000, max_body_bytes=20 * MIB, client_timeout=40)
    rows = json.dumps([IRIS] * 100_000).encode()
    async with gateway(settings) as client:
        assert client._base_url is not None
        loop, received = asyncio.get_running_loop(), b""
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.setblocking(False)
            await loop.sock_connect(slow, (client._base_url.host, client._base_url.port))
            await loop.sock_sendall(slow, HEAD + b"Content-Length: %d\r\n\r\n" % len(rows) + rows)
            await loop.sock_sendall(slow, b"nonsense\r\n\r\n")
            received += await loop.sock_recv(slow, 100)
            await asyncio.sleep(LINGER + 1.5)
            async with asyncio.timeout(LONG):
                while some := await loop.sock_recv(slow, 2**20):
                    received += some
    assert received.startswith(b"HTTP/1.1 200 ")
    assert received.count(b"Iris-virginica") == 100_000
    assert received.count(b"HTTP/1.1 400 ") == 1


async def test_a_refused_client_may_send_all_that_it_has_before_it_reads_why(
    model_server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_protocol, "LINGER", 2.0)
    async with gateway(settings_for(model_server)) as client:
        raw = await Raw.to(client)
        raw.send(b"nonsense\r\n\r\n")
        for _ in range(14):
            await asyncio.sleep(0.25)
            raw.send(b"more of it")
        assert (await raw.answer())[0] == 400


async def test_a_body_that_is_too_large_may_be_sent_whole_before_the_client_reads_why(
    model_server: FakeModelServer,
) -> None:
    async with gateway(settings_for(model_server, max_body_bytes=MIB)) as client:
        raw = await Raw.to(client)
        raw.send(HEAD + b"Content-Length: %d\r\n\r\n" % (16 * MIB))
        for _ in range(16):
            raw.send(b" " * MIB)
            await asyncio.wait_for(raw.writer.drain(), LONG)
        assert (await raw.answer())[0] == 413


async def test_a_stop_waits_for_the_rest_of_a_body_that_was_answered_before_it_came(
    model_server: FakeModelServer,
) -> None:
    async with gateway(settings_for(model_server)) as client:
        raw = await Raw.to(client)
        raw.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await raw.answer())[0] == 200

        async def go_on() -> bytes:
            await asyncio.sleep(0.5)  # so that it comes after the stop has begun
            raw.send(b"0\r\n\r\n")
            return await raw.closed()

        going_on = asyncio.create_task(go_on())
    assert await going_on == b""
