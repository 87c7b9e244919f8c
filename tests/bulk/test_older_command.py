"""The older batch script's command, and the monthly run over rides."""

import csv
import os
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest

from tests.bulk.command import Place, manifest_of, quarantine_of

ROOT = Path(__file__).parents[2]
OLDER = (sys.executable, "-c", "from sepal.cli.older import main; main()")
RIDES = os.environ.get("SEPAL_TEST_RIDES")


def test_the_older_command_is_installed_under_its_name() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts["run-iris-batch"] == "sepal.cli.older:main"


def test_the_older_command_keeps_the_inputs_columns_and_adds_its_own(place: Place, tmp_path: Path) -> None:
    old = "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"
    rows = ["5.1,3.5,1.4,0.2", "6.7,3.0,5.2,2.3", "5.7,2.8,4.1,1.3"]
    (tmp_path / "in.csv").write_text(
        "\n".join([f"{old},note", *(f"{row},{at}" for at, row in enumerate(rows))])
    )
    place.run("--input", tmp_path / "in.csv", "--output", tmp_path / "out.csv", program=OLDER)
    with (tmp_path / "out.csv").open(newline="") as file:
        header, *found = csv.reader(file)
    assert header == [*old.split(","), "note", "prediction", "prediction_class_name"]
    assert [",".join(row[:4]) for row in found] == rows
    assert [row[4:] for row in found] == [
        ["0", "0", "setosa"],
        ["1", "2", "virginica"],
        ["2", "1", "versicolor"],
    ]
    told = manifest_of(tmp_path / "out.csv")
    assert told["version"] == "log_reg_1"
    assert told["predictions"] == {"Iris-setosa": 1, "Iris-versicolor": 1, "Iris-virginica": 1}


def test_the_older_command_tells_what_is_wrong_in_one_line(place: Place, tmp_path: Path) -> None:
    told = place.run("--input", tmp_path / "a.csv", "--output", tmp_path / "b.csv", program=OLDER, code=4)
    assert told.stderr.startswith("Error: There is no file at")
    told = place.run("--input", tmp_path / "a.csv", program=OLDER, code=2)
    assert "--output" in told.stderr


@pytest.mark.rides
@pytest.mark.skipif(RIDES is None, reason="SEPAL_TEST_RIDES names no folder of taxi months")
def test_real_months_are_scored_twice_to_the_same_bytes(place: Place, tmp_path: Path) -> None:
    output = tmp_path / "predictions"
    options = [
        "--row-id",
        "ride_id",
        "--prediction-name",
        "predicted_duration",
        "--partition-by",
        "year,month",
    ]
    found = []
    for _ in range(2):
        place.score("ride_duration", f"{RIDES}/*.csv", output, *options)
        quarantine = output.with_name("predictions.rejected.csv")
        files = [*output.rglob("*.parquet"), *([quarantine] if quarantine.exists() else [])]
        found.append({path.relative_to(tmp_path): path.read_bytes() for path in files})
    assert found[0] == found[1]
    table = pl.read_parquet(output, hive_partitioning=True)
    assert table.columns == ["ride_id", "predicted_duration", "model_version", "year", "month"]
    told = manifest_of(output)
    assert table["ride_id"].n_unique() == len(table) == told["rows"]["scored"]
    assert told["rows"]["read"] == told["rows"]["scored"] + told["rows"]["rejected"]
    if quarantine.exists():
        assert len(quarantine_of(output)) == told["rows"]["rejected"]
