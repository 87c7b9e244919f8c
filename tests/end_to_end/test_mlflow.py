"""MLflow: its models served by both tiers and scored in bulk, and trainings logged to its server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from sepal.registry import Registry
from tests.end_to_end.conftest import Place, place_in, serving
from tests.mlflow_server import LOG_RIDES, mlflow_server, needs_mlflow, run_script

pytestmark = [pytest.mark.end_to_end, needs_mlflow]

DATA = Path(__file__).parents[2] / "data"
PAIR = ("--column", "PU_DO={PULocationID}_{DOLocationID}")


@dataclass
class Logged:
    """What a script that knows nothing of Sepal has left at an MLflow server, and in a folder."""

    server: str
    folder: Path
    run: str
    rows: list[dict[str, Any]]
    answers: list[float]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow")) as url:
        yield url


@pytest.fixture(scope="module")
def logged(server: str, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    folder = tmp_path_factory.mktemp("saved") / "rides"
    said = run_script(LOG_RIDES, DATA / "synthetic_rides.csv", folder, MLFLOW_TRACKING_URI=server)
    return Logged(server, folder, **json.loads(said.splitlines()[-1]))


def at(place: Place, server: str) -> Place:
    """The same place, with an MLflow server named."""
    return Place(place.data_dir, {**place.environment, "MLFLOW_TRACKING_URI": server})


def test_a_model_of_mlflow_answers_over_http_and_in_bulk_as_it_does_by_itself(
    logged: Logged, tmp_path: Path
) -> None:
    place = at(place_in(tmp_path / "data"), logged.server)
    told = place.sepal(
        "models", "import-mlflow", "ride_duration", "models:/rides@champion", "--why", "it is theirs", *PAIR
    )
    assert "a pickle, which runs what its maker put into it" in told.stdout
    with Registry.open(place.settings) as registry:
        [version] = registry.versions("ride_duration")
        assert registry.trail()[0].why == "imported from MLflow models:/rides@champion: it is theirs"
    origin = version.details["mlflow"]
    assert (origin["name"], origin["version"], origin["run_id"]) == ("rides", "1", logged.run)
    assert origin["metrics"] == {"rmse": 4.2}
    assert version.data_source == "MLflow models:/rides@champion"
    if not version.aliases:
        place.sepal("models", "promote", "ride_duration", version.name, "--why", "we looked")

    with serving(place, "ride_duration") as served:
        answers = served.post("/ride_duration/predict", logged.rows)
    assert {answer["model_name"] for answer in answers} == {"random_forest_regressor_1"}
    assert np.allclose([answer["output"] for answer in answers], logged.answers, rtol=1e-12, atol=0)

    rides, scored = tmp_path / "rides.csv", tmp_path / "scored.csv"
    pl.DataFrame(logged.rows).write_csv(rides)
    place.sepal("score", "ride_duration", str(rides), str(scored))
    assert np.allclose(pl.read_csv(scored)["prediction"].to_numpy(), logged.answers, rtol=1e-12, atol=0)


@pytest.mark.parametrize("source", ["runs:/{run}/rides", "models:/rides/1"])
def test_a_model_is_imported_by_its_run_and_by_its_number(
    logged: Logged, tmp_path: Path, source: str
) -> None:
    place = at(place_in(tmp_path / "data"), logged.server)
    place.sepal(
        *("models", "import-mlflow", "ride_duration", source.format(run=logged.run), "--why", "so", *PAIR)
    )
    with Registry.open(place.settings) as registry:
        [version] = registry.versions("ride_duration")
    assert version.details["mlflow"]["run_id"] == logged.run


def test_a_bare_folder_is_imported_with_no_server(logged: Logged, tmp_path: Path) -> None:
    place = place_in(tmp_path / "data")
    place.sepal("models", "import-mlflow", "ride_duration", str(logged.folder), "--why", "so", *PAIR)
    with Registry.open(place.settings) as registry:
        [version] = registry.versions("ride_duration")
    assert version.details["mlflow"]["takes"] == "records"
    refused = place.sepal(
        "models", "import-mlflow", "ride_duration", "models:/rides/1", "--why", "so", check=False
    )
    assert refused.returncode == 3
    assert "Set MLFLOW_TRACKING_URI" in refused.stderr


def test_a_training_is_logged_and_comes_back_as_it_was(server: str, tmp_path: Path) -> None:
    place = at(place_in(tmp_path / "data"), server)
    told = place.sepal("train", "iris").stdout
    [line] = [line for line in told.splitlines() if line.startswith("Logged iris:log_reg_1 to MLflow")]
    run = line.rpartition(" ")[2].rstrip(".")
    seen = json.loads(run_script(LOOK, run, MLFLOW_TRACKING_URI=server))
    assert seen["tags"]["sepal.tag"] == "iris:log_reg_1"
    assert seen["params"]["algorithm"] == "log_reg"
    assert seen["metrics"]["test_accuracy"] > 0.9
    assert "test_accuracy" not in seen["report"]
    assert "log_loss" in seen["report"]
    assert "<html" in seen["html"]
    assert seen["inputs"] == ["SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm"]
    assert seen["answer"] == ["Iris-virginica"]

    place.sepal("models", "import-mlflow", "iris", f"runs:/{run}/iris", "--why", "back again")
    with Registry.open(place.settings) as registry:
        first, second = registry.versions("iris")
        rows = np.random.default_rng(0).uniform(0.1, 30, (100, 4))
        ours, back = (registry.artefacts.load(version).predict_proba(rows) for version in (first, second))
    assert (ours == back).all()
    assert second.details["mlflow"]["takes"] == "matrix"


LOOK = """
import json, sys, mlflow
run = sys.argv[1]
data = mlflow.get_run(run).data
model = mlflow.pyfunc.load_model(f"runs:/{run}/iris")
print(json.dumps({
    "tags": data.tags, "params": data.params, "metrics": data.metrics,
    "report": mlflow.artifacts.load_text(f"runs:/{run}/report.txt"),
    "html": mlflow.artifacts.load_text(f"runs:/{run}/report.html"),
    "inputs": model.metadata.signature.inputs.input_names(),
    "answer": list(model.predict(model.input_example)),
}))
"""


def test_training_succeeds_while_mlflow_is_away(tmp_path: Path) -> None:
    place = at(place_in(tmp_path / "data"), "http://127.0.0.1:9")
    told = place.sepal("train", "iris").stdout
    assert "iris:log_reg_1 is registered, and not logged to MLflow at http://127.0.0.1:9" in told
    assert "log_reg_1 is the champion of iris, its first." in told


def test_without_mlflow_the_import_names_the_extra(logged: Logged, tmp_path: Path) -> None:
    script = """
import sys
sys.modules["mlflow"] = None
from sepal.cli.commands import main
main()
"""
    place = place_in(tmp_path / "data")
    run = subprocess.run(
        [
            *(sys.executable, "-c", script, "models", "import-mlflow", "ride_duration"),
            *(str(logged.folder), "--why", "so"),
        ],
        env={**os.environ, **place.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 3
    assert "pip install 'sepal[mlflow]'" in run.stderr
