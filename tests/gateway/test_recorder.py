"""What the gateway tells of its requests: a line each, metrics, and spans."""

import asyncio
import json
import re
import socket
import tempfile
import time
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from sepal.contracts.catalogue import load_contracts
from sepal.gateway.answers import Answers
from sepal.gateway.metrics import AnswerCounter, GatewayMetrics
from sepal.gateway.recorder import Recorder
from sepal.gateway.request_context import CallContext, RequestContext
from sepal.settings import Settings
from sepal.telemetry.correlation import REQUESTS_HEADER, join_ids
from sepal.telemetry.logs import Log
from sepal.telemetry.tracing import LAST_SPANS
from sepal.telemetry.writer import LineWriter
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, call, gateway, settings_for
from tests.gateway.metrics import samples
from tests.gateway.processes import process
from tests.ports import free_port
from tests.telemetry.collector import collecting
from tests.waiting import LONG, comes_async


class Told:
    """A log that a test reads."""

    def __init__(self, settings: Settings) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed below)
        self._writer = LineWriter(self._file.fileno(), gather=0.001)
        self.log = Log(settings, self._writer)

    def text(self) -> list[str]:
        """All lines; nothing can be told after this."""
        self._writer.close()
        self._file.seek(0)
        with self._file:
            return self._file.read().decode().splitlines()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text()]


@asynccontextmanager
async def logging_gateway(settings: Settings) -> AsyncIterator[tuple[aiohttp.ClientSession, Told]]:
    """The gateway of these settings, with a log."""
    told = Told(settings)
    async with gateway(settings, log=told.log) as session:
        yield session, told


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_each_request_has_one_line_with_all_that_is_known_of_it(
    model_server: FakeModelServer, fast_route: str
) -> None:
    async with logging_gateway(settings_for(model_server, fast_route=fast_route)) as (client, told):
        await call(client, "POST", "/iris/predict", json=IRIS, headers={"X-Request-ID": "mine"})
        await call(client, "POST", "/ride_duration/predict", json=[RIDE, RIDE])
        await call(client, "POST", "/iris/predict", json={"SepalLengthCm": "secret"})
        await call(client, "GET", "/iris/jobs/secret")
        await call(client, "GET", "/secret")
        await call(client, "QUERY", "/livez")
    lines = told.lines()
    first = lines[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first.pop("timestamp"))
    assert 0 < first.pop("latency_ms") < 1000
    assert first == {
        "level": "info",
        "event": "request_metrics",
        "endpoint": "/iris/predict",
        "method": "POST",
        "status_code": 200,
        "error": None,
        "model": "iris",
        "version": "fake_7",
        "key_id": None,
        "request_id": "mine",
        "rows": 1,
    }
    told_of = [(line["endpoint"], line["status_code"], line["error"], line["rows"]) for line in lines]
    assert told_of == [
        ("/iris/predict", 200, None, 1),
        ("/ride_duration/predict", 200, None, 2),
        ("/iris/predict", 422, "wrong_values", 0),
        ("/iris/jobs/{job_id}", 404, "not_found", 0),
        ("(none)", 404, "not_found", 0),
        ("/livez", 405, "method_not_allowed", 0),
    ]
    assert [line["method"] for line in lines[-2:]] == ["GET", "other"]
    assert "secret" not in json.dumps(lines)


async def test_no_line_is_lost_when_the_process_is_told_to_stop(model_server: FakeModelServer) -> None:
    async with process(model_server, stdout=asyncio.subprocess.PIPE) as (started, url):
        async with aiohttp.ClientSession(url) as client:
            await asyncio.gather(*(call(client, "POST", "/iris/predict", json=IRIS) for _ in range(50)))
        started.terminate()
        output, _ = await asyncio.wait_for(started.communicate(), LONG)
    lines = [json.loads(line) for line in output.splitlines()]
    predictions = [line for line in lines if line.get("endpoint") == "/iris/predict"]
    assert len({line["request_id"] for line in predictions}) == 50


async def test_people_get_text_and_a_higher_level_only_failures(model_server: FakeModelServer) -> None:
    async with logging_gateway(settings_for(model_server, log_format="console")) as (client, told):
        await call(client, "POST", "/iris/predict", json=IRIS)
    assert "endpoint=/iris/predict" in told.text()[0]

    async def respond(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    model_server.respond = respond
    async with logging_gateway(settings_for(model_server, log_level="warning")) as (client, told):
        await call(client, "GET", "/livez")
        await call(client, "POST", "/iris/predict", json=IRIS)
    (line,) = told.lines()
    assert (line["level"], line["error"]) == ("warning", "model_server_unavailable")


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_payloads_are_logged_only_if_a_setting_says_so(
    model_server: FakeModelServer, fast_route: str
) -> None:
    settings = settings_for(model_server, log_payloads=1, fast_route=fast_route)
    async with logging_gateway(settings) as (client, told):
        await call(client, "POST", "/iris/predict", json=IRIS)
        await call(client, "POST", "/iris/predict", data="x" * 5000)
    asked, _, refused, _ = told.lines()
    assert asked["event"] == "request_payload"
    assert json.loads(asked["body"]) == IRIS
    assert json.loads(asked["answer"])["model_name"] == "fake_7"
    assert len(refused["body"]) <= 2000


async def test_what_is_counted(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server)) as client:
        for _ in range(3):
            await call(client, "POST", "/iris/predict", json=IRIS)
        rows = [IRIS, {**IRIS, "SepalLengthCm": 4}, {**IRIS, "SepalLengthCm": 1}]
        await call(client, "POST", "/iris/predict-proba", json=rows)
        await call(client, "POST", "/ride_duration/predict", json=[RIDE, RIDE])
        await call(client, "POST", "/iris/predict", data="{", headers={"Content-Type": "application/json"})
        for path in ("/a", "/b", "/c"):
            await call(client, "GET", path)
        counted = await samples(client)
    for name, count in {
        "sepal_requests_total /iris/predict POST 200": 3,
        "sepal_requests_total (none) GET 404": 3,
        "sepal_rejections_total /iris/predict bad_request": 1,
        "sepal_rejections_total (none) not_found": 3,
        "sepal_rows_total iris": 6,
        "sepal_rows_total ride_duration": 2,
        "sepal_predictions_total Iris-virginica iris fake_7": 4,
        "sepal_predictions_total Iris-versicolor iris fake_7": 2,
        "sepal_predictions_total  ride_duration fake_7": 2,
        "sepal_request_duration_seconds_count /iris/predict": 4,
        "sepal_stage_duration_seconds_count /iris/predict validation": 3,
        "sepal_stage_duration_seconds_count /iris/predict wait": 3,
        "sepal_stage_duration_seconds_count /iris/predict upstream": 3,
        "sepal_call_rows_sum iris": 6,
        "sepal_call_requests_sum iris": 4,
        "sepal_waiting_rows iris": 0,
        "sepal_workers gateway": 1,
    }.items():
        assert counted[name] == count, name


async def test_rows_that_wait_and_calls_that_fail_are_counted(model_server: FakeModelServer) -> None:
    go = asyncio.Event()

    async def respond(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        await go.wait()
        return model_server.answer("iris", body)

    async def wrong(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=500)

    model_server.respond = respond
    settings = settings_for(model_server, request_timeout=5, max_waiting_rows=3)
    async with gateway(settings) as client:
        first = asyncio.create_task(call(client, "POST", "/iris/predict", json=IRIS))
        while not model_server.calls:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(call(client, "POST", "/iris/predict", json=[IRIS] * 3))
        while not (await samples(client))["sepal_waiting_rows iris"]:  # noqa: ASYNC110 (the same)
            await asyncio.sleep(0.001)
        assert (await samples(client))["sepal_waiting_rows iris"] == 3
        assert (await call(client, "POST", "/iris/predict", json=IRIS))[0] == 503
        go.set()
        assert (await first)[0] == (await waiting)[0] == 200
        model_server.respond = wrong
        assert (await call(client, "POST", "/iris/predict", json=IRIS))[0] == 503
        counted = await samples(client)
    assert counted["sepal_rejections_total /iris/predict overloaded"] == 1
    assert counted["sepal_rejections_total /iris/predict model_server_unavailable"] == 1
    assert counted["sepal_upstream_errors_total bad_answer"] == 1
    assert counted["sepal_stage_duration_seconds_count /iris/predict upstream"] == 3


async def test_a_model_server_that_is_slow_or_away_is_told_apart(model_server: FakeModelServer) -> None:
    async def never(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(5)
        raise AssertionError

    model_server.respond = never
    async with gateway(settings_for(model_server, request_timeout=0.1, coalesce="off")) as client:
        assert (await call(client, "POST", "/iris/predict", json=IRIS))[0] == 504
        assert (await samples(client))["sepal_upstream_errors_total timeout"] == 1
    url = f"http://127.0.0.1:{free_port()}"
    async with gateway(settings_for(model_server, model_server_url=url, coalesce="off")) as client:
        assert (await call(client, "POST", "/iris/predict", json=IRIS))[0] == 503
        assert (await samples(client))["sepal_upstream_errors_total unreachable"] == 1


async def test_the_model_server_is_told_whose_rows_a_call_carries(model_server: FakeModelServer) -> None:
    seen: list[str] = []

    async def respond(request: web.Request) -> web.StreamResponse:
        seen.append(request.headers[REQUESTS_HEADER])
        await asyncio.sleep(0.02)
        return model_server.answer("iris", await request.read())

    model_server.respond = respond
    ids = [f"request-{number}" for number in range(20)]
    async with gateway(settings_for(model_server, request_timeout=5)) as client:
        await asyncio.gather(
            *(
                call(client, "POST", "/iris/predict", json=IRIS, headers={"X-Request-ID": one})
                for one in ids
            )
        )
    assert sorted(one for header in seen for one in header.split(",")) == sorted(ids)
    assert len(seen) < len(ids)


def test_what_is_kept_for_the_next_request_is_bounded() -> None:
    metrics = GatewayMetrics()
    recorder, counter = Recorder(metrics), AnswerCounter(metrics, load_contracts()["iris"])
    for number in range(1500):
        version = f"log_reg_{number}"
        counter.count(Answers(array("d", [number, 1, 0, 1, 0]), {number: version}))
        context = RequestContext("id", endpoint="/iris/predict", version=version, status=200)
        recorder.end(context, {"method": "POST", "path": "/iris/predict"})
    counted = metrics.all.snapshot()
    assert len(counted["sepal_predictions_total"]) == 1500
    assert counted["sepal_requests_total"] == [(["/iris/predict", "POST", "200"], [1500])]


def test_code_that_runs_for_requests_knows_their_ids() -> None:
    one, two = RequestContext("one"), RequestContext("two")
    assert one.request_ids == ("one",)
    assert CallContext([one, two]).request_ids == ["one", "two"]


def test_a_header_names_as_many_requests_as_fit() -> None:
    ids = [f"{number:0128d}" for number in range(100)]
    *named, more = join_ids(ids).split(",")
    assert named == ids[: len(named)]
    assert more == f"+{100 - len(named)}"
    assert 7000 < len(join_ids(ids)) <= 8000


async def test_metrics_can_be_kept_off_the_public_port(model_server: FakeModelServer) -> None:
    port = free_port()
    async with gateway(settings_for(model_server, metrics_port=port)) as client:
        assert (await call(client, "GET", "/metrics"))[0] == 404
        await call(client, "POST", "/iris/predict", json=IRIS)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as other:
            assert (await samples(other))["sepal_rows_total iris"] == 1


async def test_spans_say_what_the_metrics_say(model_server: FakeModelServer) -> None:
    with collecting() as collector:
        settings = settings_for(model_server, traces_endpoint=collector.url)
        async with gateway(settings) as client:
            sampled, unsampled = "1" * 32, "2" * 32
            for trace, flag in ((sampled, "01"), (unsampled, "00")):
                traceparent = f"00-{trace}-{'3' * 16}-{flag}"
                await call(client, "POST", "/iris/predict", json=IRIS, headers={"traceparent": traceparent})
            await call(client, "GET", "/livez")
        spans = collector.of_trace(sampled)
    assert {name.removeprefix("sepal-gateway: ") for name in spans} == {
        *("POST /iris/predict", "validation", "wait", "upstream", "POST /iris/score")
    }
    attributes = {pair.key: pair.value for pair in spans["sepal-gateway: POST /iris/predict"].attributes}
    assert attributes["sepal.version"].string_value == "fake_7"
    assert attributes["http.response.status_code"].int_value == 200
    assert not collector.of_trace(unsampled)
    assert "GET /livez" in {span.name for _, span in collector.spans}


async def test_without_an_endpoint_nothing_is_traced(
    model_server: FakeModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
        async with gateway(settings_for(model_server)) as client:
            await call(client, "GET", "/livez")
        assert not collector.spans
        monkeypatch.delenv("OTEL_SDK_DISABLED")
        async with gateway(settings_for(model_server)) as client:
            await call(client, "GET", "/livez")
        assert [span.name for _, span in collector.spans] == ["GET /livez"]


async def test_what_others_count_is_told_too(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, max_connections=1)) as client:
        url = client._base_url
        assert url is not None
        _, first = await asyncio.open_connection(url.host, url.port)
        async with client.get("/livez") as refused:
            assert refused.status == 503
        first.close()
        await first.wait_closed()

        refusals = 1

        async def served() -> bool:
            nonlocal refusals
            async with client.get("/livez") as response:
                refusals += response.status == 503
                return response.status == 200

        assert await comes_async(served)
        found = await samples(client)
        assert found["sepal_refusals_total connections"] == refusals
        assert found["sepal_connections"] >= 1
        assert found["sepal_breaker_open"] == 0
        assert found["sepal_breaker_openings_total"] == 0
        assert found["sepal_upstream_retries_total"] == 0
        assert found["sepal_limits_unanswered_total"] == 0


async def test_a_collector_that_never_answers_holds_up_the_end_for_a_few_seconds_at_most(
    model_server: FakeModelServer,
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with gateway(settings_for(model_server, traces_endpoint=endpoint)) as client:
            await call(client, "GET", "/livez")
            stopping = time.monotonic()
    assert time.monotonic() - stopping < LAST_SPANS + 1
