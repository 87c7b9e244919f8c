"""Metrics, rules, dashboard and their documentation: each names what there is, and leaves nothing out."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sepal.contracts.catalogue import load_contracts
from sepal.gateway.metrics import GatewayMetrics
from sepal.model_server.metrics import ModelServerMetrics
from sepal.model_server.models import Models
from sepal.telemetry.metrics import Instrument

ROOT = Path(__file__).parents[1]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
RULES = ROOT / "deploy" / "prometheus" / "sepal.rules.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "sepal.json").read_text(encoding="utf-8"))


def instruments() -> dict[str, list[tuple[str, Instrument]]]:
    """Every metric of the code by name, with the tiers that have it."""
    tiers = {
        "gateway": GatewayMetrics().all,
        "model server": ModelServerMetrics(Models(load_contracts().values())).all,
    }
    found: dict[str, list[tuple[str, Instrument]]] = {}
    for tier, metrics in tiers.items():
        for name, instrument in metrics.instruments.items():
            found.setdefault(name, []).append((tier, instrument))
    return found


def samples() -> set[str]:
    """The names under which Prometheus knows them."""
    names = set()
    for name, [(_, instrument), *_] in instruments().items():
        endings = ("_bucket", "_sum", "_count") if instrument.kind == "histogram" else ("",)
        names |= {name + ending for ending in endings}
    return names


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def labels_of(sample: str) -> set[str]:
    name = sample if sample in instruments() else sample.rpartition("_")[0]
    ((_, instrument), *_) = instruments()[name]
    return {*instrument.labels, *(["le"] if sample.endswith("_bucket") else [])}


def queries() -> Iterator[tuple[str, str]]:
    """Every expression of rules and dashboard, and where it stands."""
    for rule in rules():
        yield rule.get("record") or rule["alert"], rule["expr"]
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for note in DASHBOARD["annotations"]["list"]:
        yield note["name"], note["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]["query"]


def section(heading: str) -> str:
    return OPERATIONS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_every_query_names_metrics_that_exist(where: str, query: str) -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    named = re.findall(r"\bsepal[_:][\w:]*", query)
    assert named, where
    assert set(named) <= samples() | recorded, where


@pytest.mark.parametrize(("where", "query"), list(queries()))
def test_every_label_that_a_query_selects_is_one_of_its_metric(where: str, query: str) -> None:
    for name, selector in re.findall(r"\b(sepal_\w+)\{([^}]*)\}", query):
        selected = set(re.findall(r"(\w+)\s*[!=]", re.sub(r'"[^"]*"', "", selector)))
        assert selected <= labels_of(name) | {"instance"}, where


def test_metrics_are_called_as_prometheus_asks_for() -> None:
    for name, [(_, instrument), *others] in instruments().items():
        assert re.fullmatch(r"sepal_[a-z_]+", name)
        assert (instrument.kind == "counter") == name.endswith("_total")
        assert "_seconds" in name or "duration" not in name
        for _, other in others:
            assert (other.meaning, other.labels) == (instrument.meaning, instrument.labels)


def test_the_documentation_has_every_metric_and_no_other() -> None:
    lines = re.findall(r"^\| `sepal_.*$", section("Metrics"), re.MULTILINE)
    assert lines == [
        f"| `{name}` | {found[0][1].kind} | {', '.join(tier for tier, _ in found)} | "
        f"{', '.join(f'`{label}`' for label in found[0][1].labels)} | {found[0][1].meaning} |"
        for name, found in sorted(instruments().items())
    ]


def test_the_documentation_says_what_to_do_at_every_alert_and_at_no_other() -> None:
    alerts = [(rule["alert"], rule["labels"]["severity"]) for rule in rules() if "alert" in rule]
    assert re.findall(r"^\| `(Sepal\w+)` \| (\w+) \| .{40,} \|$", section("Alerts"), re.MULTILINE) == alerts


def test_the_rules_have_a_case_for_every_alert() -> None:
    tests = yaml.safe_load(RULES.with_name("sepal.test.yml").read_text(encoding="utf-8"))["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts


def test_the_rules_do_what_their_tests_say() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    for command in (["check", "rules", RULES.name], ["test", "rules", "sepal.test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=RULES.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_panels_of_the_dashboard_lie_side_by_side() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
