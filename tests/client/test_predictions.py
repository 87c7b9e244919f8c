"""Rows of every form through the real gateway: sync and async give the same."""

import asyncio
import inspect
import subprocess
import sys
from datetime import datetime
from types import ModuleType

import numpy as np
import pandas as pd
import polars as pl
import pytest
from aiohttp import web

from sepal.client import AsyncClient, Client, Prediction
from sepal.contracts import wire
from sepal.contracts.iris import Iris
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import RideDuration
from sepal.contracts.ride_duration import contract as ride_duration
from sepal.errors import DataError, ModelNotServedError, RequestRefusedError, ServiceAwayError, ServiceError
from tests.client.conftest import Either, good, scripted
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer

NAMES = ("Iris-setosa", "Iris-versicolor", "Iris-virginica")


def flowers(count: int) -> list[dict[str, float]]:
    """Rows whose label the fake model tells from their first value: 1, 2, 0, 1, …."""
    return [{**IRIS, "SepalLengthCm": 1 + at % 29} for at in range(count)]


def expected(rows: list[dict[str, float]]) -> list[str]:
    return [NAMES[int(row["SepalLengthCm"]) % 3] for row in rows]


async def test_one_row_gets_one_answer(client: Either) -> None:
    answer = await client.predict("iris", IRIS)
    assert answer == Prediction(output="Iris-virginica", model_name="fake_7")


async def test_rows_get_answers_in_their_order(client: Either) -> None:
    rows = flowers(50)
    answers = await client.predict("iris", rows)
    assert [answer.output for answer in answers] == expected(rows)


async def test_a_generator_of_rows_will_do(client: Either) -> None:
    answers = await client.predict("iris", (row for row in flowers(3)))
    assert len(answers) == 3


async def test_no_rows_get_no_answers_and_send_no_request(
    client: Either, model_server: FakeModelServer
) -> None:
    assert await client.predict("iris", []) == []
    assert model_server.calls == 0


async def test_probabilities_are_given_if_asked_for(client: Either) -> None:
    answer = await client.predict("iris", IRIS, probabilities=True)
    assert answer.probabilities == {"Iris-setosa": 0, "Iris-versicolor": 0, "Iris-virginica": 1}


async def test_instances_of_a_contracts_features_are_rows(client: Either) -> None:
    assert (await client.predict("iris", Iris.model_validate(IRIS))).output == "Iris-virginica"
    ride = RideDuration(**RIDE, pickup_datetime=datetime(2019, 1, 15, 8, 30))
    assert [a.output for a in await client.predict(ride_duration, [ride, ride])] == [5, 5]


async def test_times_and_numbers_of_numpy_are_values(client: Either) -> None:
    row = {**RIDE, "PULocationID": np.int64(12), "pickup_datetime": datetime(2019, 1, 15, 8, 30)}
    assert (await client.predict("ride_duration", row)).output == 6


async def test_with_a_contract_an_answer_that_is_none_of_its_labels_is_an_error(make: type[Either]) -> None:
    async def odd(_: web.Request) -> web.StreamResponse:
        return web.json_response({"output": "tulip", "model_name": "m_1"})

    async with scripted(odd) as service:
        client = make(service.url)
        assert (await client.predict("iris", IRIS)).output == "tulip"
        with pytest.raises(ServiceError, match=r"answer can't be read: output: .*Iris-setosa"):
            await client.predict(iris, IRIS)


async def test_many_rows_are_split_and_joined_in_order(
    make: type[Either], url: str, model_server: FakeModelServer
) -> None:
    rows = flowers(1_003)
    answers = await make(url, batch_rows=50, concurrency=3).predict("iris", rows)
    assert [answer.output for answer in answers] == expected(rows)


async def test_no_more_parts_are_under_way_than_allowed(make: type[Either]) -> None:
    under_way, most = 0, 0

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        rows = await request.json()
        under_way -= 1
        return web.json_response([{"output": 1, "model_name": "m_1"}] * len(rows))

    async with scripted(count) as service:
        assert len(await make(service.url, batch_rows=2, concurrency=3).predict("x", [{}] * 101)) == 101
        assert len(service.requests) == 51
    assert 1 <= most <= 3


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
async def test_a_frame_gets_a_frame(client: Either, library: ModuleType) -> None:
    rows = flowers(20)
    frame = library.DataFrame(rows)
    answers = await client.predict("iris", frame, probabilities=True)
    assert type(answers) is type(frame)
    assert list(answers["prediction"]) == expected(rows)
    assert list(answers.columns) == [
        *("prediction", "model_version"),
        *(f"probability_{name}" for name in NAMES),
    ]


async def test_a_pandas_frame_keeps_its_index(client: Either) -> None:
    frame = pd.DataFrame(flowers(3), index=["x", "y", "x"])
    answers = await client.predict("iris", frame)
    assert list(answers.index) == ["x", "y", "x"]


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
async def test_an_empty_frame_gets_an_empty_frame(client: Either, library: ModuleType) -> None:
    answers = await client.predict("iris", library.DataFrame({"SepalLengthCm": []}))
    assert len(answers) == 0
    assert list(answers.columns) == ["prediction", "model_version"]


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
async def test_a_missing_optional_value_of_a_frame_may_be_nan(client: Either, library: ModuleType) -> None:
    rows = {"PULocationID": [10, 20], "DOLocationID": [1, 2], "trip_distance": [1.5, 2.5]}
    times = [datetime(2019, 1, 15, 8, 30), None]
    answers = await client.predict("ride_duration", library.DataFrame({**rows, "pickup_datetime": times}))
    assert list(answers["prediction"]) == [5, 10]


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
async def test_a_nan_in_a_required_column_is_refused_with_its_place(
    client: Either, library: ModuleType
) -> None:
    frame = library.DataFrame(
        {**{k: [float(v)] * 2 for k, v in IRIS.items()}, "PetalWidthCm": [1.0, float("nan")]}
    )
    with pytest.raises(RequestRefusedError, match="1/PetalWidthCm: Input should be a valid number"):
        await client.predict("iris", frame)


@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
async def test_with_a_contract_a_frames_columns_are_chosen_by_it(
    client: Either, library: ModuleType
) -> None:
    renamed = {"Id": [1], "sepal length (cm)": [5], **{k: [v] for k, v in list(IRIS.items())[1:]}}
    frame = library.DataFrame(renamed)
    with pytest.raises(RequestRefusedError, match="0/Id: Extra inputs are not permitted"):
        await client.predict("iris", frame)
    assert list((await client.predict(iris, frame))["prediction"]) == ["Iris-virginica"]
    with pytest.raises(DataError, match=r"Missing for iris: SepalLengthCm"):
        await client.predict(iris, library.DataFrame({"Id": [1]}))


async def test_every_digit_of_a_number_arrives(
    make: type[Either], model_server: FakeModelServer, url: str
) -> None:
    seen: list[float] = []

    async def keep(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        seen.extend(wire.unpack(body))
        return model_server.answer("iris", body)

    model_server.respond = keep
    digits = [0.1 + 0.2, 5e-324, 1 / 3, 29.999999999999996]
    for frame in (pd.DataFrame, pl.DataFrame, list):
        seen.clear()
        await make(url).predict("iris", frame([dict(zip(IRIS, digits, strict=True))]))
        assert seen == digits


async def test_what_is_no_row_is_told_by_its_place(client: Either) -> None:
    with pytest.raises(DataError, match=r"Row 1 is \[5, 2\]: a row is a dictionary"):
        await client.predict("iris", [IRIS, [5, 2]])
    with pytest.raises(DataError, match=r"rows from 0 to 0 can't be JSON: .*object.* has no place in JSON"):
        await client.predict("iris", {"SepalLengthCm": object()})


async def test_wrong_values_are_told_by_the_rows_places_among_all_rows(
    make: type[Either], url: str
) -> None:
    rows = flowers(100)
    rows[73]["PetalWidthCm"] = -1
    with pytest.raises(
        RequestRefusedError, match=r"422 Wrong values: 73/PetalWidthCm: .*\(request "
    ) as told:
        await make(url, batch_rows=10).predict("iris", rows)
    assert told.value.problem is not None
    assert told.value.problem["errors"][0]["pointer"] == "#/73/PetalWidthCm"
    assert told.value.request_id


async def test_a_model_that_is_not_there_is_told_with_those_that_are(client: Either) -> None:
    with pytest.raises(
        ModelNotServedError, match=r"no model 'tulip'\. There are: iris, ride_duration"
    ) as told:
        await client.predict("tulip", IRIS)
    assert told.value.exit_code == 4


async def test_a_models_name_can_lead_to_no_other_path(make: type[Either]) -> None:
    async with scripted(good) as service:
        await make(service.url).predict("../a?b", IRIS)
        assert service.requests[0][0].raw_path == "/..%2Fa%3Fb/predict"


async def test_the_service_behind_a_prefix_is_reached(make: type[Either]) -> None:
    async with scripted(good) as service:
        await make(f"{service.url}/sepal/").predict("iris", IRIS)
        assert service.requests[0][0].path == "/sepal/iris/predict"


async def test_the_models_are_described(client: Either) -> None:
    models = {model.name: model for model in await client.ask("models")}
    assert set(models) == {"iris", "ride_duration"}
    assert models["iris"].readiness.version == "fake_7"
    assert [f.name for f in models["iris"].features] == list(IRIS)


async def test_both_clients_are_context_managers(url: str) -> None:
    async with AsyncClient(url) as client:
        assert (await client.predict("iris", IRIS)).output == "Iris-virginica"

    def sync() -> Prediction:
        with Client(url) as client:
            return client.predict("iris", IRIS)

    assert (await asyncio.to_thread(sync)).output == "Iris-virginica"


async def test_a_service_that_is_away_is_told_in_words(make: type[Either], unused_tcp_port: int) -> None:
    with pytest.raises(ServiceAwayError, match=r"can't be reached: .*\. So it was 4 times"):
        await make(f"http://127.0.0.1:{unused_tcp_port}").predict("iris", IRIS)


def test_the_client_imports_no_numpy_no_frames_and_no_model() -> None:
    code = (
        "import sys, sepal.client; print([m for m in "
        "('numpy', 'pandas', 'polars', 'sklearn', 'fastapi', 'sepal.settings') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_both_clients_can_do_the_same() -> None:
    def interface(client: type) -> dict[str, inspect.Signature]:
        methods = inspect.getmembers(client, inspect.isfunction)
        return {
            name.removeprefix("a") if name.endswith("close") else name: inspect.signature(method)
            for name, method in methods
            if not name.startswith("_") or name == "__init__"
        }

    assert interface(Client) == interface(AsyncClient)
    assert set(interface(Client)) == {"__init__", "close", "models", "predict"}
