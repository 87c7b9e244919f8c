"""The registry: numbers, aliases and records, on a real SQLite file."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from sepal.errors import ConfigurationError, NoChampionError, NotFoundError, RegistryError
from sepal.registry import Draft, Registry, database, tables
from sepal.registry.registry import _REGISTER_PATIENCE
from sepal.settings import Settings


def sql(settings: Settings, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(settings.data_dir / "database.sqlite")) as connection:
        return connection.execute(query).fetchall()


def test_a_version_is_kept_as_it_was_drafted(registry: Registry, draft: Draft) -> None:
    made = registry.register(draft)
    assert (made.name, made.tag, made.number) == ("log_reg_1", "iris:log_reg_1", 1)
    assert made == registry.version("iris", "log_reg_1")
    for kept in ("metrics", "details", "data_source", "data_fingerprint", "train_rows", "test_rows"):
        assert getattr(made, kept) == getattr(draft, kept)
    assert {"scikit-learn", "numpy", "python"} == set(made.libraries)


def test_the_first_version_becomes_champion_and_the_second_does_not(
    registry: Registry, draft: Draft
) -> None:
    first, second = registry.register(draft), registry.register(draft)
    assert first.aliases == ("champion",)
    assert second.aliases == ()
    assert registry.champion("iris").name == "log_reg_1"


def test_numbers_run_through_all_algorithms_of_a_model(registry: Registry, draft: Draft) -> None:
    registry.register(draft)
    forest = Draft(**{**vars(draft), "algorithm": "rand_forest"})
    rose = Draft(**{**vars(draft), "model": "rose"})
    assert registry.register(forest).name == "rand_forest_2"
    assert registry.register(rose).name == "log_reg_1"
    assert [v.tag for v in registry.versions()] == [
        "iris:log_reg_1",
        "iris:rand_forest_2",
        "rose:log_reg_1",
    ]
    assert [v.tag for v in registry.versions("rose")] == ["rose:log_reg_1"]


def test_what_happened_is_readable_with_plain_sqlite(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    registry.register(draft)
    assert sql(settings, "SELECT action, model, version, alias, why FROM audit ORDER BY id") == [
        ("register", "iris", "log_reg_1", None, "trained on Iris.csv"),
        ("promote", "iris", "log_reg_1", "champion", "the first version"),
    ]
    assert sql(settings, "SELECT split, name, value FROM metrics ORDER BY 1, 2") == [
        ("test", "accuracy", 0.95),
        ("test", "log_loss", 0.1),
        ("train", "accuracy", 0.97),
    ]


def test_without_a_version_the_way_to_make_one_is_told(registry: Registry, settings: Settings) -> None:
    with pytest.raises(NoChampionError, match="sepal train iris"):
        registry.champion("iris")
    assert registry.versions() == []
    assert not (settings.data_dir / "database.sqlite").exists(), "looking must not make a database"


def test_an_unknown_version_is_answered_with_those_there_are(registry: Registry, draft: Draft) -> None:
    registry.register(draft)
    with pytest.raises(NotFoundError, match=r"'log_reg_7' of iris\. There are: log_reg_1"):
        registry.version("iris", "log_reg_7")


def test_trainings_at_once_get_numbers_without_gap_or_clash(settings: Settings, draft: Draft) -> None:
    def register(_: int) -> str:
        with Registry.open(settings) as registry:
            return registry.register(draft).name

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(register, range(16)))
    assert names == {f"log_reg_{number}" for number in range(1, 17)}


def test_what_fails_before_the_commit_leaves_no_version_and_no_gap(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    registry.register(draft)
    with pytest.raises(RegistryError):
        registry.register(Draft(**{**vars(draft), "train_rows": None}))  # type: ignore[arg-type]
    assert [version.name for version in registry.versions()] == ["log_reg_1"]
    after = registry.register(draft)
    assert after.name == "log_reg_2"
    assert registry.artefacts.load(after)
    assert list((settings.bentoml_home / "orphans").glob("*/log_reg_2/model.pkl")), (
        "set aside, not destroyed"
    )


def test_a_file_that_is_no_database_is_named(settings: Settings, draft: Draft) -> None:
    (settings.data_dir / "database.sqlite").write_text("no database at all, but long enough to look at")
    with (
        Registry.open(settings) as registry,
        pytest.raises(RegistryError, match=r"database\.sqlite can't be used"),
    ):
        registry.register(draft)


def test_tables_of_another_release_are_refused(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    registry.register(draft)
    with closing(sqlite3.connect(settings.data_dir / "database.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(RegistryError, match=f"schema 9999, this release works with {database.SCHEMA}"):
        registry.versions()
    with pytest.raises(RegistryError, match="can't be brought up to date"):
        registry.register(draft)


@pytest.mark.parametrize("url", ["nonsense", "nosuchdialect://x", "mysql://x"])
def test_a_url_that_can_not_be_used_is_told_by_its_setting(url: str, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigurationError, match="SEPAL_DATABASE_URL"),
        Registry.open(Settings(data_dir=tmp_path, database_url=url)),
    ):
        pass


def test_a_database_that_can_not_be_locked_is_refused_with_those_that_can(tmp_path: Path) -> None:
    url = "mysql+pymysql://me:hush@host/sepal"
    with (
        pytest.raises(ConfigurationError, match=r"mysql.*sqlite:///FILE or postgresql://") as told,
        Registry.open(Settings(data_dir=tmp_path, database_url=url)),
    ):
        pass
    assert "hush" not in str(told.value)


def test_a_writer_waits_for_another_one_as_long_as_it_is_told(
    registry: Registry, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.register(draft)
    monkeypatch.setattr("sepal.registry.registry._REGISTER_PATIENCE", 0.1)
    with registry.writing():
        with pytest.raises(RegistryError, match="can't be used"), registry.writing(0.1):
            pass
        with pytest.raises(RegistryError, match="can't be used"):
            registry.register(draft)
    assert registry.register(draft).name == "log_reg_2"


def test_a_training_waits_for_longer_than_other_writers() -> None:
    assert _REGISTER_PATIENCE >= 10 * database.PATIENCE


def test_the_migrations_end_at_the_schema_and_make_the_tables(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    scripts = ScriptDirectory.from_config(_config())
    assert scripts.get_current_head() == database.SCHEMA
    registry.register(draft)
    engine = create_engine(settings.database)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    return config
