"""The life of a version: promoted, rolled back, pruned; refused where it must be."""

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Event

import pytest

from sepal.errors import ArtefactError, NoChampionError, NotFoundError, RegistryError, RejectedError
from sepal.registry import Draft, Registry, Version, trials
from sepal.registry.aside import set_aside
from sepal.registry.lifecycle import promote, promote_judged, prune, roll_back
from sepal.registry.verify import verify
from sepal.settings import Settings
from tests.waiting import LONG


def passes(_version: Version) -> None:
    """A check that finds nothing wrong."""


def names(registry: Registry) -> list[str]:
    return [version.name for version in registry.versions("iris")]


def test_promotion_moves_the_champion_and_is_told_with_its_reason(registry: Registry, draft: Draft) -> None:
    registry.register(draft), registry.register(draft)
    move = promote(registry, "iris", "log_reg_2", "fewer errors", passes)
    assert (move.before, move.after) == ("log_reg_1", "log_reg_2")
    assert registry.champion("iris").name == "log_reg_2"
    assert registry.version("iris", "log_reg_1").aliases == ()
    last = registry.trail("iris")[-1]
    assert (last.action, last.version, last.previous_version) == ("promote", "log_reg_2", "log_reg_1")
    assert (last.alias, last.why) == ("champion", "fewer errors")


def test_promoting_the_champion_again_does_nothing(registry: Registry, draft: Draft) -> None:
    registry.register(draft)
    before = registry.trail()
    assert promote(registry, "iris", "log_reg_1", "again", passes).before == "log_reg_1"
    assert registry.trail() == before


def test_a_version_that_is_not_there_is_answered_with_those_there_are(
    registry: Registry, draft: Draft
) -> None:
    registry.register(draft)
    with pytest.raises(NotFoundError, match=r"There are: log_reg_1\."):
        promote(registry, "iris", "log_reg_7", "so", passes)


def test_what_the_check_refuses_is_not_promoted(registry: Registry, draft: Draft) -> None:
    registry.register(draft), registry.register(draft)

    def refuse(version: Version) -> None:
        raise ArtefactError(f"{version.tag} fails")

    with pytest.raises(ArtefactError, match="iris:log_reg_2 fails"):
        promote(registry, "iris", "log_reg_2", "so", refuse)
    assert registry.champion("iris").name == "log_reg_1"
    assert len(registry.trail()) == 3


def test_an_artefact_that_was_changed_is_refused_by_name(registry: Registry, draft: Draft) -> None:
    registry.register(draft)
    path = registry.artefacts.path(registry.register(draft).tag)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtefactError, match="iris:log_reg_2 is not the artefact that was registered"):
        promote(registry, "iris", "log_reg_2", "so", passes)
    assert registry.champion("iris").name == "log_reg_1"


def roll_back_to(registry: Registry, name: str, check: Callable[[Version], object]) -> None:
    promote(registry, "iris", name, "so", passes)
    promote(registry, "iris", "log_reg_1", "so", passes)
    roll_back(registry, "iris", "so", check)


@pytest.mark.parametrize(
    "move",
    [
        lambda registry, name, check: promote(registry, "iris", name, "so", check),
        lambda registry, name, check: promote_judged(
            registry, registry.version("iris", name), "log_reg_1", "so", check
        ),
        roll_back_to,
        lambda registry, name, check: trials.start(
            registry, "iris", name, trials.Plan("shadow"), "so", check
        ),
    ],
    ids=["promote", "promote_judged", "roll_back", "trial"],
)
def test_a_training_is_registered_while_a_version_is_tried(
    registry: Registry, draft: Draft, move: Callable[[Registry, str, Callable[[Version], object]], object]
) -> None:
    registry.register(draft), registry.register(draft)
    tried, go_on = Event(), Event()

    def slowly(_version: Version) -> None:
        tried.set()
        assert go_on.wait(LONG)

    with ThreadPoolExecutor(2) as pool:
        moving = pool.submit(move, registry, "log_reg_2", slowly)
        try:
            assert tried.wait(LONG)
            with registry.writing(1.0):
                pass
            assert pool.submit(registry.register, draft).result(LONG).name == "log_reg_3"
        finally:
            go_on.set()
        moving.result(LONG)
    assert registry.version("iris", "log_reg_2").aliases
    assert verify(registry).faults == []


def test_an_artefact_that_is_changed_after_it_was_tried_is_looked_at_again(
    registry: Registry, draft: Draft
) -> None:
    registry.register(draft)
    path = registry.artefacts.path(registry.register(draft).tag)
    tried = []

    def change(version: Version) -> None:
        tried.append(version.name)
        path.write_bytes(path.read_bytes()[:-1] + b"x")

    with pytest.raises(ArtefactError, match="iris:log_reg_2 is not the artefact that was registered"):
        promote(registry, "iris", "log_reg_2", "so", change)
    assert tried == ["log_reg_2"]
    assert registry.champion("iris").name == "log_reg_1"


def test_an_artefact_that_never_rests_is_not_promoted(registry: Registry, draft: Draft) -> None:
    registry.register(draft)
    path = registry.artefacts.path(registry.register(draft).tag)
    with pytest.raises(RegistryError, match="iris:log_reg_2 was changed 5 times while it was looked at"):
        promote(registry, "iris", "log_reg_2", "so", lambda _: path.write_bytes(path.read_bytes()))
    assert registry.champion("iris").name == "log_reg_1"


def test_a_version_that_becomes_champion_while_it_is_tried_is_promoted_once(
    registry: Registry, draft: Draft
) -> None:
    registry.register(draft), registry.register(draft)

    def overtake(_version: Version) -> None:
        promote(registry, "iris", "log_reg_2", "first", passes)

    assert promote(registry, "iris", "log_reg_2", "second", overtake).before == "log_reg_2"
    assert [entry.why for entry in registry.trail() if entry.version == "log_reg_2"][1:] == ["first"]


def test_a_rejected_version_is_refused_with_its_reasons_unless_forced(
    registry: Registry, draft: Draft
) -> None:
    registry.register(draft)
    registry.register(replace(draft, state="rejected", reasons=("accuracy is 0.3",)))
    with pytest.raises(RejectedError, match=r"accuracy is 0\.3.*--force"):
        promote(registry, "iris", "log_reg_2", "so", passes)
    promote(registry, "iris", "log_reg_2", "we know why", passes, force=True)
    assert registry.trail()[-1].action == "force-promote"
    assert roll_back(registry, "iris", "so", passes).after == "log_reg_1"


@pytest.mark.parametrize(("state", "champion"), [("passed", True), ("unjudged", True), ("rejected", False)])
def test_the_first_version_becomes_champion_unless_its_gate_objects(
    registry: Registry, draft: Draft, state: str, champion: bool
) -> None:
    made = registry.register(replace(draft, state=state))  # type: ignore[arg-type]
    assert bool(made.aliases) is champion


def test_after_a_rejected_first_version_the_first_that_passes_becomes_champion(
    registry: Registry, draft: Draft
) -> None:
    registry.register(replace(draft, state="rejected", reasons=("bad",)))
    with pytest.raises(NoChampionError, match="sepal models promote iris log_reg_1 --why REASON"):
        registry.champion("iris")
    assert registry.register(replace(draft, state="passed")).aliases == ("champion",)
    assert registry.trail()[-1].why == "the first that its gate let pass"


def test_rolling_back_again_goes_further_back_and_never_forth(registry: Registry, draft: Draft) -> None:
    for _ in range(4):
        registry.register(draft)
    for number in (2, 3, 4):
        promote(registry, "iris", f"log_reg_{number}", "so", passes)
    assert [roll_back(registry, "iris", "bad", passes).after for _ in range(2)] == [
        "log_reg_3",
        "log_reg_2",
    ]
    promote(registry, "iris", "log_reg_4", "mended", passes)
    assert [roll_back(registry, "iris", "bad", passes).after for _ in range(2)] == [
        "log_reg_2",
        "log_reg_1",
    ]
    with pytest.raises(NoChampionError, match="no champion before this one"):
        roll_back(registry, "iris", "bad", passes)
    assert verify(registry).faults == []


def test_a_version_judged_against_a_champion_that_gave_way_is_not_promoted(
    registry: Registry, draft: Draft
) -> None:
    for _ in range(3):
        made = registry.register(draft)
    promote(registry, "iris", "log_reg_2", "so", passes)
    with pytest.raises(RegistryError, match=r"judged against log_reg_1, and log_reg_2 has become champion"):
        promote_judged(registry, made, "log_reg_1", "so", passes)
    assert promote_judged(registry, made, "log_reg_2", "so", passes).after == "log_reg_3"


def test_pruning_keeps_the_newest_the_champion_and_the_one_before_it(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    for _ in range(8):
        registry.register(draft)
    promote(registry, "iris", "log_reg_3", "so", passes)
    with closing(sqlite3.connect(settings.data_dir / "database.sqlite")) as connection, connection:
        connection.execute("INSERT INTO aliases VALUES ('iris', 'challenger', 4)")
    removed = prune(registry, ["iris"], 2, "kept the newest 2")
    assert [version.name for version in removed] == ["log_reg_2", "log_reg_5", "log_reg_6"]
    assert names(registry) == [f"log_reg_{number}" for number in (1, 3, 4, 7, 8)]
    folders = sorted(path.name for path in (settings.bentoml_home / "models" / "iris").iterdir())
    assert folders == names(registry)
    assert list((settings.bentoml_home / "aside").iterdir()) == []
    assert verify(registry).faults == []
    assert prune(registry, ["iris"], 2, "again") == []
    assert registry.register(draft).name == "log_reg_9", "numbers are not given twice"


def test_a_champion_that_was_pruned_is_skipped_by_a_rollback(registry: Registry, draft: Draft) -> None:
    for _ in range(4):
        registry.register(draft)
    for number in (2, 3, 4):
        promote(registry, "iris", f"log_reg_{number}", "so", passes)
    assert [version.name for version in prune(registry, ["iris"], 1, "so")] == ["log_reg_1", "log_reg_2"]
    assert roll_back(registry, "iris", "bad", passes).after == "log_reg_3"
    with pytest.raises(NoChampionError):
        roll_back(registry, "iris", "bad", passes)


def test_what_can_not_be_taken_away_is_told_with_its_place(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    registry.register(draft)
    stray = settings.bentoml_home / "aside" / "no folder"
    stray.parent.mkdir()
    stray.write_bytes(b"")
    with pytest.raises(RegistryError, match="aside can't be moved or removed"):
        registry.register(draft)
    stray.unlink()
    assert registry.register(draft).name == "log_reg_2"


def test_what_was_set_aside_by_a_command_that_was_killed_is_put_back_or_deleted(
    registry: Registry, draft: Draft, settings: Settings
) -> None:
    registry.register(draft), registry.register(draft)
    set_aside(registry.artefacts, "iris:log_reg_2")  # killed before the commit
    gone = settings.bentoml_home / "aside" / "iris:log_reg_7"  # killed after the commit
    gone.mkdir()
    (gone / "model.pkl").write_bytes(b"old")
    assert not registry.artefacts.path("iris:log_reg_2").exists()
    assert verify(registry).faults == []
    assert registry.artefacts.path("iris:log_reg_2").exists()
    assert not gone.exists()
    promote(registry, "iris", "log_reg_2", "so", passes)
