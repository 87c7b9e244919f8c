"""What /docs and the OpenAPI document show."""

import re
from pathlib import Path

import pytest

from sepal.errors import ConfigurationError
from sepal.gateway.app import create_app
from sepal.settings import Settings
from tests.gateway.conftest import FakeModelServer, call, gateway, settings_for

DOCUMENT = create_app(Settings()).openapi()


def test_every_model_has_its_routes() -> None:
    predictions = {path for path in DOCUMENT["paths"] if "/predict" in path}
    own = {"/iris/predict", "/iris/predict-proba", "/ride_duration/predict"}
    assert predictions == own | {"/predict", "/predict-proba"}
    for name in ("iris", "ride_duration"):
        for path in (f"/v2/models/{name}", f"/v2/models/{name}/infer", f"/{name}/invocations"):
            assert path in DOCUMENT["paths"]


def test_what_older_services_had_is_marked_as_such() -> None:
    for path in ("/predict", "/predict-proba"):
        assert DOCUMENT["paths"][path]["post"]["tags"] == ["Compatibility with older services"]


def test_the_rows_are_shown_with_bounds_and_real_examples() -> None:
    body = DOCUMENT["paths"]["/iris/predict"]["post"]["requestBody"]["content"]["application/json"]
    assert body["examples"]["one row"]["value"] == {
        "SepalLengthCm": 5,
        "SepalWidthCm": 2,
        "PetalLengthCm": 3,
        "PetalWidthCm": 4,
    }
    width = DOCUMENT["components"]["schemas"]["Iris"]["properties"]["PetalWidthCm"]
    assert (width["exclusiveMinimum"], width["maximum"]) == (0, 30)


def test_every_error_is_shown_as_a_problem_document() -> None:
    responses = DOCUMENT["paths"]["/iris/predict"]["post"]["responses"]
    assert set(responses) == {"200", "400", "413", "415", "422", "503", "504"}
    for status in set(responses) - {"200"}:
        schema = responses[status]["content"]["application/problem+json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Problem"}
    assert "HTTPValidationError" not in DOCUMENT["components"]["schemas"]


def test_every_schema_has_a_name_of_its_own_since_generated_clients_make_a_class_of_each() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    titles = [schema.get("title", name) for name, schema in schemas.items()]
    assert len(set(titles)) == len(titles)
    assert not [name for name in schemas if "__" in name]  # so FastAPI tells two of one name apart


CONTRACT = """
from sepal.contracts import Contract, Features, Quantity, feature

class {name}(Features):
    size: float = feature(example=0.5, description="Its size.")

contract = Contract(name="odd", features={name}, target=Quantity(column="y", unit="m", example=1.0))
"""


@pytest.mark.parametrize("name", ["Problem", "WrongValue"])
def test_a_contract_can_not_take_the_place_of_an_errors_schema(tmp_path: Path, name: str) -> None:
    (tmp_path / "odd.py").write_text(CONTRACT.format(name=name), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=rf"The class {name} of .*odd\.py is named"):
        create_app(Settings(contracts_path=(tmp_path,)))


async def test_the_documentation_page_loads_nothing_from_elsewhere(model_server: FakeModelServer) -> None:
    async with gateway(settings_for(model_server)) as client:
        async with client.get("/docs") as response:
            page = await response.text()
        assert "http" not in page
        for address in re.findall(r'(?:href|src)="([^"]+)"', page):
            async with client.get(f"/{address}") as asset:
                assert asset.status == 200
        assert (await call(client, "GET", "/openapi.json"))[1] == DOCUMENT
