"""The registry on PostgreSQL: what it does on SQLite it does there, and one writer at a time."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier

import psycopg
import pytest

from sepal.errors import RegistryError
from sepal.registry import Draft, Registry, lifecycle
from sepal.registry.verify import verify
from sepal.settings import Settings
from tests.registry.test_audit import (
    sql,
    test_an_artefact_that_is_pruned_before_it_is_looked_at_is_no_fault,
    test_nothing_recorded_yet_verifies,
    test_what_others_do_meanwhile_is_no_fault,
)
from tests.registry.test_lifecycle import (
    test_a_champion_that_was_pruned_is_skipped_by_a_rollback,
    test_a_training_is_registered_while_a_version_is_tried,
    test_a_version_judged_against_a_champion_that_gave_way_is_not_promoted,
    test_promoting_the_champion_again_does_nothing,
    test_promotion_moves_the_champion_and_is_told_with_its_reason,
    test_rolling_back_again_goes_further_back_and_never_forth,
    test_what_was_set_aside_by_a_command_that_was_killed_is_put_back_or_deleted,
)
from tests.registry.test_registry import (
    test_a_version_is_kept_as_it_was_drafted,
    test_a_writer_waits_for_another_one_as_long_as_it_is_told,
    test_numbers_run_through_all_algorithms_of_a_model,
    test_the_migrations_end_at_the_schema_and_make_the_tables,
    test_trainings_at_once_get_numbers_without_gap_or_clash,
    test_what_fails_before_the_commit_leaves_no_version_and_no_gap,
)
from tests.registry.test_trial_records import (
    test_a_promotion_ends_the_trial_and_the_trail_says_so,
    test_a_trial_is_kept_with_its_plan_and_its_row_in_the_trail,
    test_a_trial_that_is_stopped_leaves_no_alias_and_can_be_looked_at,
    test_the_counts_of_workers_that_write_at_once_are_added_up,
    two,
)

__all__ = [
    "sql",
    "test_a_champion_that_was_pruned_is_skipped_by_a_rollback",
    "test_a_promotion_ends_the_trial_and_the_trail_says_so",
    "test_a_training_is_registered_while_a_version_is_tried",
    "test_a_trial_is_kept_with_its_plan_and_its_row_in_the_trail",
    "test_a_trial_that_is_stopped_leaves_no_alias_and_can_be_looked_at",
    "test_a_version_is_kept_as_it_was_drafted",
    "test_a_version_judged_against_a_champion_that_gave_way_is_not_promoted",
    "test_a_writer_waits_for_another_one_as_long_as_it_is_told",
    "test_an_artefact_that_is_pruned_before_it_is_looked_at_is_no_fault",
    "test_nothing_recorded_yet_verifies",
    "test_numbers_run_through_all_algorithms_of_a_model",
    "test_promoting_the_champion_again_does_nothing",
    "test_promotion_moves_the_champion_and_is_told_with_its_reason",
    "test_rolling_back_again_goes_further_back_and_never_forth",
    "test_the_counts_of_workers_that_write_at_once_are_added_up",
    "test_the_migrations_end_at_the_schema_and_make_the_tables",
    "test_trainings_at_once_get_numbers_without_gap_or_clash",
    "test_what_fails_before_the_commit_leaves_no_version_and_no_gap",
    "test_what_others_do_meanwhile_is_no_fault",
    "test_what_was_set_aside_by_a_command_that_was_killed_is_put_back_or_deleted",
    "two",
]

_numbers = count()


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str) -> Settings:
    """Of a registry in a database of its own."""
    name = f"registry_{next(_numbers)}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return Settings(data_dir=tmp_path, database_url=f"{postgres_url.rpartition('/')[0]}/{name}")


def test_writers_at_once_lose_nothing_and_the_trail_stays_whole(settings: Settings, draft: Draft) -> None:
    begin = Barrier(6)

    def work(worker: int) -> None:
        with Registry.open(settings) as registry:
            begin.wait(60)
            for _ in range(4):
                made = registry.register(draft)
                lifecycle.promote(registry, "iris", made.name, f"worker {worker}", bool)
                lifecycle.prune(registry, ["iris"], 6, "so")

    with ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(work, worker) for worker in range(6)]:
            done.result()
    with Registry.open(settings) as registry:
        trail = registry.trail("iris")
        assert [entry.id for entry in trail] == list(range(1, len(trail) + 1))
        assert sum(entry.action == "register" for entry in trail) == 24
        assert verify(registry).faults == []


@pytest.mark.parametrize("statement", ["UPDATE audit SET why = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
def test_the_database_itself_refuses_to_change_or_remove_a_row(
    registry: Registry, draft: Draft, settings: Settings, statement: str
) -> None:
    registry.register(draft)
    with (
        psycopg.connect(settings.database) as connection,
        pytest.raises(psycopg.errors.RaiseException, match="the audit trail is append-only"),
    ):
        connection.execute(statement.encode())


def test_a_server_that_is_away_is_told_without_its_password(
    tmp_path: Path, draft: Draft, unused_tcp_port: int
) -> None:
    url = f"postgresql://sepal:hush@127.0.0.1:{unused_tcp_port}/sepal"
    with (
        Registry.open(Settings(data_dir=tmp_path, database_url=url)) as registry,
        pytest.raises(RegistryError, match=r"registry in postgresql://sepal:\*\*\*@.* can't be") as told,
    ):
        registry.register(draft)
    assert "hush" not in str(told.value)
