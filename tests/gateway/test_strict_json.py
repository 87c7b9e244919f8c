"""JSON that Python would forgive is refused, by the fast way and by the declared one."""

import io
import json

import aiohttp
import pytest

from sepal.gateway.strict_json import has_too_many_names
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, call, gateway, settings_for

JSON = {"Content-Type": "application/json"}
TIMED = {**RIDE, "pickup_datetime": "2024-03-01T08:15:00"}


def twice(row: dict[str, object]) -> bytes:
    name = next(iter(row))
    return json.dumps(row).encode().replace(b"{", b'{"%s": 1, ' % name.encode(), 1)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (twice(IRIS), 'The body has a name twice in one object: "SepalLengthCm".'),
        (b"[%s, %s]" % (json.dumps(IRIS).encode(), twice(IRIS)), "twice in one object"),
        (json.dumps(IRIS).encode("utf-16"), "The body is not UTF-8, from byte 0 on."),
        (b'{"\xe4": 1}', "The body is not UTF-8, from byte 2 on."),
        (b'{"\\ud800": 1}', "half of a pair of surrogates"),
    ],
)
async def test_what_python_forgives_is_a_400(
    client: aiohttp.ClientSession, body: bytes, detail: str
) -> None:
    status, problem, _ = await call(client, "POST", "/iris/predict", data=body, headers=JSON)
    assert status == 400
    assert detail in problem["detail"]


async def test_a_name_twice_is_found_beside_colons_in_values(client: aiohttp.ClientSession) -> None:
    path = "/ride_duration/predict"
    assert (await call(client, "POST", path, json=TIMED))[0] == 200
    status, problem, _ = await call(client, "POST", path, data=twice(TIMED), headers=JSON)
    assert status == 400
    assert '"PULocationID"' in problem["detail"]


async def test_whole_pairs_of_surrogates_are_told_as_any_unknown_name(
    client: aiohttp.ClientSession,
) -> None:
    status, problem, _ = await call(
        client, "POST", "/iris/predict", data=b'{"\\ud83c\\udf38": 1}', headers=JSON
    )
    assert status == 422
    assert "#/🌸" in [error["pointer"] for error in problem["errors"]]


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_a_million_names_are_refused_before_they_are_looked_at(
    model_server: FakeModelServer, fast_route: str
) -> None:
    body = io.BytesIO(("{" + ",".join(f'"k{number}":0' for number in range(1_000_000)) + "}").encode())
    async with gateway(settings_for(model_server, fast_route=fast_route)) as client:
        status, problem, _ = await call(client, "POST", "/iris/predict", data=body, headers=JSON)
    assert status == 413
    assert problem["detail"] == "The body has too many names: a row of iris has at most 4."


async def test_a_long_name_is_not_sent_back_whole(client: aiohttp.ClientSession) -> None:
    body = io.BytesIO(json.dumps({"n" * 10**6: 1}).encode())
    status, problem, _ = await call(client, "POST", "/iris/predict", data=body, headers=JSON)
    assert status == 422
    assert len(json.dumps(problem)) < 2000


def test_rows_with_all_their_features_never_have_too_many_names(
    model_server: FakeModelServer,
) -> None:
    for contract in model_server.contracts.values():
        full = {column.name: column.example for column in contract.columns}
        for n_rows in (1, 10, 1000):
            assert not has_too_many_names(json.dumps([full] * n_rows).encode(), contract, 1000)
