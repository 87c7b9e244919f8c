"""Training as a command: many at once, killed at any moment, and models brought in two files."""

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from sklearn.datasets import load_wine
from typer.testing import CliRunner

from sepal.cli.commands import app
from sepal.registry import Registry
from tests.end_to_end.conftest import Place, place_in, serving

pytestmark = pytest.mark.end_to_end

TOGETHER = 280.0
"""Seconds for eight trainings: a little less than a test has."""


def test_eight_trainings_at_once_make_eight_versions_that_load(tmp_path: Path) -> None:
    place = place_in(tmp_path / "data")
    trainings = [place.start("train", "iris") for _ in range(8)]
    ends = time.monotonic() + TOGETHER
    try:
        for training in trainings:
            output, _ = training.communicate(timeout=max(0.0, ends - time.monotonic()))
            assert training.returncode == 0, output
    finally:
        for training in trainings:
            training.kill()
            training.communicate()
    assert_whole(place, expected=8)


@pytest.mark.slow
def test_a_training_killed_at_any_moment_leaves_whole_versions_only(tmp_path: Path) -> None:
    place = place_in(tmp_path / "data")
    started = time.monotonic()
    place.sepal("train", "iris")
    whole = time.monotonic() - started
    moments = random.Random(0)  # noqa: S311
    for _ in range(20):
        training = place.start("train", "iris")
        time.sleep(moments.uniform(0.4 * whole, 1.1 * whole))
        training.kill()
        training.communicate()
    place.sepal("train", "iris")
    assert_whole(place)


def test_nothing_is_trained_if_there_is_a_champion_and_only_the_missing_one_is_asked_for(
    trained: Place,
) -> None:
    before = trained.sepal("models", "list", "iris").stdout
    assert "nothing is to be trained" in trained.sepal("train", "iris", "--if-missing").stdout
    assert trained.sepal("models", "list", "iris").stdout == before


def test_a_missing_champion_is_trained(tmp_path: Path) -> None:
    place = place_in(tmp_path / "data")
    place.sepal("train", "iris", "--if-missing")
    assert "log_reg_1" in place.sepal("models", "list", "iris").stdout


def assert_whole(place: Place, expected: int | None = None) -> None:
    """Every version that is listed loads; numbers have no gap; one is champion."""
    with Registry.open(place.settings) as registry:
        versions = registry.versions("iris")
        for version in versions:
            assert registry.artefacts.load(version).predict([[5.0, 2.0, 3.0, 4.0]]) == ["Iris-virginica"]
        assert [version.number for version in versions] == list(range(1, (expected or len(versions)) + 1))
        assert registry.champion("iris").number == 1
    with closing(sqlite3.connect(place.data_dir / "database.sqlite")) as database:
        [(registered,)] = database.execute("SELECT count(*) FROM audit WHERE action = 'register'")
    assert registered == len(versions)
    staging = place.settings.bentoml_home / "staging"
    assert [path.name for path in staging.iterdir()] == ["lock"]


WINE_CONTRACT = '''
"""Wine: which of three cultivars a wine is from."""

from typing import Annotated
from pydantic import Field
from sepal.contracts import Contract, Features, Labels, feature

Amount = Annotated[float, Field(ge=0, le=10_000)]

class Wine(Features):
    """The cultivar of a wine, from three measurements."""

    alcohol: Amount = feature(example=13.2, unit="%", description="Alcohol.")
    flavanoids: Amount = feature(example=2.8, description="Flavanoids.")
    proline: Amount = feature("proline (mg/l)", example=1050, unit="mg/l", description="Proline.")

contract = Contract(
    name="wine",
    features=Wine,
    target=Labels(names=("class_0", "class_1", "class_2"), column="cultivar", example="class_0"),
)
'''

WINE_RECIPE = '''
"""How the wine model is trained."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from model_training.recipe import Recipe

def log_reg(seed: int) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))

recipe = Recipe(model="wine", default_data="wine.csv", algorithms={"log_reg": log_reg})
'''


def test_a_third_model_is_a_contract_file_and_a_recipe_file(tmp_path: Path) -> None:
    contracts, recipes = tmp_path / "contracts", tmp_path / "recipes"
    contracts.mkdir(), recipes.mkdir()
    (contracts / "wine.py").write_text(WINE_CONTRACT)
    (recipes / "wine.py").write_text(WINE_RECIPE)
    place = place_in(tmp_path / "data", contracts_path=contracts, recipes_path=recipes)
    wine = load_wine(as_frame=True)
    table = wine.data[["alcohol", "flavanoids", "proline"]].rename(columns={"proline": "proline (mg/l)"})
    table["cultivar"] = wine.target_names[wine.target]
    table.to_csv(place.data_dir / "wine.csv", index=False)

    assert "class_0" in place.sepal("train", "wine").stdout
    with serving(place, "wine") as served:
        row = {"alcohol": 13.2, "flavanoids": 2.8, "proline": 1050}
        answer = served.post("/wine/predict-proba", row)
        assert (answer["output"], answer["model_name"]) == ("class_0", "log_reg_1")
        assert served.call("/wine/predict", b'{"alcohol": -1}')[0] == 422
        document = served.call("/openapi.json")[1]
    assert document["components"]["schemas"]["Wine"]["properties"]["proline"]["examples"] == [1050]
    assert "/wine/predict" in document["paths"]


def test_a_trained_version_is_listed_and_shown(trained: Place) -> None:
    listed = trained.sepal("models", "list").stdout
    assert "log_reg_1" in listed
    assert "linear_1" in listed
    shown = trained.sepal("models", "show", "iris").stdout
    assert "log_loss" in shown
    assert "Iris-virginica" in shown
    [report] = [line.removeprefix("Report: ") for line in shown.splitlines() if line.startswith("Report: ")]
    assert Path(report).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    missing = trained.sepal("models", "show", "iris", "log_reg_9", check=False)
    assert missing.returncode == 4
    assert "There are: log_reg_1." in missing.stderr


def test_versions_are_shown_and_moved_where_only_the_model_servers_packages_are(trained: Place) -> None:
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("pandas", "pyarrow", "alembic", "fastapi", "aiohttp"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from sepal.cli.models import app
for command in ("list", "show iris", "compare iris log_reg_1", "promote iris log_reg_1 --why so",
                "history", "verify", "prune"):
    app(command.split(), standalone_mode=False)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], env=trained.environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "log_reg_1 is the champion of iris already." in run.stdout


def test_every_command_has_help_with_an_example(trained: Place) -> None:
    group = ("list", "show", "compare", "history", "verify", "promote", "rollback", "prune")
    group += ("import-mlflow", "export")
    for command in (["train"], ["serve"], ["models"], *(["models", name] for name in group)):
        assert "Example: " in CliRunner().invoke(app, [*command, "--help"]).stdout
    assert trained.sepal("--version").stdout == "sepal 0.1.0\n"
    unknown = trained.sepal("train", "rose", check=False)
    assert unknown.returncode == 4
    assert unknown.stderr == "Error: There is no model 'rose'. There are: iris, ride_duration.\n"


def test_trainings_that_fail_leave_nothing(tmp_path: Path) -> None:
    place = place_in(tmp_path / "data")
    run: subprocess.CompletedProcess[str] = place.sepal("train", "iris", "--algorithm", "svm", check=False)
    assert run.returncode == 4
    assert "There are: log_reg, rand_forest." in run.stderr
    assert not (place.data_dir / "database.sqlite").exists()
    assert not (place.data_dir / "bentoml").exists()
