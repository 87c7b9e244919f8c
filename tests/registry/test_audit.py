"""The audit trail: it can't be changed, and if it was all the same, that is found."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from sepal.registry import Draft, Registry, Version, database
from sepal.registry.lifecycle import promote, prune, roll_back
from sepal.registry.verify import verify
from sepal.settings import Settings

Sql = Callable[[str], None]


@pytest.fixture
def sql(settings: Settings, registry: Registry, draft: Draft) -> Sql:
    """A trail of six rows, and a hand that goes around what protects it."""
    for _ in range(3):
        registry.register(draft)
    promote(registry, "iris", "log_reg_2", "better", check=bool)
    roll_back(registry, "iris", "not better", check=bool)

    def run(statement: str) -> None:
        database = settings.data_dir / "database.sqlite"
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("DROP TRIGGER IF EXISTS audit_no_update")
            connection.execute("DROP TRIGGER IF EXISTS audit_no_delete")
            connection.execute(statement)

    return run


def test_a_trail_that_nobody_touched_verifies(registry: Registry, sql: Sql) -> None:
    del sql
    found = verify(registry)
    assert (found.rows, found.versions, found.faults) == (6, 3, [])
    assert found.head == registry.trail()[-1].hash


def test_nothing_recorded_yet_verifies(registry: Registry) -> None:
    assert verify(registry).faults == []


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET why = 'x'", "DELETE FROM audit", "DELETE FROM audit WHERE id = 6"]
)
def test_the_database_itself_refuses_to_change_or_remove_a_row(
    registry: Registry, draft: Draft, settings: Settings, statement: str
) -> None:
    registry.register(draft)
    with (
        closing(sqlite3.connect(settings.data_dir / "database.sqlite")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="the audit trail is append-only"),
    ):
        connection.execute(statement.replace("6", "1"))


@pytest.mark.parametrize("column", ["at", "actor", "action", "version", "why", "previous_hash", "hash"])
def test_a_changed_row_is_named(registry: Registry, sql: Sql, column: str) -> None:
    value = "'2020-01-01 00:00:00.000000'" if column == "at" else "'other'"
    sql(f"UPDATE audit SET {column} = {value} WHERE id = 4")  # noqa: S608
    assert any(
        fault.startswith("Audit row 4 (") and "not as it was" in fault for fault in verify(registry).faults
    )


def test_a_removed_row_is_named_by_its_place(registry: Registry, sql: Sql) -> None:
    sql("DELETE FROM audit WHERE id = 4")
    assert verify(registry).faults[0] == (
        "Audit row 4 is missing: removed from before audit row 5 (promote iris log_reg_2)."
    )


def test_the_first_rows_can_not_be_removed_unseen(registry: Registry, sql: Sql) -> None:
    sql("DELETE FROM audit WHERE id <= 2")
    assert verify(registry).faults[0].startswith("Audit rows 1 to 2 are missing")


def test_an_inserted_row_is_named(registry: Registry, sql: Sql) -> None:
    sql(
        "INSERT INTO audit (id, at, actor, action, model, version, alias, why) VALUES "
        "(7, '2026-01-01 00:00:00.000000', 'me', 'promote', 'iris', 'log_reg_3', 'champion', 'so')"
    )
    assert verify(registry).faults[0] == (
        "Audit row 7 (promote iris log_reg_3) is not as it was written: changed since, or added by hand."
    )


def test_rows_cut_off_at_the_end_leave_a_champion_that_nobody_made(registry: Registry, sql: Sql) -> None:
    sql("DELETE FROM audit WHERE id = 6")
    assert verify(registry).faults == [
        "The champion of iris is log_reg_1, and by the audit trail log_reg_2: "
        "it was not moved by Sepal, or its row was removed."
    ]


def test_rows_cut_off_at_the_end_are_missed_by_a_hash_that_was_noted(registry: Registry, sql: Sql) -> None:
    head = verify(registry).head
    sql("UPDATE aliases SET number = 2")
    sql("DELETE FROM audit WHERE id = 6")
    assert verify(registry).faults == []
    assert head in verify(registry, head).faults[0]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE versions SET state = 'passed' WHERE number = 2",
        "UPDATE versions SET artefact_sha256 = '0' WHERE number = 2",
        "UPDATE metrics SET value = 1.0 WHERE number = 2 AND split = 'test' AND name = 'accuracy'",
    ],
)
def test_a_record_that_was_made_prettier_is_named(registry: Registry, sql: Sql, statement: str) -> None:
    sql(statement)
    assert verify(registry).faults[0] == (
        "The record of iris:log_reg_2 is not as it was registered by audit row 3 (register iris log_reg_2)."
    )


def test_a_changed_artefact_is_named(registry: Registry, sql: Sql) -> None:
    del sql
    path = registry.artefacts.path("iris:log_reg_3")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    [fault] = verify(registry).faults
    assert "iris:log_reg_3 is not the artefact that was registered" in fault


def test_what_others_do_meanwhile_is_no_fault(registry: Registry, sql: Sql, draft: Draft) -> None:
    del sql
    done = threading.Event()

    def work() -> None:
        try:
            for _ in range(8):
                promote(registry, "iris", registry.register(draft).name, "so", check=bool)
                prune(registry, ["iris"], 1, "so")
        finally:
            done.set()

    working = threading.Thread(target=work)
    working.start()
    faults = []
    while not done.is_set():
        faults += verify(registry).faults
    working.join()
    assert faults == []
    assert len(registry.trail()) > 6 + 16


def test_a_version_that_is_registered_between_two_looks_is_no_fault(
    registry: Registry, sql: Sql, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    del sql
    versions = registry.versions

    def late(model: str | None = None) -> list[Version]:
        monkeypatch.undo()
        registry.register(draft)
        return versions(model)

    monkeypatch.setattr(registry, "versions", late)
    assert verify(registry).faults == []


def test_an_artefact_that_is_pruned_before_it_is_looked_at_is_no_fault(
    registry: Registry, sql: Sql, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    del sql
    check = registry.artefacts.check

    def late(version: Version) -> None:
        monkeypatch.undo()
        assert [gone.name for gone in prune(registry, ["iris"], 1, "so")] == ["log_reg_2", "log_reg_3"]
        check(version)

    registry.register(draft)
    monkeypatch.setattr(registry.artefacts, "check", late)
    assert verify(registry).faults == []


def test_a_trail_of_the_first_schema_is_chained_by_the_next_writer(
    settings: Settings, draft: Draft
) -> None:
    engine = create_engine(settings.database)
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for number in (1, 2, 3):
            connection.exec_driver_sql(
                "INSERT INTO audit (at, actor, action, model, version, why) VALUES "
                "('2026-01-01 00:00:00.000000', 'me', 'look', 'rose', ?, 'so')",
                (f"v{number}",),
            )
    engine.dispose()
    with Registry.open(settings) as registry:
        registry.register(draft)
        assert [entry.why for entry in registry.trail("rose")] == ["so"] * 3
        assert verify(registry).faults == []
        assert verify(registry).rows == 5
