"""What commands import: nothing that the work at hand does not need, so that they start quickly."""

import json
import sys
from pathlib import Path

import pytest

from tests.bulk.command import Place, frame_of, random_irises
from tests.bulk.conftest import place as place

NEVER = {"alembic", "bentoml", "fastapi", "matplotlib", "model_training", "pandas", "scipy", "sklearn"}
"""What takes a tenth of a second and more to import, and most commands do without."""

LISTED = """
import json, sys
from sepal.cli import main
try:
    main()
finally:
    json.dump([*sys.modules], sys.stderr)
"""


def imported(place: Place, *arguments: object) -> set[str]:
    """The packages and modules that a command has imported at its end."""
    ended = place.run(*arguments, program=(sys.executable, "-c", LISTED))
    return set(json.loads(ended.stderr))


@pytest.fixture(scope="module")
def irises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("irises")
    frame = frame_of(random_irises(2000))
    frame.write_csv(folder / "irises.csv")
    frame.write_parquet(folder / "irises.parquet")
    return folder


@pytest.mark.parametrize("more", [(), ("--proba",), ("--dry-run",)])
def test_scoring_csv_imports_neither_pyarrow_nor_sqlalchemy(
    place: Place, irises: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    found = imported(place, "score", "iris", irises / "irises.csv", tmp_path / "out.csv", *more)
    assert "polars" in found
    assert not found & {*NEVER, "pyarrow", "sqlalchemy", "numpy.random", "pyspark", "huey"}


def test_scoring_parquet_imports_neither_pandas_nor_sqlalchemy(
    place: Place, irises: Path, tmp_path: Path
) -> None:
    found = imported(place, "score", "iris", irises / "irises.parquet", tmp_path / "out.parquet")
    assert "pyarrow.parquet" in found
    assert not found & {*NEVER, "sqlalchemy", "pyspark", "huey"}


@pytest.mark.parametrize(
    "command",
    [
        ("--version",),
        ("--help",),
        ("score", "--help"),
        ("train", "--help"),
        ("serve", "--help"),
        ("predict", "--help"),
        ("worker", "--help"),
        ("bento", "--help"),
        ("models", "--help"),
        ("models", "list", "--help"),
        ("models", "trial", "--help"),
        ("keys", "--help"),
    ],
    ids=" ".join,
)
def test_a_command_that_has_not_begun_has_imported_nothing_that_takes_long(
    place: Place, command: tuple[str, ...]
) -> None:
    found = imported(place, *command)
    assert not found & {*NEVER, "httpx", "huey", "numpy", "polars", "pyarrow", "pyspark", "sqlalchemy"}


def test_listing_versions_needs_the_database_and_no_frames(place: Place) -> None:
    found = imported(place, "models", "list")
    assert "sqlalchemy" in found
    assert not found & {*NEVER, "numpy", "polars", "pyarrow"}
