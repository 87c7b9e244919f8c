"""The data that ships: what it says it is."""

import csv
from pathlib import Path

from sklearn.datasets import load_iris

from model_training import synthetic_rides
from tests.model_training.conftest import DATA


def test_the_synthetic_rides_are_written_byte_for_byte_again(tmp_path: Path) -> None:
    synthetic_rides.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (DATA / "synthetic_rides.csv").read_bytes()


def test_iris_is_the_data_that_scikit_learn_has() -> None:
    iris = load_iris()
    with (DATA / "Iris.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    assert [[float(value) for value in row[1:5]] for row in rows] == iris.data.tolist()
    assert [row[5] for row in rows] == [f"Iris-{iris.target_names[label]}" for label in iris.target]
