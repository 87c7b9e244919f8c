"""Payloads in the log, of a share of the requests."""

import json
from pathlib import Path

import pytest

from sepal.telemetry.logs import Log
from sepal.telemetry.writer import LineWriter
from tests.gateway.conftest import IRIS, FakeModelServer, call, gateway, settings_for

REQUESTS = 400
SHARE = 0.5
"""So many are expected to be logged as not, give or take 10: 100 off comes once in 10**23 runs."""


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_the_payloads_of_a_share_of_requests_are_logged_and_each_names_its_request(
    model_server: FakeModelServer, tmp_path: Path, fast_route: str
) -> None:
    settings = settings_for(model_server, log_payloads=SHARE, fast_route=fast_route, request_timeout=30)
    with (tmp_path / "log").open("wb") as file:
        writer = LineWriter(file.fileno())
        async with gateway(settings, log=Log(settings, writer)) as client:
            for number in range(REQUESTS):
                headers = {"X-Request-ID": f"request-{number}"}
                body = {**IRIS, "SepalLengthCm": 1 + number / 100}
                await call(client, "POST", "/iris/predict", json=body, headers=headers)
        writer.close()
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert sum(line["event"] == "request_metrics" for line in lines) == REQUESTS
    told = {line["request_id"]: line for line in lines if line["event"] == "request_payload"}
    assert REQUESTS * SHARE - 100 <= len(told) <= REQUESTS * SHARE + 100
    for request_id, line in told.items():
        number = int(request_id.removeprefix("request-"))
        assert json.loads(line["body"])["SepalLengthCm"] == 1 + number / 100
        assert json.loads(line["answer"])["model_name"] == "fake_7"
