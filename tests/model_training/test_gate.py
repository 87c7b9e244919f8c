"""The quality gate: what passes, what fails, and what too few rows can't tell."""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_training.bootstrap import estimate
from model_training.gate import (
    AtLeast,
    AtMost,
    AtMostShareOfMeanPredictor,
    Losses,
    NotWorseThanChampion,
    Rival,
    Rule,
)
from model_training.pipelines.evaluate import losses
from model_training.pipelines.gate import Champion
from model_training.pipelines.train import train
from model_training.recipe import Recipe
from sepal.contracts import Contract
from sepal.errors import ArtefactError, ConfigurationError
from sepal.registry.versions import Version
from tests.model_training.conftest import DATA, Drafts

Train = Callable[..., Version]


@pytest.fixture
def run(recipes: dict[str, Recipe], contracts: dict[str, Contract], drafts: Drafts) -> Train:
    def run(model: str = "iris", data: Path = DATA / "Iris.csv", **more: Any) -> Version:  # noqa: ANN401
        recipe = more.pop("recipe", recipes[model])
        return train(
            recipe,
            contracts[model],
            data=data,
            register=drafts.register,
            progress=lambda step: None,
            **more,
        )

    return run


@pytest.fixture
def champion(run: Train, drafts: Drafts) -> Champion:
    """What was trained on the default split."""
    version = run()
    return Champion(version, lambda _version: drafts[0].pipeline)


def right(n_right: int, n_rows: int) -> Losses:
    """Of so many rows, so many are answered right."""
    return {"accuracy": np.arange(n_rows) < n_right}


@pytest.mark.parametrize(
    ("n_right", "n_rows", "outcome"),
    [(37, 38, "passed"), (35, 38, "undecided"), (33, 38, "undecided"), (20, 38, "failed")],
)
def test_noise_on_38_rows_neither_blocks_nor_promotes(n_right: int, n_rows: int, outcome: str) -> None:
    assert AtLeast("accuracy", 0.90).check(right(n_right, n_rows), None).outcome == outcome


@pytest.mark.parametrize(("n_right", "outcome"), [(9_200, "passed"), (8_800, "failed")])
def test_many_rows_tell_what_38_can_not(n_right: int, outcome: str) -> None:
    assert AtLeast("accuracy", 0.90).check(right(n_right, 10_000), None).outcome == outcome


def test_the_champion_is_compared_row_by_row() -> None:
    rows = np.random.default_rng(0).random(2000) < 0.8
    better = rows.copy()
    better[:10] = True
    champion = Rival("log_reg_1", {"accuracy": rows})
    rule = NotWorseThanChampion("accuracy", margin=0.005)
    assert rule.check({"accuracy": better}, champion).outcome == "passed"  # type: ignore[union-attr]
    worse = rows.copy()
    worse[:100] = False
    assert rule.check({"accuracy": worse}, champion).outcome == "failed"  # type: ignore[union-attr]
    assert rule.check({"accuracy": worse}, None) is None


def test_of_an_error_less_is_better() -> None:
    off = np.abs(np.random.default_rng(0).normal(0, 3, 2000))
    champion = Rival("linear_1", {"rmse": off**2})
    rule = NotWorseThanChampion("rmse", margin=0.1)
    assert rule.check({"rmse": (off * 0.9) ** 2}, champion).outcome == "passed"  # type: ignore[union-attr]
    assert rule.check({"rmse": (off * 1.2) ** 2}, champion).outcome == "failed"  # type: ignore[union-attr]


def test_the_share_is_that_of_the_roots() -> None:
    rule = AtMostShareOfMeanPredictor(0.6)
    check = rule.check({"rmse": np.full(100, 25.0), "rmse_of_mean": np.full(100, 100.0)}, None)
    assert (check.outcome, check.estimate.value) == ("passed", 0.5)
    assert AtMost("mae", 2.0).check({"mae": np.full(9, 3.0)}, None).outcome == "failed"


def test_an_interval_is_as_wide_as_theory_has_it_also_where_rows_are_grouped() -> None:
    for n_rows in (400, 50_000):
        values = np.random.default_rng(1).normal(10, 2, n_rows)
        found = estimate(False, values)
        assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(n_rows), rel=0.1)
        assert found == estimate(False, values)


@pytest.mark.parametrize("model", ["iris", "ride_duration"])
def test_the_losses_have_the_metrics_as_their_mean(
    model: str, run: Train, drafts: Drafts, contracts: Mapping[str, Contract], recipes: Mapping[str, Recipe]
) -> None:
    recipe = recipes[model]
    data = DATA / recipe.default_data
    version = run(model, data, test_data=data)
    rows = recipe.read(data, contracts[model])
    mean = float(rows.y.mean()) if model == "ride_duration" else None
    found = losses(contracts[model].target, drafts[0].pipeline, rows.X, rows.y, mean)
    for name, measured in version.metrics["test"].items():
        root = name.startswith("rmse")
        assert estimate(root, found[name]).value == pytest.approx(measured)


@pytest.mark.parametrize("model", ["iris", "ride_duration"])
def test_the_models_that_ship_pass_their_gates(model: str, run: Train, recipes: dict[str, Recipe]) -> None:
    version = run(model, DATA / recipes[model].default_data)
    assert (version.state, version.reasons) == ("passed", ())
    assert version.details["gate"]["checks"]


def test_labels_that_were_shuffled_are_rejected_with_reasons(
    run: Train, champion: Champion, tmp_path: Path
) -> None:
    header, *rows = (DATA / "Iris.csv").read_text().splitlines()
    labels = [row.rpartition(",")[2] for row in rows]
    random.Random(0).shuffle(labels)  # noqa: S311
    shuffled = [f"{row.rpartition(',')[0]},{label}" for row, label in zip(rows, labels, strict=True)]
    (tmp_path / "shuffled.csv").write_text("\n".join([header, *shuffled]))
    version = run(data=tmp_path / "shuffled.csv", champion=champion)
    assert version.state == "rejected"
    assert "accuracy is 0." in version.reasons[0]
    assert "must be at least 0.9" in version.reasons[0]
    assert "other data or with another seed" in version.details["gate"]["notes"][0]


def test_the_same_training_again_passes_beside_its_champion(run: Train, champion: Champion) -> None:
    version = run(champion=champion)
    assert version.state == "passed"
    assert version.details["gate"]["against"] == "log_reg_1"
    assert version.details["gate"]["notes"] == [], "they have the same held-out rows"


def test_a_champion_of_another_seed_is_told_to_be_flattered(run: Train, champion: Champion) -> None:
    [*notes] = run(champion=champion, seed=3).details["gate"]["notes"]
    assert "The champion log_reg_1 was trained on other data or with another seed" in notes[0]


def test_a_champion_that_can_not_be_loaded_or_has_another_contract_is_left_out(
    run: Train, champion: Champion
) -> None:
    def broken(version: Version) -> Any:  # noqa: ANN401
        raise ArtefactError(f"{version.tag} is broken")

    version = run(champion=replace(champion, load=broken))
    assert version.details["gate"]["notes"] == ["Not compared with the champion: iris:log_reg_1 is broken"]
    other = replace(champion, version=replace(champion.version, contract_signature="other"))
    [note] = run(champion=other).details["gate"]["notes"]
    assert note == "Not compared with the champion log_reg_1: it has another contract."


def test_without_a_gate_a_version_is_not_judged(run: Train, recipes: dict[str, Recipe]) -> None:
    version = run(recipe=replace(recipes["iris"], gate=()))
    assert (version.state, version.reasons) == ("unjudged", ())


@pytest.mark.parametrize("rule", [AtLeast("acuracy", 0.9), AtMost("rmse", 3.0)])
def test_a_rule_about_a_metric_that_is_none_is_refused_before_training(
    run: Train, recipes: dict[str, Recipe], rule: Rule
) -> None:
    with pytest.raises(ConfigurationError, match=r"Metrics are: accuracy, log_loss\."):
        run(recipe=replace(recipes["iris"], gate=(rule,)))
