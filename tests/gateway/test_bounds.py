"""What a client may send, how slowly, and how many may come: each bound is met by a clean answer."""

import asyncio
import gc
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import aiohttp
import pytest

from sepal.gateway.bounds import bounds_of, raise_descriptor_limit
from sepal.gateway.deadline import patience
from sepal.gateway.http_protocol import BoundedHttp
from sepal.gateway.request_context import open_context
from sepal.settings import Settings
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, settings_for
from tests.gateway.raw import BODY, HEAD, WHOLE, Raw, close_all
from tests.waiting import LONG


@pytest.fixture(autouse=True)
async def close_connections() -> AsyncIterator[None]:
    yield
    await close_all()


async def test_a_head_that_is_too_large_is_431_whether_it_ends_or_not(
    model_server: FakeModelServer,
) -> None:
    async with gateway(settings_for(model_server, max_header_bytes=2000)) as client:
        for head in (
            HEAD + b"X: " + b"x" * 2000 + b"\r\n\r\n",
            HEAD + b"X: " + b"x" * 5000,
            b"GET /" + b"x" * 3000,
            HEAD + b"".join(b"X%d: 1\r\n" % number for number in range(300)),
        ):
            raw = await Raw.to(client)
            raw.send(head)
            status, headers, _ = await raw.answer()
            assert (status, headers["connection"]) == (431, "close")
            raw.send(b"y" * 1000)
            await raw.closed()
        raw = await Raw.to(client)
        raw.send(WHOLE * 30)  # in one piece, and longer than a head may be
        for _ in range(30):
            assert (await raw.answer())[0] == 200


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
)
async def test_what_is_no_http_is_400(client: aiohttp.ClientSession, nonsense: bytes) -> None:
    raw = await Raw.to(client)
    raw.send(nonsense)
    status, headers, _ = await raw.answer()
    assert (status, headers["connection"]) == (400, "close")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /livez HTTP/1.1\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: a\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nhost: a\r\nX: 1\r\nHOST: b\r\n", 400),
        (b"GET /livez HTTP/1.0\r\nHost: a\r\nHost: b\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nDate: x\r\n", 400),
        (b"GET /livez HTTP/1.0\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost:\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nhOsT: a\r\nDate: x\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
        (b"GET /livez HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n", 200),
    ],
)
async def test_a_request_has_one_host_and_no_transfer_coding_but_chunks(
    client: aiohttp.ClientSession, head: bytes, status: int
) -> None:
    raw = await Raw.to(client)
    raw.send(head + b"\r\n" + (b"0\r\n\r\n" if b"hunked" in head else b""))
    answered, headers, _ = await raw.answer()
    assert answered == status
    if status >= 400:
        assert headers["connection"] == "close"
        assert await raw.closed() == b""


async def test_what_follows_a_refused_head_at_once_is_not_answered(
    client: aiohttp.ClientSession,
) -> None:
    raw = await Raw.to(client)
    raw.send(b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + WHOLE)
    assert (await raw.answer())[0] == 400
    assert await raw.closed() == b""


async def test_hosts_are_counted_for_each_request_of_a_connection(client: aiohttp.ClientSession) -> None:
    raw = await Raw.to(client)
    for _ in range(2):
        raw.send(WHOLE)
        assert (await raw.answer())[0] == 200
    raw.send(b"GET /livez HTTP/1.1\r\n\r\n")
    assert (await raw.answer())[0] == 400


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_a_body_that_says_it_is_too_large_is_413_before_it_comes(
    model_server: FakeModelServer, fast_route: str
) -> None:
    async with gateway(settings_for(model_server, max_body_bytes=100_000, fast_route=fast_route)) as client:
        raw = await Raw.to(client)
        raw.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 100000001\r\n\r\n")
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (413, "close")
        await raw.closed()


async def test_chunks_without_end_are_413_and_cut_off(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, max_body_bytes=100_000, client_timeout=0.4)) as client:
        raw = await Raw.to(client)
        raw.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
        raw.send(chunk * 30)
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (413, "close")

        async def send_on() -> None:
            while True:
                raw.send(chunk)
                await raw.writer.drain()
                await asyncio.sleep(0.01)

        with pytest.raises(ConnectionError):
            await asyncio.wait_for(send_on(), LONG)


async def test_what_follows_the_chunks_is_no_header(client: aiohttp.ClientSession) -> None:
    raw = await Raw.to(client)
    raw.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n")
    raw.send(b"X-Request-ID: late\r\n" * 10 + b"\r\n")
    status, headers, _ = await raw.answer()
    assert (status, headers["x-request-id"] == "late") == (200, False)


UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"


@pytest.mark.parametrize("at", [0, len(HEAD), len(HEAD + UPGRADE) + 24, len(WHOLE + UPGRADE) - 5])
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_request_that_asks_for_another_protocol_is_answered_in_this_one(
    client: aiohttp.ClientSession, at: int, framing: str
) -> None:
    framed = b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
    if framing == "chunks":
        framed = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    request = HEAD + UPGRADE + framed
    raw = await Raw.to(client)
    for _ in range(2):
        raw.send(request[:at])
        await asyncio.sleep(0.05)  # so that the rest comes in a packet of its own
        raw.send(request[at:])
        status, headers, body = await raw.answer()
        assert (status, body["output"]) == (200, "Iris-virginica")
        assert "connection" not in headers


async def test_a_body_is_never_read_as_a_request_whatever_protocol_is_asked_for(
    client: aiohttp.ClientSession,
) -> None:
    raw = await Raw.to(client)
    within = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: smuggled\r\n\r\n"
    raw.send(HEAD + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(within))
    await asyncio.sleep(0.05)
    raw.send(within + b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Request-ID: next\r\n\r\n")
    assert (await raw.answer())[0] == 400
    assert (await raw.answer())[1]["x-request-id"] == "next"


async def test_nobody_is_connected_elsewhere(client: aiohttp.ClientSession) -> None:
    raw = await Raw.to(client)
    raw.send(b"CONNECT /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await raw.answer())[0] == 400
    assert await raw.closed() == b""


@pytest.mark.parametrize("fast_route", ["on", "off"])
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 10_000 + b"]" * 10_000, (400, 422)),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, (400, 422)),
        (b"{" + b",".join(b'"k%d":1' % number for number in range(80_000)) + b"}", (413,)),
        (BODY.replace(b"5", b'"\\u0000"'), (422,)),
        (BODY + b"\x00", (400,)),
        (b"\xff\xfe" + BODY, (400,)),
    ],
    ids=["deep arrays", "deep objects", "many keys", "NUL", "NUL after", "wrong bytes"],
)
async def test_hostile_json_is_refused_as_what_it_is(
    model_server: FakeModelServer, fast_route: str, body: bytes, status: tuple[int, ...]
) -> None:
    async with gateway(settings_for(model_server, fast_route=fast_route)) as client:
        headers = {"Content-Type": "application/json"}
        got, problem, _ = await call(client, "POST", "/iris/predict", data=body, headers=headers)
        assert got in status
        assert len(json.dumps(problem)) < 100_000
        assert "Error" not in problem["detail"]


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_a_compressed_body_is_415(model_server: FakeModelServer, fast_route: str) -> None:
    async with gateway(settings_for(model_server, fast_route=fast_route)) as client:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        assert (await call(client, "POST", "/iris/predict", data=b"\x1f\x8b", headers=headers))[0] == 415
        headers["Content-Encoding"] = "identity"
        assert (await call(client, "POST", "/iris/predict", data=BODY, headers=headers))[0] == 200


async def test_slow_clients_are_cut_off_and_the_others_served(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, client_timeout=0.3)) as client:
        silent, in_head, in_body = [await Raw.to(client) for _ in range(3)]
        in_head.send(HEAD[:20])
        in_body.send(WHOLE[:-5])
        started = time.monotonic()
        status, headers, _ = await in_head.answer()
        assert (status, headers["connection"]) == (408, "close")
        assert await silent.closed() == b""
        assert await in_body.closed() == b""
        assert 0.25 < time.monotonic() - started < LONG
        assert (await call(client, "POST", "/iris/predict", json=IRIS))[0] == 200


async def test_a_client_that_takes_up_no_answer_is_cut_off(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, client_timeout=0.3, request_timeout=60)) as client:
        assert client._base_url is not None
        with socket.socket() as deaf:
            for side in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                deaf.setsockopt(socket.SOL_SOCKET, side, 4096)
            deaf.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(deaf, (client._base_url.host, client._base_url.port))
            rows = json.dumps([IRIS] * 10_000).encode()
            head = HEAD + b"Content-Length: %d\r\n\r\n" % len(rows)

            async def send_on() -> None:
                while True:
                    await loop.sock_sendall(deaf, head + rows)

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(send_on(), LONG)


async def test_an_idle_connection_is_closed_after_its_time(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server), keep_alive=0.2) as client:
        raw = await Raw.to(client)
        raw.send(WHOLE)
        assert (await raw.answer())[0] == 200
        assert await raw.closed() == b""


async def test_no_timer_holds_a_connection_that_its_client_has_reset(model_server: FakeModelServer) -> None:
    def known() -> set[BoundedHttp]:
        return {one for one in gc.get_objects() if isinstance(one, BoundedHttp)}

    async with gateway(settings_for(model_server)) as client:
        before = known()
        raw = await Raw.to(client)
        raw.send(WHOLE)
        assert (await raw.answer())[0] == 200
        (ours,) = known() - before
        assert ours.timeout_keep_alive_task is not None
        raw.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        raw.writer.transport.abort()
        async with asyncio.timeout(5):
            while ours.connections:  # noqa: ASYNC110 (nobody tells)
                await asyncio.sleep(0.01)
        assert ours.timeout_keep_alive_task is None


async def test_more_connections_than_may_be_are_told_so(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, max_connections=4)) as client:
        kept = [await Raw.to(client) for _ in range(4)]
        for raw in kept:
            raw.send(WHOLE)
            assert (await raw.answer())[0] == 200
        one_more, far_too_many = await Raw.to(client), [await Raw.to(client) for _ in range(3)]
        status, headers, _ = await one_more.answer()
        assert (status, headers["connection"], headers["retry-after"]) == (503, "close", "1")
        assert await far_too_many[-1].closed() == b""
        kept[0].send(WHOLE)
        assert (await kept[0].answer())[0] == 200


@pytest.mark.parametrize("kept", [True, False])
async def test_more_requests_than_may_be_under_way_are_refused_at_once(
    model_server: FakeModelServer, kept: bool
) -> None:
    answer_now = asyncio.Event()

    async def held(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await answer_now.wait()
        return model_server.answer("iris", await request.read())

    model_server.respond = held
    async with gateway(settings_for(model_server, max_requests=3)) as client:
        under_way = [
            asyncio.create_task(call(client, "POST", "/iris/predict", json=IRIS)) for _ in range(3)
        ]
        while not model_server.calls:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        raw = await Raw.to(client)
        whole = (
            WHOLE
            if kept
            else WHOLE.replace(b"Host: x", b"Host: x\r\nConnection: close\r\nX-Request-ID: one")
        )
        raw.send(whole)
        status, headers, body = await raw.answer()
        assert not any(one.done() for one in under_way)
        assert (status, body["title"], headers["retry-after"]) == (503, "Overloaded", "1")
        assert (headers.get("connection") == "close") is not kept
        assert kept or headers["x-request-id"] == "one"
        assert (await call(client, "GET", "/livez"))[0] == 200
        answer_now.set()
        assert [status for status, *_ in await asyncio.gather(*under_way)] == [200] * 3
        if kept:
            raw.send(whole)
            assert (await raw.answer())[0] == 200


async def test_a_stop_answers_what_has_begun_to_come(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server)) as client:
        half, refused, idle = [await Raw.to(client) for _ in range(3)]
        half.send(WHOLE[:30])
        refused.send(b"nonsense\r\n\r\n")
        idle.send(WHOLE)
        await refused.answer()
        await idle.answer()

        async def go_on() -> None:
            await asyncio.sleep(0.1)
            half.send(WHOLE[30:])
            status, headers, _ = await half.answer()
            assert (status, headers["connection"]) == (200, "close")

        going_on = asyncio.create_task(go_on())
        await asyncio.sleep(0.05)
    await going_on
    assert await idle.closed() == b""


def test_too_few_descriptors_for_the_connections_are_warned_of(
    caplog: pytest.LogCaptureFixture, settings: Settings
) -> None:
    raise_descriptor_limit(settings)
    assert not caplog.records
    raise_descriptor_limit(Settings(max_connections=2**40))
    assert "SEPAL_MAX_CONNECTIONS=1099511627776" in caplog.text


@pytest.mark.parametrize("fast_route", ["on", "off"])
@pytest.mark.parametrize("said", ["", "0", "-1", "soon", "1e3", "nan", "0.0", "\u0661"])
async def test_a_deadline_that_is_none_is_422_and_named(
    model_server: FakeModelServer, fast_route: str, said: str
) -> None:
    async with gateway(settings_for(model_server, fast_route=fast_route)) as client:
        status, body, _ = await call(
            client, "POST", "/iris/predict", json=IRIS, headers={"X-Request-Deadline": said}
        )
        assert (status, body["title"]) == (422, "Wrong values")
        assert body["detail"].startswith("X-Request-Deadline is ")


@pytest.mark.parametrize("fast_route", ["on", "off"])
@pytest.mark.parametrize("coalesce", ["on", "off"])
async def test_a_deadline_holds_and_goes_upstream_as_the_time_left(
    model_server: FakeModelServer, fast_route: str, coalesce: str
) -> None:
    left: list[float] = []
    answer_now = asyncio.Event()

    async def held(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        left.append(float(request.headers["Sepal-Time-Left"]))
        await answer_now.wait()
        return model_server.answer("iris", await request.read())

    model_server.respond = held
    settings = settings_for(model_server, fast_route=fast_route, coalesce=coalesce)
    async with gateway(settings) as client, asyncio.timeout(LONG):
        ask: Callable[[str], Any] = lambda said: call(  # noqa: E731
            client, "POST", "/iris/predict", json=IRIS, headers={"X-Request-Deadline": said}
        )
        started = time.monotonic()
        assert (await ask(".2"))[0] == 504
        assert time.monotonic() - started > 0.15
        answer_now.set()
        assert (await ask("20"))[0] == 200
        assert (await ask("1000"))[0] == 200
    for seconds, said in zip(left, (0.2, 20, settings.request_timeout), strict=True):
        assert 0 < seconds <= said


@pytest.mark.parametrize(("said", "seconds"), [(b".2", 0.2), (b"1", 1), (b"1000", 30), (None, 30)])
def test_a_request_has_as_much_time_as_it_says_but_no_more_than_the_setting(
    said: bytes | None, seconds: float
) -> None:
    scope: dict[str, Any] = {"headers": [] if said is None else [(b"x-request-deadline", said)]}
    open_context(scope, receive_nothing)
    assert patience(scope, 30) == seconds


async def receive_nothing() -> dict[str, Any]:
    raise AssertionError


async def test_what_can_not_be_answered_in_time_is_503_at_once_with_a_time_to_come_again(
    model_server: FakeModelServer,
) -> None:
    async def slowly(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await asyncio.sleep(0.5)
        return model_server.answer("iris", await request.read())

    answer_now = asyncio.Event()

    async def held(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await answer_now.wait()
        return model_server.answer("iris", await request.read())

    model_server.respond = slowly
    async with gateway(settings_for(model_server)) as client, asyncio.timeout(LONG):
        assert (await call(client, "POST", "/iris/predict", json=IRIS))[0] == 200
        model_server.respond = held
        first = asyncio.create_task(call(client, "POST", "/iris/predict", json=IRIS))
        while model_server.calls < 2:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.001)
        for _ in range(3):
            status, body, headers = await call(
                client, "POST", "/iris/predict", json=IRIS, headers={"X-Request-Deadline": "0.1"}
            )
            assert not first.done()
            assert (status, body["title"]) == (503, "Overloaded")
            assert headers["Retry-After"] in ("1", "2")
        assert model_server.calls == 2
        answer_now.set()
        assert (await first)[0] == 200


class Watched:
    """A connection that counts how often it is looked after; `fault` is raised then."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.looks = 0

    def look(self, now: float) -> None:
        self.looks += 1
        if self.fault is not None:
            raise self.fault

    def close_after_answer(self) -> None:
        raise AssertionError


async def test_a_connection_that_can_not_be_looked_after_does_not_end_the_watch_over_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bounds = bounds_of(Settings(client_timeout=0.1))
    connections = [Watched(OSError("gone")), Watched(), Watched(ValueError("odd"))]
    bounds.connections = connections
    watch = asyncio.create_task(bounds.watch())
    async with asyncio.timeout(LONG):
        while min(connection.looks for connection in connections) < 3:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.01)
    assert not watch.done()
    watch.cancel()
    assert sorted(str(record.exc_info[1]) for record in caplog.records if record.exc_info) == [
        "gone",
        "odd",
    ]


@pytest.mark.parametrize("path", ["/iris/predict", "/iris/jobs"])
async def test_who_waits_to_send_its_body_is_told_at_once_that_it_is_one_too_many(
    model_server: FakeModelServer, path: str
) -> None:
    answer_now = asyncio.Event()

    async def held(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await answer_now.wait()
        return model_server.answer("iris", await request.read())

    model_server.respond = held
    async with gateway(settings_for(model_server, max_requests=1, client_timeout=60)) as client:
        under_way = asyncio.create_task(call(client, "POST", "/iris/predict", json=IRIS))
        while not model_server.calls:  # noqa: ASYNC110 (it tells nobody)
            await asyncio.sleep(0.001)
        raw = await Raw.to(client)
        raw.send(HEAD.replace(b"/iris/predict", path.encode()) + b"Expect: 100-continue\r\n")
        raw.send(b"Content-Length: 50\r\n\r\n")
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (503, "close")
        raw.send(b"x" * 50 + WHOLE)
        assert await raw.closed() == b""
        raw = await Raw.to(client)
        raw.send(HEAD + b"Content-Length: 10000000\r\n\r\n" + b"x" * 200_000)
        await asyncio.sleep(0.05)  # so that the rest comes in a packet of its own
        raw.send(b"x" * 200_000)
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (503, "close")
        assert not under_way.done()
        answer_now.set()
        assert (await under_way)[0] == 200


async def test_blank_lines_hold_no_connection_open(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, client_timeout=0.3)) as client:
        raw = await Raw.to(client)
        raw.send(WHOLE)
        assert (await raw.answer())[0] == 200
        raw.send(b"\r\n")
        assert await raw.closed() == b""


async def test_blank_lines_behind_a_request_do_not_cut_its_answer_off(
    model_server: FakeModelServer,
) -> None:
    async def slowly(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        await asyncio.sleep(1)
        return model_server.answer("iris", await request.read())

    model_server.respond = slowly
    async with gateway(settings_for(model_server, client_timeout=0.1)) as client:
        raw = await Raw.to(client)
        raw.send(WHOLE)
        await asyncio.sleep(0.05)  # so that it comes in a packet of its own
        raw.send(b"\r\n")
        assert (await raw.answer())[0] == 200
