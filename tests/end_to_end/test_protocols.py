"""Every protocol with both tiers running: the clients that the field has, and one answer for all."""

import json
import os
import random
import re
import struct
import subprocess
import sys
import textwrap
import urllib.request
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sepal.client import Client
from sepal.contracts.catalogue import load_contracts
from sepal.registry import Registry
from sepal.scoring.scorer import load_version
from tests.end_to_end.conftest import IRIS, Served

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent / "clients"
PROTOCOL = Path(__file__).parent / "open_inference" / "open_inference_rest.yaml"
CONTRACTS = load_contracts()
NAMES = list(IRIS)

Told = list[tuple[str | float, str]]
"""For each row the prediction and the version that gave it."""


def iris_rows(count: int = 1000) -> list[list[float]]:
    draw = random.Random(3)  # noqa: S311
    return [[draw.uniform(0.1, 9) for _ in NAMES] for _ in range(count)]


def ride_rows(count: int = 1000) -> list[dict[str, Any]]:
    draw = random.Random(4)  # noqa: S311
    times = ["2019-01-15T08:30:00", "2020-07-04T23:59:59.500000", None]
    return [
        {
            "PULocationID": draw.randint(1, 265),
            "DOLocationID": draw.randint(1, 265),
            "trip_distance": draw.uniform(0, 50),
            "pickup_datetime": draw.choice(times),
        }
        for _ in range(count)
    ]


def run(client: str, *arguments: str, python: str = sys.executable) -> Any:  # noqa: ANN401
    done = subprocess.run(
        [python, str(CLIENTS / client), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def post(served: Served, path: str, body: bytes, **headers: str) -> tuple[Any, Any]:
    sent = {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(served.url + path, body, sent)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return response.read(), response.headers


def native(served: Served, model: str, rows: list[dict[str, Any]]) -> Told:
    return [(one["output"], one["model_name"]) for one in served.post(f"/{model}/predict", rows)]


def check_iris(found: dict[str, Any], expected: Told, name: str) -> None:
    """What a client of the Open Inference Protocol got for rows, against the native route."""
    labels, probabilities, version = found[name]
    assert [(label, version) for label in labels] == expected
    order = CONTRACTS["iris"].target.describe()["labels"]
    assert [order[row.index(max(row))] for row in probabilities] == labels
    assert all(sum(row) == pytest.approx(1) for row in probabilities)


def test_tritonclient_with_its_defaults(served: Served, tmp_path: Path) -> None:
    rows = iris_rows()
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    found = run("triton.py", served.url.removeprefix("http://"), str(tmp_path / "rows.json"))
    expected = native(served, "iris", [dict(zip(NAMES, row, strict=True)) for row in rows])

    assert (found["live"], found["ready"], found["model ready"], found["version ready"]) == (True,) * 4
    assert found["other version ready"] is False
    assert found["server"]["name"] == "sepal"
    assert [one["name"] for one in found["model"]["inputs"]] == NAMES
    assert {"name": "iris", "version": "log_reg_1", "state": "READY", "reason": ""} in found["index"]
    assert found["id"] == "42"
    check_iris(found, expected[:1], "one")
    for way in ("many", "many in json", "many, a tensor a feature", "many, by version"):
        check_iris(found, expected, way)
        assert found[way] == found["many"]
    singles = [list(map(float, array("f", row))) for row in rows]
    in_singles = native(served, "iris", [dict(zip(NAMES, row, strict=True)) for row in singles])
    check_iris(found, in_singles, "fp32")
    assert found["selected"] == [[1000, 3], True]
    assert found["wrong shape"][0] == "400"
    assert "[1000, 3] should be [rows, 4]" in found["wrong shape"][1]
    assert found["wrong value"][0] == "400"
    assert "0/SepalLengthCm: Input should be greater than 0" in found["wrong value"][1]
    assert found["other version"][0] == "404"
    assert "log_reg_1 does" in found["other version"][1]
    assert found["other model"] == [
        "404",
        "There is no model 'rose'. There are: iris, ride_duration.",
    ]
    for refused in ("load", "unload"):
        assert found[refused][0] == "403"
        assert "sepal models promote" in found[refused][1]


@pytest.mark.parametrize("model", ["iris", "ride_duration"])
def test_mlflows_client_gets_what_the_version_gives_in_process(
    served: Served, tmp_path: Path, model: str
) -> None:
    contract = CONTRACTS[model]
    rows = (
        ride_rows() if model == "ride_duration" else [dict(zip(NAMES, r, strict=True)) for r in iris_rows()]
    )
    (tmp_path / "frame.json").write_text(json.dumps(rows))
    host, _, port = served.url.removeprefix("http://").partition(":")
    found = run("mlflow_scoring.py", host, port, f"/{model}", str(tmp_path / "frame.json"))

    with Registry.open(served.place.settings) as registry:
        loaded = load_version(registry.champion(model), contract, registry.artefacts)
    encoded = contract.encode([contract.features.model_validate(row) for row in rows])
    numbers = array("d", encoded)
    answers = loaded.score(np.array(numbers).reshape(len(rows), -1))[:, 1].tolist()
    names = getattr(contract.target, "names", None)
    assert found == ([names[int(code)] for code in answers] if names else pytest.approx(answers, rel=1e-13))
    assert found == [output for output, _ in native(served, model, rows)]


def over_v2(served: Served, model: str, rows: list[dict[str, Any]], binary: bool) -> Told:
    datatypes = {"number": "FP64", "integer": "INT64", "time": "BYTES"}
    inputs, chunks = [], []
    for column in CONTRACTS[model].columns:
        values = [row.get(column.name) for row in rows]
        tensor: dict[str, Any] = {
            "name": column.name,
            "shape": [len(rows)],
            "datatype": datatypes[column.kind],
        }
        texts = ["" if value is None else str(value) for value in values]
        if binary:
            raw = (
                b"".join(struct.pack("<I", len(text)) + text.encode() for text in texts)
                if column.kind == "time"
                else array("d" if column.kind == "number" else "q", values).tobytes()  # type: ignore[arg-type]
            )
            tensor["parameters"] = {"binary_data_size": len(raw)}
            chunks.append(raw)
        else:
            tensor["data"] = texts if column.kind == "time" else values
        inputs.append(tensor)
    text = json.dumps({"inputs": inputs}).encode()
    length = {"Inference_Header_Content_Length": str(len(text))} if binary else {}
    content, _ = post(served, f"/v2/models/{model}/infer", text + b"".join(chunks), **length)
    outputs = {one["name"]: one["data"] for one in json.loads(content)["outputs"]}
    return list(zip(outputs["output"], outputs["model_version"], strict=True))


def over_mlflow(served: Served, model: str, body: bytes, media_type: str = "application/json") -> Told:
    content, headers = post(served, f"/{model}/invocations", body, Content_Type=media_type)
    return [(one, headers["X-Model-Version"]) for one in json.loads(content)["predictions"]]


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    lines = [",".join(rows[0])]
    lines += [",".join("" if v is None else str(v) for v in row.values()) for row in rows]
    return "\n".join(lines).encode()


def ways(served: Served, model: str, rows: list[dict[str, Any]]) -> dict[str, Callable[[], Told]]:
    """Every protocol's way to have rows of a model scored."""
    names = list(rows[0])
    values = [list(row.values()) for row in rows]

    def mlflow(**body: Any) -> Callable[[], Told]:  # noqa: ANN401
        return lambda: over_mlflow(served, model, json.dumps(body).encode())

    return {
        "Open Inference, JSON": lambda: over_v2(served, model, rows, binary=False),
        "Open Inference, binary": lambda: over_v2(served, model, rows, binary=True),
        "dataframe_split": mlflow(dataframe_split={"columns": names, "data": values}),
        "dataframe_records": mlflow(dataframe_records=rows),
        "instances, objects": mlflow(instances=rows),
        "instances, arrays": mlflow(instances=values),
        "inputs, columns": mlflow(inputs={name: [row[name] for row in rows] for name in names}),
        "inputs, rows": mlflow(inputs=rows),
        "CSV": lambda: over_mlflow(served, model, as_csv(rows), "text/csv"),
    }


def test_a_thousand_random_rows_get_one_answer_by_every_protocol(served: Served) -> None:
    samples = {
        "iris": [dict(zip(NAMES, row, strict=True)) for row in iris_rows()],
        "ride_duration": ride_rows(),
    }
    for model, rows in samples.items():
        expected = native(served, model, rows)
        for way, ask in ways(served, model, rows).items():
            assert ask() == expected, (model, way)
        with Client(served.url) as client:
            answers = client.predict(model, rows)
        assert [(answer.output, answer.model_name) for answer in answers] == expected

    iris = native(served, "iris", samples["iris"])
    short = [(str(label).removeprefix("Iris-"), version) for label, version in iris]
    for path in ("/predict", "/predict-proba"):
        content, headers = post(served, path, json.dumps({"input": iris_rows()}).encode())
        found = json.loads(content)["prediction"]
        assert [(one, headers["X-Model-Version"]) for one in found] == short
    for row, (_, version), (label, _) in zip(samples["iris"][:50], iris, short, strict=False):
        older = {CONTRACTS["iris"].columns[at].aliases[0]: value for at, value in enumerate(row.values())}
        content, headers = post(served, "/predict", json.dumps(older).encode())
        assert (json.loads(content)["class_name"], headers["X-Model-Version"]) == (label, version)
    rides = native(served, "ride_duration", samples["ride_duration"][:50])
    for row, (duration, version) in zip(samples["ride_duration"][:50], rides, strict=True):
        content, _ = post(served, "/predict", json.dumps(row).encode())
        assert json.loads(content) == {"duration": duration, "model_version": version}


def shown(page: str) -> list[tuple[str, str | None]]:
    """The curl lines of a page, each with the answer that the page shows, if it does."""
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    parts = [part for block in blocks for part in re.split(r"\n\n", textwrap.dedent(block).strip())]
    return [
        (part, following if following.startswith("{") else None)
        for part, following in zip(parts, [*parts[1:], ""], strict=True)
        if part.startswith("curl")
    ]


@pytest.mark.parametrize(
    ("page", "count", "answered"), [("protocols.md", 3, 2), ("compatibility.md", 5, 3)]
)
def test_the_curl_lines_of_the_documentation_answer_as_it_says(
    served: Served, page: str, count: int, answered: int
) -> None:
    calls = shown(page)
    assert (len(calls), sum(said is not None for _, said in calls)) == (count, answered)
    for call, said in calls:
        command = call.replace("http://127.0.0.1:8000", served.url).replace("curl -s", "curl -sf")
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        if said is not None:
            expected = json.loads(said)
            if "processing_time_ms" in expected:
                assert found.pop("processing_time_ms") < 5000
                del expected["processing_time_ms"]
            assert found == {
                key: pytest.approx(value) if isinstance(value, float) else value
                for key, value in expected.items()
            }


SCHEMATHESIS = """
[checks]
positive_data_acceptance.expected-statuses = ["2xx", 400]  # it says nothing of which tensors a model takes
negative_data_rejection.expected-statuses = [400, 404, 405, 413, 415]
"""


def test_the_protocols_own_openapi_document_by_schemathesis(served: Served, tmp_path: Path) -> None:
    document = yaml.safe_load(PROTOCOL.read_text())
    document["paths"] = {
        path.replace("${", "{"): as_it_is_meant(operations)
        for path, operations in document["paths"].items()
    }
    (tmp_path / "document.json").write_text(json.dumps(document))
    (tmp_path / "schemathesis.toml").write_text(SCHEMATHESIS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"),
            *("document.json", "--url", served.url, "--max-examples", "40", "--seed", "1"),
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def as_it_is_meant(operations: dict[str, Any]) -> dict[str, Any]:
    """The operations of a path, with what the document leaves open or out.

    It writes `${MODEL_NAME}` in paths, and the dollar is not meant to be a part of them. It
    says nothing of which models and versions there are. And it forgets that another one is
    an error: the protocol's text asks for "an HTTP error status (typically 400)", and 404
    is what every server of it answers.
    """
    values = {"MODEL_NAME": "iris", "MODEL_VERSION": "log_reg_1"}
    for parameter in operations.get("parameters", []):
        parameter["schema"]["enum"] = [values[parameter["name"]]]
        for method in operations.keys() & {"get", "post"}:
            schema = {"$ref": "#/components/schemas/inference_error_response"}
            operations[method]["responses"]["404"] = {
                "description": "No such model or version",
                "content": {"application/json": {"schema": schema}},
            }
    return operations
