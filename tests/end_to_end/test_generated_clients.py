"""Clients that are generated from the OpenAPI document: made, compiled, and called.

The generators come from PyPI and npm, into a folder of the test's own; without them
these tests say so and are skipped.
"""

import json
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Served

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(600)]

PYTHON_CALL = """
import sys
from sepal_client import Client
from sepal_client.api.iris import iris_predict, iris_predict_proba
from sepal_client.api.ride_duration import ride_duration_predict
from sepal_client.models import Iris, IrisPrediction, Problem, RideDuration

iris = Iris(sepal_length_cm=5, sepal_width_cm=2, petal_length_cm=3, petal_width_cm=4)
with Client(base_url=sys.argv[1]) as client:
    one = iris_predict.sync(client=client, body=iris)
    assert isinstance(one, IrisPrediction) and one.model_name == "log_reg_1", one
    many = iris_predict_proba.sync(client=client, body=[iris, iris])
    assert abs(sum(many[1].probabilities.additional_properties.values()) - 1) < 1e-9, many
    ride = RideDuration(pu_location_id=10, do_location_id=50, trip_distance=40.0)
    assert ride_duration_predict.sync(client=client, body=ride).output > 0
    iris.petal_width_cm = -1
    wrong = iris_predict.sync(client=client, body=iris)
    assert isinstance(wrong, Problem) and wrong.errors[0].pointer == "#/PetalWidthCm", wrong
    print(one.output)
"""

TYPESCRIPT_CALL = """
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Label = components["schemas"]["IrisPrediction"]["output"];
const row = { SepalLengthCm: 5, SepalWidthCm: 2, PetalLengthCm: 3, PetalWidthCm: 4 };

async function main(): Promise<void> {
  const client = createClient<paths>({ baseUrl: process.argv[2] });
  const one = await client.POST("/iris/predict", { body: row });
  if (!one.data || Array.isArray(one.data)) throw new Error(JSON.stringify(one.error));
  const label: Label = one.data.output;
  const many = await client.POST("/iris/predict-proba", { body: [row, row] });
  if (!Array.isArray(many.data) || many.data.length !== 2) throw new Error("not two answers");
  const wrong = await client.POST("/iris/predict", { body: { ...row, PetalWidthCm: -1 } });
  if (wrong.error?.errors?.[0]?.pointer !== "#/PetalWidthCm") throw new Error("no pointer");
  // @ts-expect-error: a label that the contract does not have does not compile
  const tulip: Label = "tulip";
  // @ts-expect-error: nor does a row without a required value
  await client.POST("/ride_duration/predict", { body: { PULocationID: 1 } });
  console.log(label);
}

main();
"""

COMPILER = {
    "compilerOptions": {
        **{"strict": True, "target": "es2022", "module": "nodenext", "moduleResolution": "nodenext"},
        **{"lib": ["es2022", "dom"], "types": ["node"], "outDir": "out"},
    },
    "files": ["call.ts"],
}


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-4000:]
    return ended.stdout


def install(*command: str | Path, cwd: Path) -> None:
    ended = subprocess.run(
        list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    if ended.returncode != 0:
        pytest.skip(f"The generator can't be installed here: {ended.stderr[-300:]}")


@pytest.fixture
def document(served: Served, tmp_path: Path) -> Path:
    status, found = served.call("/openapi.json")
    assert status == 200
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(found))
    return file


def test_a_python_client_made_by_openapi_python_client(
    served: Served, document: Path, tmp_path: Path
) -> None:
    venv.create(tmp_path / "venv", with_pip=True)
    binaries = tmp_path / "venv" / "bin"
    install(binaries / "pip", "install", "--quiet", "openapi-python-client>=0.29,<0.30", cwd=tmp_path)
    # Bodies that are files it knows by one media type alone.
    files = ("text/csv", "application/x-ndjson", "application/vnd.apache.parquet")
    overrides = dict.fromkeys(files, "application/octet-stream")
    config = {"content_type_overrides": overrides, "post_hooks": []}
    (tmp_path / "config.json").write_text(json.dumps(config))  # which is YAML too
    said = run(
        *(binaries / "openapi-python-client", "generate", "--path", document),
        *("--output-path", "made", "--config", "config.json", "--fail-on-warning"),
        cwd=tmp_path,
    )
    assert "WARNING" not in said
    (tmp_path / "made" / "call.py").write_text(PYTHON_CALL)
    told = run(binaries / "python", "-W", "error", "call.py", served.url, cwd=tmp_path / "made")
    assert told == "Iris-virginica\n"


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_typescript_client_made_by_openapi_typescript(
    served: Served, document: Path, tmp_path: Path
) -> None:
    packages = ("openapi-typescript@7", "openapi-fetch@0.17", "typescript@5", "@types/node@20")
    (tmp_path / "package.json").write_text('{"private": true, "type": "module"}')
    install("npm", "install", "--silent", "--no-audit", "--no-fund", *packages, cwd=tmp_path)
    tools = tmp_path / "node_modules" / ".bin"
    run(tools / "openapi-typescript", document, "--output", "schema.d.ts", cwd=tmp_path)
    (tmp_path / "call.ts").write_text(TYPESCRIPT_CALL)
    (tmp_path / "tsconfig.json").write_text(json.dumps(COMPILER))
    run(tools / "tsc", "--project", "tsconfig.json", cwd=tmp_path)
    assert run("node", "out/call.js", served.url, cwd=tmp_path) == "Iris-virginica\n"
