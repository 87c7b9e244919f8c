"""The Airflow DAG: its steps in order, and its commands, run as Airflow would run them.

Airflow itself is not among the development packages: small stand-ins take what the DAG hands it.
"""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.deploy.conftest import ROOT
from tests.deploy.test_nightly import SEPAL

DAG = ROOT / "deploy" / "airflow" / "sepal_nightly.py"


class Step:
    """A task, or a group of them, and what comes after it."""

    made: "list[Step]"

    def __init__(self, **options: Any) -> None:  # noqa: ANN401
        self.options = options
        self.after: list[Step] = []
        Step.made.append(self)

    def __rshift__(self, other: "Step") -> "Step":
        self.after.append(other)
        return other


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The DAG's options, and its tasks by name."""
    Step.made = []
    options: dict[str, Any] = {}

    def decorator(**given: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:  # noqa: ANN401
        options.update(given)
        return lambda function: function

    def task_group(function: Callable[[], None]) -> Callable[[], Step]:
        def group() -> Step:
            function()
            return Step(task_id="group")

        return group

    modules = {
        "airflow": {},
        "airflow.sdk": {"dag": decorator, "task_group": task_group},
        "airflow.models": {},
        "airflow.models.param": {"Param": lambda default, **_: default},
        "airflow.providers": {},
        "airflow.providers.standard": {},
        "airflow.providers.standard.operators": {},
        "airflow.providers.standard.operators.bash": {"BashOperator": Step},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    runpy.run_path(str(DAG))
    return {**options, "tasks": {step.options["task_id"]: step for step in Step.made}}


def run(step: Step, folder: Path, gate: int = 0) -> tuple[int, list[str]]:
    """The exit code of a task's command, and the calls that it made."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "sepal").write_text(SEPAL)
    (programs / "sepal").chmod(0o755)
    environment = {
        **{"SEPAL_NIGHTLY_MODELS": "iris", "DAY": "2026-11-13", "GATE": str(gate)},
        **{"SEPAL_NIGHTLY_INPUT": "in/{model}-{day}.csv", "SEPAL_NIGHTLY_OUTPUT": "out/{model}-{day}.csv"},
        **{"PATH": "/usr/bin:/bin", "CALLS": str(folder / "calls")},
    }
    command = ["bash", "-c", step.options["bash_command"]]
    ended = subprocess.run(command, cwd=folder, env=environment, check=False)
    calls = folder / "calls"
    return ended.returncode, calls.read_text().splitlines() if calls.exists() else []


def test_the_steps_come_in_their_order_one_run_at_a_time(dag: dict[str, Any]) -> None:
    tasks = dag["tasks"]
    assert tasks["group"].after == [tasks["score"]]
    assert tasks["score"].after == [tasks["image"]]
    assert dag["max_active_runs"] == 1
    assert dag["catchup"] is False


def test_dates_are_those_of_the_run_and_never_of_the_clock(dag: dict[str, Any]) -> None:
    assert dag["tasks"]["score"].options["env"]["DAY"] == "{{ data_interval_start | ds }}"
    assert not [step for step in dag["tasks"].values() if "date" in step.options.get("bash_command", "")]


@pytest.mark.parametrize(("gate", "code"), [(0, 0), (8, 0), (5, 5)])
def test_a_version_that_its_gate_holds_back_is_no_failure(
    dag: dict[str, Any], tmp_path: Path, gate: int, code: int
) -> None:
    ended = run(dag["tasks"]["train_judge_promote"], tmp_path, gate)
    assert ended == (code, ["sepal train iris --promote"])


def test_the_days_file_is_scored(dag: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "iris-2026-11-13.csv").write_text("flowers")
    code, calls = run(dag["tasks"]["score"], tmp_path)
    assert code == 0
    assert calls == ["sepal score iris in/iris-2026-11-13.csv out/iris-2026-11-13.csv --log-format json"]
    assert (tmp_path / "out" / "iris-2026-11-13.csv").exists()
