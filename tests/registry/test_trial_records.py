"""Trials in the registry: started, counted and ended, with the audit trail that says so."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from sepal.errors import ArtefactError, NotFoundError, RejectedError, TrialError
from sepal.registry import Draft, Registry, Version, trials
from sepal.registry.lifecycle import promote, prune, roll_back
from sepal.registry.trials import CHALLENGER, Plan
from sepal.registry.verify import verify
from sepal.settings import Settings

SHADOW = Plan("shadow")


def passes(_version: Version) -> None:
    """A check that finds nothing wrong."""


@pytest.fixture
def two(registry: Registry, draft: Draft) -> Registry:
    registry.register(draft), registry.register(draft)
    return registry


def try_second(registry: Registry, plan: Plan = SHADOW) -> trials.Trial:
    return trials.start(registry, "iris", "log_reg_2", plan, "so", passes)


def test_a_trial_is_kept_with_its_plan_and_its_row_in_the_trail(two: Registry) -> None:
    plan = Plan("canary", 0.05, max_errors=0.01, max_latency=2.0, min_rows=50)
    trial = try_second(two, plan)
    assert trials.running(two) == {"iris": trial}
    assert (trial.version, trial.champion, trial.plan) == ("log_reg_2", "log_reg_1", plan)
    assert two.version("iris", "log_reg_2").aliases == (CHALLENGER,)
    last = two.trail()[-1]
    assert (last.action, last.version, last.alias, last.why) == (
        *("trial-canary", "log_reg_2", CHALLENGER, "so"),
    )
    assert verify(two).faults == []


def test_a_trial_that_is_stopped_leaves_no_alias_and_can_be_looked_at(two: Registry) -> None:
    trial = try_second(two)
    assert trials.stop(two, "iris", "seen enough") == trial
    assert trials.running(two) == {}
    [ended] = trials.latest(two)
    assert ended.ended_why == "seen enough"
    assert two.version("iris", "log_reg_2").aliases == ()
    assert two.trail()[-1].action == "trial-stop"
    with pytest.raises(TrialError, match="No version of iris is on trial"):
        trials.stop(two, "iris", "again")
    assert try_second(two).id == trial.id + 1
    assert [one.ended_why for one in trials.latest(two, "iris")] == [None]


def test_one_trial_of_a_model_at_a_time(two: Registry) -> None:
    try_second(two)
    with pytest.raises(TrialError, match=r"log_reg_2 of iris is on trial already.*sepal models trial stop"):
        try_second(two)


def test_what_can_not_be_champion_is_not_tried(two: Registry, draft: Draft) -> None:
    def start(name: str, *, check: object = passes, force: bool = False) -> trials.Trial:
        return trials.start(two, "iris", name, SHADOW, "so", check, force=force)  # type: ignore[arg-type]

    def refuse(version: Version) -> None:
        raise ArtefactError(f"{version.tag} has another contract")

    two.register(replace(draft, state="rejected", reasons=("accuracy is 0.3",)))
    with pytest.raises(TrialError, match="log_reg_1 is the champion"):
        start("log_reg_1")
    with pytest.raises(NotFoundError):
        start("log_reg_9")
    with pytest.raises(ArtefactError, match="another contract"):
        start("log_reg_2", check=refuse)
    with pytest.raises(RejectedError, match=r"accuracy is 0\.3.*--force"):
        start("log_reg_3")
    path = two.artefacts.path("iris:log_reg_2")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ArtefactError, match="iris:log_reg_2 is not the artefact that was registered"):
        start("log_reg_2")
    assert trials.running(two) == {}
    assert start("log_reg_3", force=True).version == "log_reg_3"


def test_without_a_champion_there_is_nothing_to_try_beside(registry: Registry, draft: Draft) -> None:
    registry.register(replace(draft, state="undecided", reasons=("too few rows",)))
    with pytest.raises(TrialError, match="iris has no champion"):
        trials.start(registry, "iris", "log_reg_1", SHADOW, "so", passes)


@pytest.mark.parametrize("promoted", ["log_reg_2", "log_reg_3"])
def test_a_promotion_ends_the_trial_and_the_trail_says_so(
    two: Registry, draft: Draft, promoted: str
) -> None:
    two.register(draft)
    try_second(two)
    promote(two, "iris", promoted, "better", passes)
    assert trials.running(two) == {}
    assert [(entry.action, entry.version, entry.why) for entry in two.trail()[-2:]] == [
        ("promote", promoted, "better"),
        ("trial-stop", "log_reg_2", f"{promoted} is the champion now"),
    ]
    assert verify(two).faults == []


def test_a_rollback_ends_the_trial(two: Registry, draft: Draft) -> None:
    two.register(draft)
    promote(two, "iris", "log_reg_3", "so", passes)
    try_second(two)
    roll_back(two, "iris", "complaints", passes)
    assert trials.running(two) == {}


def test_a_version_on_trial_is_never_pruned(two: Registry, draft: Draft) -> None:
    try_second(two)
    for _ in range(3):
        two.register(draft)
    assert [version.name for version in prune(two, ["iris"], 1, "so")] == ["log_reg_3", "log_reg_4"]
    trials.stop(two, "iris", "so")
    assert [version.name for version in prune(two, ["iris"], 1, "so")] == ["log_reg_2"]
    assert [trial.version for trial in trials.latest(two)] == ["log_reg_2"], "what was found stays"
    assert verify(two).faults == []


def test_the_counts_of_workers_that_write_at_once_are_added_up(two: Registry, settings: Settings) -> None:
    trial = try_second(two)

    def worker(number: int) -> None:
        with Registry.open(settings) as registry:
            for _ in range(20):
                trials.add(registry, trial, {"rows": 2.0, f"worker_{number}": 1.0})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(worker, range(4)))
    assert trials.counted(two, trial) == {"rows": 160.0, **{f"worker_{n}": 20.0 for n in range(4)}}


def test_a_trial_that_stops_itself_says_why_and_who_once(two: Registry) -> None:
    trial = try_second(two)
    for _ in range(2):
        trials.stop_by_itself(two, trial, "too slow")
    stops = [entry for entry in two.trail() if entry.action == "trial-stop"]
    assert [(entry.actor, entry.why) for entry in stops] == [
        ("model-server", "stopped by itself: too slow")
    ]
    again = try_second(two)
    trials.stop_by_itself(two, trial, "an older trial's worker is late")
    assert trials.running(two) == {"iris": again}


def test_where_there_is_no_registry_there_is_no_trial(registry: Registry) -> None:
    assert trials.running(registry) == {}
    assert trials.latest(registry) == []
