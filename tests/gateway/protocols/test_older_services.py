"""The older services' requests, answered as these answered them."""

import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sepal.contracts.catalogue import load_contracts
from tests.gateway.conftest import IRIS, RIDE, FakeModelServer, gateway, settings_for

BY_LONG_NAME = {
    "sepal length (cm)": 5,
    "sepal width (cm)": 2,
    "petal length (cm)": 3,
    "petal width (cm)": 4,
}
ROWS = [[5, 2, 3, 4], [1, 2, 3, 4], [3, 2, 3, 4.5]]


async def post(
    client: aiohttp.ClientSession,
    path: str,
    body: object,
    headers: dict[str, str] | None = None,
) -> tuple[int, Any, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **(headers or {})}
    async with client.post(path, data=data, headers=sent) as response:
        assert response.headers["X-Request-ID"]
        return response.status, await response.json(), response.headers


@pytest.mark.parametrize("row", [BY_LONG_NAME, IRIS])
async def test_one_iris_gets_its_code_and_its_short_name(
    client: aiohttp.ClientSession, row: dict[str, Any]
) -> None:
    status, body, headers = await post(client, "/predict", row)
    assert status == 200
    assert body.pop("processing_time_ms") > 0
    assert body == {"prediction": 2, "class_name": "virginica"}
    assert headers["X-Model-Version"] == "fake_7"


async def test_rows_without_names_get_short_names_and_probabilities(client: aiohttp.ClientSession) -> None:
    names = ["virginica", "versicolor", "setosa"]
    assert (await post(client, "/predict", {"input": ROWS}))[1] == {"prediction": names}
    assert (await post(client, "/predict-proba", {"input": ROWS}))[1] == {
        "prediction": names,
        "probabilities": [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]],
    }


async def test_a_ride_is_told_by_its_fields(client: aiohttp.ClientSession) -> None:
    status, body, _ = await post(client, "/predict", RIDE)
    assert (status, body) == (200, {"duration": 5.0, "model_version": "fake_7"})


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/predict", b"", 400, "empty"),
        ("/predict", b"{", 400, "no JSON"),
        ("/predict", [IRIS], 400, "should be a JSON object"),
        ("/predict", {"input": 5}, 400, "should be a list"),
        ("/predict", {"input": {"a": 1}}, 400, "should be a list"),
        ("/predict", {"input": []}, 422, "one or more rows"),
        ("/predict", {"input": [5]}, 422, "each a list"),
        ("/predict", {"input": [[1, 2, 3]]}, 422, "A row of iris has 4 values, not 3"),
        ("/predict", {"input": [[1, 2, 3, "4"]]}, 422, "0/PetalWidthCm: Input should be a valid number"),
        ("/predict", {}, 422, "No model takes these fields"),
        ("/predict", {"petals": 5}, 422, "There are: iris, ride_duration"),
        ("/predict", {"sepal length (cm)": 5}, 422, "3 wrong values: SepalWidthCm: Field required"),
        ("/predict", {**BY_LONG_NAME, "more": 1}, 422, "more: Extra inputs are not permitted"),
        ("/predict", {**RIDE, "PULocationID": 999}, 422, "less than or equal to 265"),
        ("/predict-proba", IRIS, 422, "The field input is missing"),
    ],
)
async def test_errors_have_their_own_form_and_are_never_200(
    client: aiohttp.ClientSession, path: str, body: object, status: int, said: str
) -> None:
    found, answer, _ = await post(client, path, body)
    assert (found, list(answer)) == (status, ["error"])
    assert said in answer["error"]


@pytest.mark.parametrize("fast_route", ["on", "off"])
async def test_bounds_and_media_types_are_those_of_every_route(
    model_server: FakeModelServer, fast_route: str
) -> None:
    settings = settings_for(model_server, fast_route=fast_route, max_rows=2)
    async with gateway(settings) as client:
        assert (await post(client, "/predict", {"input": ROWS}))[0] == 413
        assert (await post(client, "/predict", IRIS, {"Content-Type": "text/plain"}))[0] == 415
        assert (await post(client, "/predict", IRIS))[0] == 200
        async with client.get("/predict") as response:
            assert (response.status, list(await response.json())) == (405, ["error"])


async def test_they_can_be_switched_off(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server, compatibility="off")) as client:
        for path in ("/predict", "/predict-proba"):
            assert (await post(client, path, IRIS))[0] == 404
        async with client.get("/openapi.json") as response:
            assert "/predict" not in (await response.json())["paths"]
        async with client.get("/health") as response:
            assert response.status == 200


async def test_without_a_classifier_it_is_the_default_model_that_is_meant(
    model_server: FakeModelServer,
) -> None:
    async with gateway(settings_for(model_server, default_model="ride_duration")) as client:
        status, body, _ = await post(client, "/predict", {"input": [[10, 50, 40]]})
        assert (status, body) == (200, {"prediction": [5.0]})
        status, body, _ = await post(client, "/predict-proba", {"input": [[10, 50, 40]]})
        assert (status, body["error"]) == (404, "ride_duration has no probabilities. Use /predict.")


TULIP = '''
from sepal.contracts import Contract, Features, Labels, feature

class Tulip(Features):
    """A tulip."""
    SepalLengthCm: float = feature(example=1, description="Its length.")

contract = Contract(name="tulip", features=Tulip, target=Labels(("a-x", "b-y", "c-z"), "kind", "c-z"))
'''


async def test_of_several_models_that_fit_the_default_one_is_meant(
    model_server: FakeModelServer, tmp_path: Path
) -> None:
    (tmp_path / "tulip.py").write_text(TULIP)
    model_server.contracts = load_contracts([tmp_path])
    settings = settings_for(model_server, contracts_path=(tmp_path,))
    async with gateway(settings) as client:
        assert (await post(client, "/predict", IRIS))[1]["class_name"] == "virginica"  # most of its fields
        for body in ({"SepalLengthCm": 5}, {"input": [[5]]}):
            status, answer, _ = await post(client, "/predict", body)
            assert (status, "Set SEPAL_DEFAULT_MODEL" in answer["error"]) == (404, True)
    settings = settings_for(model_server, contracts_path=(tmp_path,), default_model="tulip")
    async with gateway(settings) as client:
        assert (await post(client, "/predict", {"SepalLengthCm": 5}))[1]["class_name"] == "c-z"
        assert (await post(client, "/predict", {"input": [[5]]}))[1] == {"prediction": ["c-z"]}
