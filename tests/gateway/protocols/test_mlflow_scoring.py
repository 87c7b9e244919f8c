"""MLflow's scoring protocol over HTTP, in all its forms, and which model is meant."""

import json
from datetime import datetime
from importlib.metadata import version
from typing import Annotated, Any, Literal

import aiohttp
import pytest
from pydantic import Field

from sepal.contracts import Contract, Features, Labels, WallClock, feature, wire
from sepal.contracts.columns import ColumnEncoder
from sepal.errors import ConfigurationError
from sepal.gateway.app import create_app
from sepal.gateway.protocols.tables import read_csv
from sepal.settings import Settings
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, gateway, settings_for

NAMES = list(IRIS)
ROW = list(IRIS.values())
CSV = {"Content-Type": "text/csv"}


async def invoke(
    client: aiohttp.ClientSession,
    body: object,
    path: str = "/iris/invocations",
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    async with client.post(path, data=data, headers=sent) as response:
        assert response.headers["X-Request-ID"]
        return response.status, await response.json(), response.headers


async def refused(client: aiohttp.ClientSession, status: int, said: str, *call: Any) -> None:  # noqa: ANN401
    found, body, _ = await invoke(client, *call)
    assert found == status, body
    assert set(body) == {"error_code", "message"}
    assert said in body["message"], body


FORMS: list[Any] = [
    {"dataframe_split": {"columns": NAMES, "index": [0], "data": [ROW]}},
    {"dataframe_split": {"columns": [*NAMES, "Id"], "data": [[*ROW, 7]]}},
    {"dataframe_records": [IRIS]},
    {"dataframe_records": [{"sepal length (cm)": 5, **dict(list(IRIS.items())[1:])}]},
    {"instances": [IRIS]},
    {"instances": [ROW]},
    {"inputs": [ROW]},
    {"inputs": [IRIS], "params": {}},
    {"inputs": {name: [value] for name, value in IRIS.items()}},
]


@pytest.mark.parametrize("body", FORMS, ids=range(len(FORMS)))
async def test_every_form_of_rows_gets_predictions_and_the_versions_name(
    client: aiohttp.ClientSession, body: dict[str, Any]
) -> None:
    status, answer, headers = await invoke(client, body)
    assert (status, answer) == (200, {"predictions": ["Iris-virginica"]})
    assert headers["X-Model-Version"] == "fake_7"


@pytest.mark.parametrize("media_type", ["text/csv", "text/csv; charset=utf-8"])
async def test_csv_has_a_header_and_other_columns_are_left_alone(
    client: aiohttp.ClientSession, media_type: str
) -> None:
    text = (
        ",".join(["", *NAMES]) + "\r\n" + ",".join(map(str, [0, *ROW])) + '\r\n\r\n"a\nb",1.0,.5,1e0,+2\r\n'
    )
    status, answer, _ = await invoke(client, text.encode(), headers={"Content-Type": media_type})
    assert (status, answer) == (200, {"predictions": ["Iris-virginica", "Iris-versicolor"]})


async def test_a_missing_time_may_be_said_in_every_way_that_pandas_has(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    bodies: list[bytes] = []

    async def keep(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        bodies.append(await request.read())
        return model_server.answer("ride_duration", bodies[-1])

    model_server.respond = keep
    path = "/ride_duration/invocations"
    plain = {"dataframe_records": [RIDE]}
    assert (await invoke(client, plain, path))[1] == {"predictions": [5.0]}
    for missing in (None, float("nan"), "NaT", ""):
        await invoke(client, {"dataframe_records": [{**RIDE, "pickup_datetime": missing}]}, path)
    header = ",".join([*RIDE, "pickup_datetime"])
    for text in ("", "NaT"):
        await invoke(client, f"{header}\n10.0,50,40,{text}".encode(), path, CSV)
    await invoke(client, {"instances": [list(RIDE.values())]}, path)
    assert len(bodies) == 8
    assert len(set(bodies)) == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b"{", "no JSON"),
        (b"[]", "should be a JSON object"),
        ({}, "exactly one of dataframe_split"),
        ({"dataframe_records": [IRIS], "inputs": [ROW]}, "exactly one of"),
        ({"rows": [IRIS]}, "exactly one of"),
        ({"inputs": [ROW], "params": {"a": 1}}, "no params"),
        ({"dataframe_split": [ROW]}, "should have columns and data"),
        ({"dataframe_split": {"columns": NAMES}}, "should have columns and data"),
        ({"dataframe_split": {"columns": 4, "data": []}}, "should be arrays"),
        ({"dataframe_split": {"columns": NAMES, "data": [5]}}, "should be an array"),
        ({"dataframe_split": {"columns": NAMES, "data": [ROW[:3]]}}, "Row 0 has 3 values, not 4"),
        ({"dataframe_split": {"columns": NAMES, "data": []}}, "There are no rows"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": []}}, "Two columns have one name"),
        ({"dataframe_split": {"columns": ["PetalWidth"], "data": [[1]]}}, "Perhaps 'PetalWidth' for"),
        ({"dataframe_records": []}, "one or more rows"),
        ({"dataframe_records": [ROW]}, "should all be objects"),
        ({"instances": [ROW, IRIS]}, "should all be objects"),
        ({"instances": [ROW, ROW[:3]]}, "Row 1 has 3 values, not 4"),
        ({"instances": [[1, 2]]}, "A row of iris has 4 values, not 2"),
        ({"instances": 5}, "one or more rows"),
        ({"inputs": {name: [1] * at for at, name in enumerate(NAMES)}}, "of different lengths"),
        ({"inputs": dict.fromkeys(NAMES, 1)}, "should be an array"),
        ({"inputs": {}}, "Missing for iris"),
        ({"instances": [{**IRIS, "PetalWidthCm": None}]}, "0/PetalWidthCm: Input should be a valid number"),
        ({"instances": [{**IRIS, "PetalWidthCm": float("nan")}]}, "finite"),
        ({"instances": [IRIS, {}]}, "4 wrong values: 1/SepalLengthCm"),
    ],
)
async def test_what_cannot_be_used_is_400(client: aiohttp.ClientSession, body: object, said: str) -> None:
    await refused(client, 400, said, body)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "empty"),
        (b"\n\n", "empty"),
        (b"\xff", "can't be read as CSV"),
        (b'a,"b', "can't be read as CSV"),
        (b"SepalLengthCm\n1,2", "Row 0 has 2 values, not 1"),
        (b"SepalLengthCm,x\n1,2", "Columns found: SepalLengthCm, x"),
        (",".join(NAMES).encode(), "There are no rows"),
        (",".join(NAMES).encode() + b"\n1,2,3,1_0", "0/PetalWidthCm: Input should be a valid number"),
        (",".join(NAMES).encode() + b"\n1,2,3,", "0/PetalWidthCm: Input should be a valid number"),
        (",".join(NAMES).encode() + b"\n1,2,3,99", "less than or equal to 30"),
    ],
)
async def test_csv_that_cannot_be_used_is_400(
    client: aiohttp.ClientSession, text: bytes, said: str
) -> None:
    await refused(client, 400, said, text, "/iris/invocations", CSV)


def test_csv_is_read_by_the_kind_of_each_feature() -> None:
    class Kinds(Features):
        """One of each."""

        flag: bool = feature(example=True, description="Yes or no.")
        colour: Literal["red", "blue"] = feature(example="red", description="One of two.")
        moment: Annotated[WallClock, Field(ge=datetime(2009, 1, 1), lt=datetime(2100, 1, 1))] = feature(
            example="2019-01-15T08:30:00", description="A time."
        )

    contract = Contract(name="kinds", features=Kinds, target=Labels(("a", "b"), "x", "a"))
    table = read_csv(b"flag,colour,moment\nTrue,blue,2019-01-15 08:30:00\n", contract)
    encoded = ColumnEncoder(contract).encode(table.columns_of(contract), table.n_rows)
    assert list(wire.unpack(encoded)) == [1.0, 1.0, 1547541000.0]


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_errors_are_mlflows_own_by_either_route(
    model_server: FakeModelServer, fast_route: str
) -> None:
    settings = settings_for(model_server, fast_route=fast_route, max_rows=2, max_body_bytes=2000)
    async with gateway(settings) as client:
        await refused(client, 413, "3 rows are too many", {"instances": [ROW] * 3})
        await refused(client, 413, "at most 2000 bytes", {"instances": [ROW] * 500})
        await refused(
            client, 415, "not text/plain", {}, "/iris/invocations", {"Content-Type": "text/plain"}
        )
        await refused(client, 404, "There are: iris, ride_duration", {}, "/rose/invocations")
        await refused(client, 404, "set SEPAL_DEFAULT_MODEL", {}, "/invocations")
        status, body, _ = await invoke(client, {"instances": [[0, 1, 1, 1]]})
        assert (status, body["error_code"]) == (400, "INVALID_PARAMETER_VALUE")

        async def fail(_: object) -> aiohttp.web.StreamResponse:
            return aiohttp.web.Response(status=500)

        model_server.respond = fail
        status, body, headers = await invoke(client, {"instances": [ROW]})
        assert (status, body["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        assert headers["Retry-After"] == "1"

        async def break_down(_: object) -> aiohttp.web.StreamResponse:
            return model_server.response(wire.pack([7, 0, 1, 0, 0]), '{"7": "\\ud800"}')

        model_server.respond = break_down
        status, body, _ = await invoke(client, {"instances": [ROW]})
        assert (status, body["error_code"]) == (500, "INTERNAL_ERROR")


@pytest.mark.parametrize("changes", [{"models": ("iris",)}, {"default_model": "iris"}])
async def test_the_bare_path_means_the_only_model_or_the_default_one(
    model_server: FakeModelServer, changes: dict[str, Any]
) -> None:
    async with gateway(settings_for(model_server, **changes)) as client:
        assert (await invoke(client, {"inputs": [ROW]}, "/invocations"))[1] == {
            "predictions": ["Iris-virginica"]
        }


def test_a_default_model_that_is_not_served_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="SEPAL_DEFAULT_MODEL='rose' is not served"):
        create_app(Settings(default_model="rose"))


async def test_ping_health_and_version(
    client: aiohttp.ClientSession, model_server: FakeModelServer
) -> None:
    async with client.get("/ping") as response:
        assert (response.status, await response.read()) == (200, b"\n")
    async with client.get("/version") as response:
        assert await response.text() == version("sepal")
    async with client.get("/health") as response:
        body = await response.json()
        assert (response.status, body["status"], body["service"]) == (200, "ok", "sepal")
        assert body["message"] == "Every model answers."
        assert datetime.fromisoformat(body["timestamp"]).tzinfo is not None
    model_server.status["iris"] = {"error": "no champion"}
    async with client.get("/ping") as response:
        body = await response.json()
        assert (response.status, body["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    async with client.get("/health") as response:
        body = await response.json()
        assert (response.status, body["status"]) == (503, "error")
        assert body["message"] == "iris is not ready: no champion"


async def test_a_client_that_hangs_up_while_it_sends_is_no_error_of_ours(
    client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken_off() -> Any:  # noqa: ANN401
        yield b'{"inputs": ['
        raise ConnectionResetError

    with pytest.raises(aiohttp.ClientError):
        await client.post(
            "/iris/invocations", data=broken_off(), headers={"Content-Type": "application/json"}
        )
    assert (await invoke(client, {"inputs": [ROW]}))[0] == 200
    assert "unexpectedly" not in caplog.text
