"""Prediction over HTTP: right answers in the right order, and a clear word for everything else."""

import io
import json
from typing import Any

import aiohttp
import pytest

from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, call, gateway, settings_for

JSON = {"Content-Type": "application/json"}


async def test_one_row_gets_one_answer(client: aiohttp.ClientSession) -> None:
    status, body, _ = await call(client, "POST", "/iris/predict", json=IRIS)
    assert (status, body) == (200, {"output": "Iris-virginica", "model_name": "fake_7"})


async def test_probabilities_name_every_label(client: aiohttp.ClientSession) -> None:
    _, body, _ = await call(client, "POST", "/iris/predict-proba", json=IRIS)
    assert body["probabilities"] == {"Iris-setosa": 0.0, "Iris-versicolor": 0.0, "Iris-virginica": 1.0}


async def test_a_quantity_is_a_number(client: aiohttp.ClientSession) -> None:
    _, body, _ = await call(client, "POST", "/ride_duration/predict", json=RIDE)
    assert body == {"output": 5.0, "model_name": "fake_7"}


async def test_many_rows_are_answered_in_their_order(client: aiohttp.ClientSession) -> None:
    rows = [{**RIDE, "PULocationID": 1 + n % 265} for n in range(10_000)]
    _, body, _ = await call(client, "POST", "/ride_duration/predict", json=rows)
    assert [answer["output"] for answer in body] == [row["PULocationID"] / 2 for row in rows]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "application/vnd.x+json"])
async def test_json_may_be_called_by_its_other_names(
    client: aiohttp.ClientSession, media_type: str
) -> None:
    status, _, _ = await call(
        client, "POST", "/iris/predict", data=json.dumps(IRIS), headers={"Content-Type": media_type}
    )
    assert status == 200


@pytest.mark.parametrize(
    ("change", "pointer", "said"),
    [
        ({"PetalWidthCm": -1}, "#/PetalWidthCm", "greater than 0"),
        ({"PetalWidthCm": 31}, "#/PetalWidthCm", "less than or equal to 30"),
        ({"PetalWidthCm": None}, "#/PetalWidthCm", "valid number"),
        ({"PetalWidthCm": True}, "#/PetalWidthCm", "valid number"),
        ({"PetalWidthCm": "4"}, "#/PetalWidthCm", "valid number"),
        ({"PetalWidthCm": float("nan")}, "#/PetalWidthCm", "finite"),
        ({"PetalWidthCm": float("inf")}, "#/PetalWidthCm", "finite"),
        ({"a/b~c": 1}, "#/a~1b~0c", "not permitted"),
    ],
)
async def test_a_wrong_value_is_422_and_nothing_is_sent_upstream(
    client: aiohttp.ClientSession,
    model_server: FakeModelServer,
    change: dict[str, Any],
    pointer: str,
    said: str,
) -> None:
    status, body, _ = await call(client, "POST", "/iris/predict", json={**IRIS, **change})
    assert status == 422
    assert [wrong["pointer"] for wrong in body["errors"]] == [pointer]
    assert said in body["errors"][0]["detail"]
    assert said in body["detail"]
    assert model_server.calls == 0


async def test_a_missing_feature_is_named(client: aiohttp.ClientSession) -> None:
    status, body, _ = await call(client, "POST", "/iris/predict", json={"SepalLengthCm": 5})
    assert status == 422
    assert [wrong["pointer"] for wrong in body["errors"]] == [
        "#/SepalWidthCm",
        "#/PetalLengthCm",
        "#/PetalWidthCm",
    ]


async def test_one_bad_row_among_many_is_named_by_its_index(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    rows = [IRIS, IRIS, {**IRIS, "SepalWidthCm": 0}, IRIS]
    status, body, _ = await call(client, "POST", "/iris/predict", json=rows)
    assert status == 422
    assert body["errors"][0]["pointer"] == "#/2/SepalWidthCm"
    assert body["errors"][0]["value"] == 0
    assert model_server.calls == 0


async def test_a_bound_in_time_is_told_as_a_time(client: aiohttp.ClientSession) -> None:
    row = {**RIDE, "pickup_datetime": "2001-01-01T00:00:00"}
    _, body, _ = await call(client, "POST", "/ride_duration/predict", json=row)
    assert body["errors"][0]["detail"].endswith("greater than or equal to 2009-01-01T00:00:00")


async def test_thousands_of_wrong_values_are_counted_and_the_first_hundred_named(
    client: aiohttp.ClientSession,
) -> None:
    _, body, _ = await call(client, "POST", "/iris/predict", json=[{**IRIS, "PetalWidthCm": 99}] * 5000)
    assert len(body["errors"]) == 100
    assert body["detail"].startswith("5000 wrong values, of which the first 100 are named: 0/PetalWidthCm")


async def test_a_long_wrong_value_is_cut_and_a_container_is_not_shown(
    client: aiohttp.ClientSession,
) -> None:
    row = {**IRIS, "PetalWidthCm": "x" * 1000, "SepalWidthCm": [1] * 1000}
    _, body, _ = await call(client, "POST", "/iris/predict", json=row)
    values = {wrong["pointer"]: wrong.get("value") for wrong in body["errors"]}
    assert values == {"#/PetalWidthCm": "x" * 100 + "…", "#/SepalWidthCm": None}


@pytest.mark.parametrize(
    ("sent", "expected", "said"),
    [
        (b"{", 400, "no JSON"),
        (b"", 400, "empty"),
        (b"\xc3\x28", 400, "not UTF-8, from byte 0 on"),
        (b"[" * 100_000, 400, "can't be read"),
        (b"[]", 422, "at least 1"),
        (b"5", 422, "object"),
        (b"[5]", 422, "object"),
        (b"null", 422, "the body"),
        (json.dumps([IRIS] * 10_001).encode(), 413, "10001 rows are too many: send at most 10000"),
        (b" " * (16 * 2**20 + 1), 413, "send at most 16777216 bytes"),
    ],
    ids=[
        "broken",
        "empty",
        "not utf-8",
        "deep",
        "no rows",
        "number",
        "row that is a number",
        "null",
        "rows",
        "bytes",
    ],
)
async def test_a_body_of_the_wrong_form(
    client: aiohttp.ClientSession, model_server: FakeModelServer, sent: bytes, expected: int, said: str
) -> None:
    status, body, _ = await call(client, "POST", "/iris/predict", data=io.BytesIO(sent), headers=JSON)
    assert (status, said in body["detail"]) == (expected, True), body
    assert model_server.calls == 0


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "text/plain"}, {"Content-Type": "application/x-json"}]
)
async def test_another_media_type_is_415(client: aiohttp.ClientSession, headers: dict[str, str]) -> None:
    status, body, _ = await call(client, "POST", "/iris/predict", data=json.dumps(IRIS), headers=headers)
    assert status == 415
    assert "application/json" in body["detail"]


async def test_an_unknown_model_is_answered_with_those_that_exist(client: aiohttp.ClientSession) -> None:
    status, body, _ = await call(client, "POST", "/rose/predict", json=IRIS)
    assert status == 404
    assert "There are: iris, ride_duration" in body["detail"]


async def test_a_quantity_has_no_probabilities(client: aiohttp.ClientSession) -> None:
    status, body, _ = await call(client, "POST", "/ride_duration/predict-proba", json=RIDE)
    assert (status, body["detail"]) == (404, "ride_duration has no predict-proba.")


async def test_another_method_is_405_with_the_one_that_is_allowed(client: aiohttp.ClientSession) -> None:
    status, body, headers = await call(client, "GET", "/iris/predict")
    assert (status, headers["Allow"]) == (405, "POST")
    assert "Allowed: POST" in body["detail"]


async def test_only_the_models_that_are_set_are_served(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, models=("iris",))) as client:
        status, body, _ = await call(client, "POST", "/ride_duration/predict", json=RIDE)
    assert status == 404
    assert body["detail"] == "There is no model 'ride_duration'. There are: iris."
