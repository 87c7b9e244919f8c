"""`sepal score` on a million rows: each is answered as the pipeline answers it."""

from pathlib import Path

import pytest

from tests.bulk.command import Place
from tests.bulk.outputs import check_run


@pytest.mark.parametrize(("source", "target"), [("in.csv", "out.csv"), ("in.parquet", "out.parquet")])
def test_a_million_rows_are_answered_as_the_pipeline_does(
    place: Place, tmp_path: Path, source: str, target: str
) -> None:
    check_run(place, tmp_path / source, tmp_path / target, 1_000_000)
