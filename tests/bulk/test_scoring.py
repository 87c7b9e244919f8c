"""Scoring of chunks: a model that fails, or that gives no number, is told and never published."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from sepal.bulk.job import Job
from sepal.bulk.run import run
from sepal.contracts.ride_duration import contract as ride
from sepal.errors import ArtefactError
from sepal.registry import Registry
from sepal.settings import Settings
from tests.bulk.command import manifest_of, quarantine_of
from tests.drafts import draft_of


class Moody(RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fails on long rides, or gives infinity for them."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.fails and (rows[:, 2] > 100).any():
            raise ValueError("too far")
        return np.where(rows[:, 2] > 100, np.inf, rows[:, 2])


@pytest.fixture
def job(tmp_path: Path) -> Job:
    lines = ["PULocationID,DOLocationID,trip_distance", "1,2,3", "1,2,400", "1,2,5"]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    return Job(
        model="ride_duration",
        input=str(tmp_path / "in.csv"),
        output=str(tmp_path / "out.csv"),
        max_rejected="1",
    )


def register(registry: Registry, pipeline: object) -> None:
    registry.register(draft_of(pipeline, model="ride_duration", contract_signature=ride.signature))


def test_a_row_that_the_model_gives_no_number_for_is_rejected(
    registry: Registry, settings: Settings, job: Job, tmp_path: Path
) -> None:
    register(registry, Moody())
    run(job, ride, settings)
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "prediction,model_version",
        "3.0,log_reg_1",
        "5.0,log_reg_1",
    ]
    (row,) = quarantine_of(tmp_path / "out.csv")
    assert (row["line"], row["column"], row["reason"]) == ("3", "prediction", "the model gives no number")
    assert manifest_of(tmp_path / "out.csv")["predictions"]["max"] == 5.0


def test_a_model_that_fails_on_rows_is_told_with_their_lines(
    registry: Registry, settings: Settings, job: Job, tmp_path: Path
) -> None:
    register(registry, Moody(fails=True))
    with pytest.raises(
        ArtefactError, match=r"ride_duration:log_reg_1 fails on rows of in, among lines 2 to 4, .*: too far"
    ):
        run(job, ride, settings)
    assert not (tmp_path / "out.csv").exists()
