"""The HTML report of a version: its numbers are the registry's, its text is escaped, its file is whole."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from model_training.bootstrap import estimate
from model_training.gate import AtMost
from model_training.pipelines.findings import Findings
from model_training.pipelines.gate import Champion
from model_training.pipelines.report.distributions import bounds_in_words, distributions
from model_training.pipelines.report.file import write_report
from model_training.pipelines.report.labels import calibration
from model_training.pipelines.report.page import page
from model_training.pipelines.report.residuals import by_prediction, groupings, residuals
from model_training.pipelines.train import train
from model_training.recipe import Recipe, load_recipes
from model_training.tables import TrainingData
from sepal.cli.training import write_report_or_say
from sepal.contracts import Contract, Features, Labels, Quantity, feature
from sepal.contracts.catalogue import load_contracts
from sepal.errors import ConfigurationError
from sepal.registry import Draft, Registry, Version
from sepal.registry.artefacts import REPORT
from sepal.registry.lifecycle import prune
from sepal.registry.verify import verify
from tests.model_training.conftest import DATA, Drafts
from tests.model_training.test_recipe import WINE_CONTRACT, WINE_RECIPE, wine_table, write

Trained = tuple[Version, Findings]
Train = Callable[..., Trained]


@pytest.fixture
def run(recipes: dict[str, Recipe], contracts: dict[str, Contract], drafts: Drafts) -> Train:
    """Train, and give the version with what was found."""

    def run(model: str = "iris", **more: Any) -> Trained:  # noqa: ANN401
        recipe, contract = more.pop("recipe", None) or recipes[model], more.pop("contract", None)
        kept: list[Trained] = []
        more = {"register": drafts.register, "data": DATA / recipe.default_data, **more}
        train(
            recipe,
            contract or contracts[model],
            progress=lambda step: None,
            report=lambda *found: kept.append(found),
            **more,
        )
        return kept[0]

    return run


class _Rows(HTMLParser):
    """The rows of a page's tables: the text of the first cell, and all `<data value>` in the row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[list[str], list[float]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append(([], []))
        if tag == "data":
            self.rows[-1][1].append(float(dict(attrs)["value"] or "nan"))

    def handle_data(self, data: str) -> None:
        if self.rows:
            self.rows[-1][0].append(data)


def rows_of(html: str) -> dict[str, tuple[list[str], list[float]]]:
    parser = _Rows()
    parser.feed(html)
    return {texts[0]: (texts, values) for texts, values in parser.rows}


def shown(html: str) -> str:
    """The page's text."""
    return unescape(re.sub(r"<[^>]+>", " ", html.partition("</style>")[2]))


def test_the_numbers_are_those_of_the_registry_and_of_the_champion_on_the_same_rows(
    run: Train, registry: Registry
) -> None:
    first, _ = run(register=registry.register)
    version, findings = run(
        register=registry.register,
        algorithm="rand_forest",
        champion=Champion(first, registry.artefacts.load),
    )
    recorded = registry.version("iris", "rand_forest_2")
    html = page(version, findings)
    rows = rows_of(html)
    for name in ("accuracy", "log_loss"):
        in_train, in_test, champions, difference = rows[name][1]
        assert (in_train, in_test) == (recorded.metrics["train"][name], recorded.metrics["test"][name])
        assert champions == pytest.approx(first.metrics["test"][name])
        assert difference == pytest.approx(in_test - champions)
    own = estimate(False, findings.losses["accuracy"])
    assert f"{own.low:.4f} to {own.high:.4f}" in rows["accuracy"][0]
    matrix = recorded.details["confusion_matrix"]
    for label, counts in zip(matrix["labels"], matrix["counts"], strict=True):
        assert rows[label][0][1:4] == [str(count) for count in counts]
    text = shown(html)
    for said in (
        recorded.data_fingerprint,
        recorded.artefact_sha256,
        "scikit-learn",
        "112 to train, 38 to test",
    ):
        assert said in text
    for check in recorded.details["gate"]["checks"]:
        assert check["said"] in text


def test_a_first_version_has_no_champion_beside_it(run: Train) -> None:
    version, findings = run()
    rows = rows_of(page(version, findings))
    assert len(rows["accuracy"][1]) == 2
    assert "There is no champion to compare with." in shown(page(version, findings))


def test_without_a_gate_the_champion_is_shown_all_the_same(
    run: Train, recipes: dict[str, Recipe], drafts: Drafts
) -> None:
    champion = Champion(run()[0], lambda version: drafts[0].pipeline)
    html = page(*run(recipe=replace(recipes["iris"], gate=()), champion=champion))
    assert len(rows_of(html)["accuracy"][1]) == 4
    assert "The recipe has no gate." in shown(html)


def test_a_rejected_version_says_so_with_the_reasons(run: Train, recipes: dict[str, Recipe]) -> None:
    version, findings = run(recipe=replace(recipes["iris"], gate=(AtMost("log_loss", 0.01),)))
    html = page(version, findings)
    assert version.state == "rejected"
    assert '<span class="state rejected">rejected</span> on 38 test rows.' in html
    assert version.reasons[0] in shown(html)
    assert "and must be at most 0.01" in shown(html)


def test_of_a_quantity_the_errors_are_shown_by_prediction_day_and_zone(run: Train) -> None:
    version, findings = run("ride_duration")
    html = page(version, findings)
    text = shown(html)
    for said in (
        "Errors by prediction",
        "Errors by pickup_datetime",
        "Errors by PULocationID",
        "predicted less true (minutes)",
        "trip_distance (miles)",
        "20",
        "duration under 1 minute",
        "The contract takes at least 0 and at most 500 miles",
    ):
        assert said in text
    assert "Confusion" not in text
    assert rows_of(html)["rmse"][1] == [version.metrics[split]["rmse"] for split in ("train", "test")]
    found = residuals(findings)
    assert np.sqrt((found.off**2).mean()) == pytest.approx(version.metrics["test"]["rmse"])
    assert sum(group.rows for group in by_prediction(found)) == version.test_rows
    [by_day, *zones] = groupings(findings, found)
    assert (by_day.by, by_day.shown, len(by_day.groups)) == ("day", version.test_rows, 31)
    assert [zone.shown for zone in zones] == [sum(g.rows for g in zone.groups) for zone in zones]


def test_several_months_are_grouped_by_month_and_a_recipe_without_groups_chooses(run: Train) -> None:
    _, findings = run("ride_duration")
    rides = findings.test.X.copy()
    rides[::2, 3] += 40 * 86_400
    rides[:9, 3] = np.nan
    found = groupings(
        replace(findings, test=TrainingData(rides, findings.test.y, {}), group_by=()), residuals(findings)
    )
    assert [(grouping.feature.name, grouping.by) for grouping in found] == [
        ("pickup_datetime", "month"),
        ("PULocationID", "value"),
    ]
    assert {group.name for group in found[0].groups} <= {"2019-01", "2019-02", "2019-03"}
    assert found[0].shown == len(rides) - 9
    [by_distance] = groupings(replace(findings, group_by=("trip_distance",)), residuals(findings))
    assert len(by_distance.groups) == 10


def test_a_recipe_that_groups_by_what_is_no_feature_is_refused(
    contracts: dict[str, Contract], tmp_path: Path
) -> None:
    text = WINE_RECIPE.replace('model="wine"', 'group_by=["colour"], model="wine"')
    contracts |= load_contracts([write(tmp_path / "contracts", "wine.py", WINE_CONTRACT)])
    with pytest.raises(ConfigurationError, match=r"groups by colour.*Features: alcohol, flavanoids"):
        load_recipes(contracts, [write(tmp_path / "recipes", "wine.py", text)])


def test_the_reliability_diagram_has_scikit_learns_points_and_counts_every_row(run: Train) -> None:
    _, findings = run(algorithm="rand_forest")
    found = calibration(findings)
    assert found.counts.sum() == len(findings.test.y)
    assert len(found.right) == (found.counts > 0).sum()
    best = findings.pipeline.predict_proba(findings.test.X).max(axis=1)
    hits = findings.pipeline.predict(findings.test.X) == findings.test.y
    right, probability = calibration_curve(hits, best, n_bins=10)
    assert found.right.tolist() == right.tolist()
    assert found.probability.tolist() == probability.tolist()
    assert (found.low <= found.right).all()
    assert (found.right <= found.high).all()


class _Hostile(Features):
    """What breaks pages: </p><script>alert("description")</script>."""

    size: float = feature(example=1, unit="<b>cm</b>", description='"><img src=x onerror=alert(1)>')
    kind: Literal["</text><script>", "$\\frac{", "#040404", "花 🌸"] = feature(
        example="花 🌸", description="A category's name may be anything."
    )


_HOSTILE_LABELS = ("<script>alert(3)</script>", "$x_{$", 'a"b\'c & id="d', "x" * 300)


def _fit(seed: int) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))


def test_hostile_names_and_sources_are_text(run: Train, tmp_path: Path) -> None:
    contract = Contract("hostile", _Hostile, Labels(_HOSTILE_LABELS, column="<i>what</i>", example="$x_{$"))
    kinds = contract.columns[1].categories
    data = tmp_path / "<img src=x onerror=alert(4)>.csv"
    lines = [
        ",".join(
            (str(i % 4 + i / 100), kinds[i % 4], '"{}"'.format(_HOSTILE_LABELS[i % 4].replace('"', '""')))
        )
        for i in range(60)
    ]
    data.write_text("\n".join(["size,kind,<i>what</i>", *lines, "1,2,3"]), encoding="utf-8")
    recipe = Recipe(model="hostile", default_data="", algorithms={"<svg onload=alert(5)>": _fit})
    version, findings = run(recipe=recipe, contract=contract, data=data)
    html = page(version, findings)
    for element in ("script", "img", "i>", "b>", "svg onload"):
        assert f"<{element}" not in html
    assert not re.search(r"<[^<>]*\son\w+=", html), "no element has a handler"
    text = shown(html)
    for name in (*_HOSTILE_LABELS, *kinds, str(data), "<b>cm</b>", '"><img src=x onerror=alert(1)>'):
        assert name in text or escape(name) in html
    assert "#040404" in text, "a name that looks like a colour stays a name"


class _One(Features):
    """A single feature, which never has a value twice."""

    size: float | None = feature(example=1, unit="cm", description="Size.", optional=True)


def test_a_contract_with_one_feature_has_a_report(run: Train, tmp_path: Path) -> None:
    def linear(seed: int) -> Pipeline:
        del seed
        return make_pipeline(SimpleImputer(), LinearRegression())

    data = tmp_path / "one.csv"
    data.write_text("\n".join(["size,weight", *(f"{1e9 + i},{i % 7}" for i in range(40))]))
    version, findings = run(
        recipe=Recipe(model="one", default_data="", algorithms={"linear": linear}),
        contract=Contract("one", _One, Quantity(column="weight", unit="kg", example=1.0)),
        data=data,
    )
    text = shown(page(version, findings))
    assert "The contract has no bounds; missing: 0.0% of the training, 0.0% of the test rows" in text
    nothing = replace(findings.test, X=np.full_like(findings.test.X, np.nan))
    empty = distributions(replace(findings, train=nothing, test=nothing))
    assert empty[1].spread is None


def test_a_third_model_needs_no_report_code_of_its_own(tmp_path: Path, drafts: Drafts, run: Train) -> None:
    contracts = load_contracts([write(tmp_path / "contracts", "wine.py", WINE_CONTRACT)])
    recipes = load_recipes(contracts, [write(tmp_path / "recipes", "wine.py", WINE_RECIPE)])
    data = wine_table(tmp_path / "wine.csv")
    html = page(*run(recipe=recipes["wine"], contract=contracts["wine"], data=data))
    assert {"accuracy", "a", "b", "c"} <= rows_of(html).keys()
    assert "flavanoids" in shown(html)


def test_bounds_are_told_in_words(contracts: dict[str, Contract]) -> None:
    told = [bounds_in_words(column) for model in contracts.values() for column in model.columns]
    assert "the contract takes more than 0 and at most 30 cm" in told
    assert "the contract takes at least 2009-01-01 and less than 2100-01-01" in told


def test_the_same_training_gives_the_same_bytes_in_another_process(run: Train, tmp_path: Path) -> None:
    script = """
import pathlib, sys
from model_training.pipelines.report.page import page
from model_training.pipelines.train import train
from model_training.recipe import load_recipes
from sepal.contracts.catalogue import load_contracts
from tests.model_training.conftest import DATA, Drafts
contracts = load_contracts()
recipe = load_recipes(contracts)["iris"]
train(recipe, contracts["iris"], data=DATA / "Iris.csv", register=Drafts().register,
      progress=lambda step: None,
      report=lambda *found: pathlib.Path(sys.argv[1]).write_text(page(*found), encoding="utf-8"))
"""
    other = tmp_path / "other.html"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "MPLBACKEND": "agg"}
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", script, other], env=environment, cwd=root, check=True)
    assert other.read_text(encoding="utf-8") == page(*run())


def test_the_page_loads_nothing_and_runs_nothing(run: Train) -> None:
    html = page(*run())
    assert "default-src 'none'" in html
    for foreign in ("http:", "https:", "//", "@import", "src=", "<script", "<link"):
        assert foreign not in html.replace(str(DATA), "")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids)), "no two drawings share an id"
    for target in re.findall(r'(?:href="#|url\(#)([^")]+)', html):
        assert target in ids


@pytest.fixture
def reported(run: Train, registry: Registry) -> Trained:
    """Two versions with reports; the second is no champion."""
    for _ in range(2):
        version, findings = run(register=registry.register)
        write_report(version, findings, registry.artefacts.folder(version.tag))
    return version, findings


def test_the_report_lies_beside_the_artefact_and_goes_when_the_version_is_pruned(
    reported: Trained, registry: Registry, draft: Draft
) -> None:
    assert reported[0].name == "log_reg_2"
    for version in registry.versions("iris"):
        registry.artefacts.check(version)
        assert (registry.artefacts.folder(version.tag) / REPORT).read_text().startswith("<!DOCTYPE html>")
    assert verify(registry).faults == []
    third = registry.register(draft)
    prune(registry, ["iris"], 1, "a test")
    assert {version.name for version in registry.versions("iris")} == {"log_reg_1", third.name}
    assert list(registry.artefacts.home.rglob(REPORT)) == [
        registry.artefacts.folder("iris:log_reg_1") / REPORT
    ]


def test_a_report_that_can_not_be_written_is_told_and_stops_nothing(
    reported: Trained, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    version, findings = reported
    shutil.rmtree(registry.artefacts.folder(version.tag))
    write_report_or_say(registry, version, findings)
    said = capsys.readouterr().out
    assert said.startswith(
        "iris:log_reg_2 is registered, but its report could not be written: FileNotFound"
    )
