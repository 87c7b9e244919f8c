"""`sepal models trial`: what its options mean, and which of them contradict each other."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sepal.cli.commands import app
from sepal.registry import Draft, Registry, trials


@pytest.fixture(autouse=True)
def two(registry: Registry, draft: Draft, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.register(draft), registry.register(draft)
    monkeypatch.setenv("SEPAL_DATA_DIR", str(tmp_path))


def trial(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["models", "trial", *arguments])


def said(ended: Result) -> str:
    return " ".join(ended.output.replace("│", " ").split())


@pytest.mark.parametrize(("share", "told"), [("1", "100% or 1%"), ("0.9", "90% or 0.9%")])
def test_a_large_share_without_its_percent_sign_is_asked_back(
    registry: Registry, share: str, told: str
) -> None:
    ended = trial("iris", "log_reg_2", "--canary", share)
    assert ended.exit_code == 2
    assert f"'{share}' may be {told}" in said(ended)
    assert trials.running(registry) == {}


@pytest.mark.parametrize(("share", "meant"), [("100%", 1.0), ("1%", 0.01), ("0.05", 0.05), ("0.5", 0.5)])
def test_a_share_that_can_mean_one_thing_alone_is_taken(
    registry: Registry, share: str, meant: float
) -> None:
    ended = trial("iris", "log_reg_2", "--canary", share)
    assert ended.exit_code == 0, ended.output
    assert trials.running(registry)["iris"].plan.share == meant


@pytest.mark.parametrize(
    "more", [["log_reg_2", "--canary", "5%"], ["log_reg_2"], ["--shadow"], ["--canary", "5%"]]
)
def test_a_trial_is_not_stopped_by_a_command_that_would_start_one(
    registry: Registry, more: list[str]
) -> None:
    assert trial("iris", "log_reg_2", "--shadow").exit_code == 0
    ended = trial("iris", *more, "--stop")
    assert ended.exit_code == 2
    assert "--stop ends the trial of iris" in said(ended)
    assert set(trials.running(registry)) == {"iris"}
    assert trial("iris", "--stop").exit_code == 0
    assert trials.running(registry) == {}


def test_help_tells_whom_a_prune_leaves_alone() -> None:
    ended = CliRunner().invoke(app, ["models", "prune", "--help"])
    assert "nor the challenger on trial" in said(ended)


def test_help_of_bulk_scoring_has_the_exit_code_of_a_registry_that_can_not_be_used() -> None:
    assert "7 a registry that can't be used" in said(CliRunner().invoke(app, ["score", "--help"]))
