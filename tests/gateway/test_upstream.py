"""What the gateway says when the model server is away, slow or talks nonsense."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web

from sepal.contracts import wire
from sepal.gateway.upstream import TOO_LATE
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, running, settings_for
from tests.gateway.metrics import samples
from tests.ports import free_port
from tests.waiting import LONG, comes_async

HANGS = 10.0
"""Seconds that the fake one says nothing when it hangs."""

GOOD = wire.pack([7, 2, 0.0, 0.0, 1.0])


async def predict(client: aiohttp.ClientSession) -> tuple[int, str | None]:
    status, body, headers = await call(client, "POST", "/iris/predict", json=IRIS)
    assert "Traceback" not in str(body)
    return status, headers.get("Retry-After")


async def test_while_it_is_away_the_gateway_says_503_and_recovers_by_itself() -> None:
    port = free_port()
    model_server = Probed(url=f"http://127.0.0.1:{port}")
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        for time in (1, 2):
            assert await predict(client) == (503, "1")
            model_server.probes = 0
            async with running(model_server, port):
                assert await comes_async(lambda: served(client))
                assert model_server.probes == 1, "the first probe that is answered is the last"
            counted = await samples(client)
            assert counted["sepal_breaker_openings_total"] == time
            assert counted["sepal_breaker_open"] == 0


class Probed(FakeModelServer):
    """Counts how often it is asked how it is."""

    probes = 0

    async def models(self, request: web.Request) -> web.Response:
        self.probes += 1
        return await super().models(request)


async def served(client: aiohttp.ClientSession) -> bool:
    """Whether a prediction is answered. While it is not, the breaker has it told at once."""
    answer = await predict(client)
    assert answer in ((200, None), (503, "1"))
    return answer == (200, None)


async def test_after_a_failed_connection_nobody_waits_for_a_port_that_does_not_answer() -> None:
    model_server = FakeModelServer(url=f"http://127.0.0.1:{free_port()}")
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        assert await predict(client) == (503, "1")
        async with asyncio.timeout(LONG / 2):
            answers = await asyncio.gather(*(predict(client) for _ in range(100)))
        assert set(answers) == {(503, "1")}


async def test_an_answer_after_the_deadline_is_504_at_the_deadline(model_server: FakeModelServer) -> None:
    never = asyncio.Event()

    async def too_slow(_: web.Request) -> web.StreamResponse:
        await never.wait()
        raise AssertionError

    model_server.respond = too_slow
    async with gateway(settings_for(model_server, request_timeout=0.5)) as client:
        started = asyncio.get_running_loop().time()
        async with asyncio.timeout(60):
            assert await predict(client) == (504, None)
        assert asyncio.get_running_loop().time() - started > 0.4


@pytest.mark.parametrize(
    ("status", "expected"), [(503, 503), (500, 503), (429, 503), (409, 503), (404, 503), (504, 504)]
)
async def test_its_refusals_are_passed_on_as_what_they_mean(
    client: aiohttp.ClientSession, model_server: FakeModelServer, status: int, expected: int
) -> None:
    async def refuse(_: web.Request) -> web.StreamResponse:
        return web.json_response({"error": "secret"}, status=status)

    model_server.respond = refuse
    got, body, _ = await call(client, "POST", "/iris/predict", json=IRIS)
    assert got == expected
    assert "secret" not in str(body)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"body": b""},
        {"body": GOOD[:-8]},
        {"body": GOOD + GOOD},
        {"body": b"x" * len(GOOD)},
        {"body": wire.pack([7, 3, 0.0, 0.0, 1.0])},
        {"body": wire.pack([7, 2, 0.0, 0.0, 2.0])},
        {"body": wire.pack([7, 2, 0.0, 0.0, float("nan")])},
        {"body": wire.pack([8, 2, 0.0, 0.0, 1.0])},
        {"body": GOOD, "versions": "{}"},
        {"body": GOOD, "versions": "no JSON"},
        {"body": GOOD, "versions": "[]"},
        {"body": GOOD, "media_type": "application/json"},
    ],
)
async def test_nonsense_is_never_passed_on(
    client: aiohttp.ClientSession, model_server: FakeModelServer, nonsense: dict[str, object]
) -> None:
    async def respond(_: web.Request) -> web.StreamResponse:
        return FakeModelServer.response(**nonsense)  # type: ignore[arg-type]

    model_server.respond = respond
    assert await predict(client) == (503, "1")


async def test_a_connection_cut_in_the_middle_of_an_answer_is_503(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={wire.VERSIONS_HEADER: '{"7": "fake_7"}'})
        response.content_type = wire.MEDIA_TYPE
        response.content_length = len(GOOD)
        await response.prepare(request)
        await response.write(GOOD[:16])
        assert request.transport is not None
        request.transport.abort()
        return response

    model_server.respond = cut
    assert await predict(client) == (503, "1")


async def test_an_address_that_takes_no_connections_is_503_within_the_connect_deadline() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        others = [socket.socket() for _ in range(4)]
        for other in others:  # fill the queue, so that a further connection is not even made
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        address = FakeModelServer(url=f"http://127.0.0.1:{full.getsockname()[1]}")
        async with gateway(settings_for(address, connect_timeout=0.2, request_timeout=LONG)) as client:
            assert await predict(client) == (503, "1")
        for other in others:
            other.close()


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_a_bug_of_our_own_is_500_without_its_text(
    model_server: FakeModelServer, monkeypatch: pytest.MonkeyPatch, fast_route: str
) -> None:
    def break_down(*_: object) -> bytes:
        raise RuntimeError("secret")

    monkeypatch.setattr("sepal.contracts.contract.wire.pack", break_down)
    async with gateway(settings_for(model_server, fast_route=fast_route)) as client:
        status, body, _ = await call(client, "POST", "/iris/predict", json=IRIS)
    assert status == 500
    assert "secret" not in str(body)


async def test_a_connection_closed_before_an_answer_is_tried_again_once_and_within_a_budget(
    model_server: FakeModelServer,
) -> None:
    cuts = 1

    async def cut(request: web.Request) -> web.StreamResponse:
        nonlocal cuts
        if cuts:
            cuts -= 1
            assert request.transport is not None
            request.transport.abort()
        return model_server.answer("iris", await request.read())

    model_server.respond = cut
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        assert await predict(client) == (200, None)
        assert model_server.calls == 2
        cuts = 2
        assert await predict(client) == (503, "1")
        assert model_server.calls == 4
    async with gateway(settings_for(model_server, request_timeout=LONG, retry_budget=0)) as client:
        cuts = 1
        assert await predict(client) == (503, "1")
        assert model_server.calls == 5


async def test_nothing_is_sent_again_to_a_model_server_that_does_not_answer_at_all(
    model_server: FakeModelServer,
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        model_server.hangs = True
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    model_server.respond = cut
    async with gateway(settings_for(model_server, request_timeout=LONG)) as client:
        started = asyncio.get_running_loop().time()
        assert await predict(client) == (503, "1")
        assert 0.9 < asyncio.get_running_loop().time() - started < HANGS
        assert model_server.calls == 1
        assert await predict(client) == (503, "1")
        assert model_server.calls == 1
        model_server.hangs, model_server.respond = False, None
        assert await comes_async(lambda: served(client))


async def test_asking_before_a_retry_takes_no_longer_than_the_request_may(
    model_server: FakeModelServer,
) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        model_server.hangs = True
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    model_server.respond = cut
    settings = settings_for(model_server, request_timeout=LONG, connect_timeout=LONG, coalesce="off")
    async with gateway(settings) as client:
        started = asyncio.get_running_loop().time()
        headers = {"X-Request-Deadline": "0.3"}
        status, problem, _ = await call(client, "POST", "/iris/predict", json=IRIS, headers=headers)
        assert (status, problem["detail"]) == (504, TOO_LATE)
        assert 0.2 < asyncio.get_running_loop().time() - started < HANGS
        assert model_server.calls == 1
        assert (await samples(client))["sepal_breaker_openings_total"] == 0, "so little time tells nothing"


@pytest.mark.parametrize("how", ["error", "nonsense", "numbers that are none", "no answer in time"])
async def test_failed_calls_in_a_row_open_the_breaker_until_a_call_goes_well(
    model_server: FakeModelServer, how: str
) -> None:
    async def fail(_: web.Request) -> web.StreamResponse:
        if how == "no answer in time":
            await asyncio.sleep(LONG)
        if how == "error":
            return web.Response(status=500)
        return FakeModelServer.response(b"" if how == "nonsense" else b"x" * len(GOOD))

    settings = settings_for(model_server, breaker_failures=2, request_timeout=0.3, coalesce="off")
    async with gateway(settings) as client:
        model_server.respond = fail
        for _ in range(2):
            await predict(client)
        assert model_server.calls == 2
        model_server.respond = None
        assert await comes_async(lambda: goes_well(client))


async def goes_well(client: aiohttp.ClientSession) -> bool:
    return await predict(client) == (200, None)


@pytest.mark.parametrize(
    ("good_ones_before", "time_outs", "patience"), [(0, 1, "60"), (5, 12, "60"), (5, 12, "0.05")]
)
async def test_once_it_answers_again_after_calls_that_hung_predictions_are_served_again(
    model_server: FakeModelServer, good_ones_before: int, time_outs: int, patience: str
) -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(LONG)
        raise AssertionError

    async def goes_well() -> bool:
        answer = await call(
            client, "POST", "/iris/predict", json=IRIS, headers={"X-Request-Deadline": patience}
        )
        return answer[0] == 200

    async with gateway(settings_for(model_server, request_timeout=0.2, breaker_failures=1000)) as client:
        for _ in range(good_ones_before):
            await goes_well()
        model_server.respond, model_server.calls = hang, 0
        async with asyncio.timeout(LONG):
            while model_server.calls < time_outs:
                assert not await goes_well()
        model_server.respond = None
        assert await comes_async(goes_well)


async def test_a_short_deadline_that_is_missed_says_nothing_of_the_model_server(
    model_server: FakeModelServer,
) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return model_server.answer("iris", await request.read())

    model_server.respond = slowly
    settings = settings_for(model_server, request_timeout=LONG, breaker_failures=1, coalesce="off")
    async with gateway(settings) as client:
        for said in ("0.05", "0.000000001"):
            headers = {"X-Request-Deadline": said}
            assert (await call(client, "POST", "/iris/predict", json=IRIS, headers=headers))[0] == 504
        assert await predict(client) == (200, None)
