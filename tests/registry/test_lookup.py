"""Finding one version without SQLAlchemy: as the registry finds it, or else by the registry."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import pytest

from sepal.errors import NoChampionError, NotFoundError, RegistryError
from sepal.registry import Draft, Registry, records
from sepal.registry.lookup import find_version
from sepal.settings import Settings


@pytest.fixture
def filled(registry: Registry, draft: Draft) -> Registry:
    registry.register(draft)
    registry.register(replace(draft, algorithm="rand_forest", state="rejected", reasons=("é, worse",)))
    registry.register(replace(draft, model="rose", metrics={}, details={"evaluator_sha256": "0" * 64}))
    return registry


def test_a_version_is_found_as_the_registry_finds_it(filled: Registry, settings: Settings) -> None:
    for version in filled.versions():
        assert find_version(settings, version.model, version.name) == version
    assert find_version(settings, "iris") == filled.champion("iris")


def test_the_champion_is_the_one_that_was_promoted_last(filled: Registry, settings: Settings) -> None:
    second = filled.version("iris", "rand_forest_2")
    with filled.writing() as connection:
        records.point(connection, "champion", second)
    found = find_version(settings, "iris")
    assert (found.name, found.aliases) == ("rand_forest_2", ("champion",))


@pytest.mark.parametrize("url", ["sqlite:///{}", "sqlite+pysqlite:///{}", "sqlite:///{}?timeout=5"])
def test_any_address_of_the_database_will_do(filled: Registry, settings: Settings, url: str) -> None:
    place = url.format(settings.data_dir / "database.sqlite")
    elsewhere = Settings(data_dir=settings.data_dir, database_url=place)
    assert find_version(elsewhere, "iris") == filled.champion("iris")


def test_what_is_not_there_is_told_as_the_registry_tells_it(filled: Registry, settings: Settings) -> None:
    with pytest.raises(NotFoundError, match="There are: log_reg_1, rand_forest_2"):
        find_version(settings, "iris", "log_reg_9")
    with pytest.raises(NoChampionError, match="sepal train tulip"):
        find_version(settings, "tulip")


def test_without_a_database_none_is_made(settings: Settings) -> None:
    with pytest.raises(NoChampionError):
        find_version(settings, "iris")
    assert not (settings.data_dir / "database.sqlite").exists()


def test_tables_of_another_release_are_refused(filled: Registry, settings: Settings) -> None:
    with closing(sqlite3.connect(settings.data_dir / "database.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryError, match="schema 9999"):
        find_version(settings, "iris")


def test_a_file_that_is_no_database_is_told(settings: Settings) -> None:
    (settings.data_dir / "database.sqlite").write_text("no database, " * 100)
    with pytest.raises(RegistryError, match="not a database"):
        find_version(settings, "iris")


def test_the_usual_version_is_found_without_sqlalchemy(filled: Registry, settings: Settings) -> None:
    look = (
        "import sys; from sepal.registry.lookup import find_version; "
        "from sepal.settings import load_settings; "
        "print(find_version(load_settings(), 'iris').name, 'sqlalchemy' in sys.modules)"
    )
    environment = {"SEPAL_DATA_DIR": str(settings.data_dir), "PYTHONPATH": ":".join(sys.path)}
    told = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True)
    assert told.stdout.split() == ["log_reg_1", "False"], told.stderr
