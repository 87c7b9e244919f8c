"""The report of a version as one HTML page that needs nothing else: no script, no file, no network."""

from collections.abc import Sequence
from importlib import resources
from typing import Any

from model_training.bootstrap import Estimate
from model_training.pipelines.details import GATE
from model_training.pipelines.findings import Findings
from model_training.pipelines.report.markup import Content, Markup, join, tag
from model_training.pipelines.report.metrics import Measured, measured
from model_training.pipelines.report.sections import distribution_figures, errors, labels
from sepal.contracts import Labels
from sepal.registry.versions import Version

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What a browser may load for the page: nothing."""


def page(version: Version, findings: Findings) -> str:
    """The whole page."""
    title = f"{version.model} {version.name}"
    css = resources.files(__package__).joinpath("page.css").read_text(encoding="utf-8")
    target = findings.contract.target
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", f"{title}: training report"),
        tag("style", Markup(css)),
    )
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("p", findings.contract.description), _summary(version)),
        _section("Quality gate", _verdict(version)),
        _section("Metrics", _metrics(version, findings)),
        labels(target, version, findings) if isinstance(target, Labels) else errors(target, findings),
        _section(
            "Distributions",
            tag(
                "p",
                "The training rows beside the test rows. Far apart, the test says little.",
                class_="note",
            ),
            tag("div", distribution_figures(findings), class_="plots"),
        ),
        _section("Data", _data(version)),
        tag(
            "footer",
            "Written when the version was registered. What became of it since: ",
            tag("code", f"sepal models show {version.model} {version.name}"),
        ),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{join(head, body)}</html>\n'


def _section(heading: str, *content: Content) -> Markup:
    return tag("section", tag("h2", heading), *content)


def _summary(version: Version) -> Markup:
    releases = ", ".join(f"{name} {release}" for name, release in version.libraries.items())
    return _list(
        ("model", version.model),
        ("version", version.name),
        ("algorithm", version.algorithm),
        ("trained", tag("time", f"{version.created_at:%Y-%m-%d %H:%M:%S} UTC")),
        ("by", releases),
        ("seed", str(version.details.get("seed", ""))),
        ("gate", tag("span", version.state, class_=f"state {version.state}")),
    )


def _verdict(version: Version) -> Content:
    verdict: dict[str, Any] = version.details[GATE]
    rows = [
        tag(
            "tr",
            tag("td", check["outcome"], class_=f"state {check['outcome']}"),
            tag("td", check["said"], class_="words"),
        )
        for check in verdict["checks"]
    ]
    against = f", beside the champion {verdict['against']}" if verdict["against"] else ""
    return (
        tag(
            "p",
            tag("span", version.state, class_=f"state {version.state}"),
            f" on {version.test_rows:,} test rows{against}.",
        ),
        tag("table", tag("tbody", rows)) if rows else None,
        [tag("p", note, class_="note") for note in verdict["notes"]],
    )


def _metrics(version: Version, findings: Findings) -> Content:
    rival = findings.rival
    heads = ["training", "test", *([f"champion {rival.name}, same rows", "difference"] if rival else [])]
    rows = [_metric(found, heads) for found in measured(version, findings)]
    return (
        tag(
            "p",
            "Below each figure of the test: what 95 % of 2,000 bootstrap resamples of its rows give.",
            class_="note",
        ),
        _table(["metric", *heads], rows, "metrics"),
    )


def _metric(found: Measured, heads: Sequence[str]) -> Markup:
    """A row with what is known under each of the heads, which a narrow page repeats in every cell."""
    known: Sequence[Content] = (
        _number(found.train),
        (_number(found.test), _interval(found.own)),
        _estimated(found.champion),
        _estimated(found.difference, "+"),
    )
    cells = [tag("td", said, data_head=head) for head, said in zip(heads, known, strict=False)]
    return tag("tr", tag("th", found.name, tag("small", found.meaning), scope="row"), cells)


def _estimated(found: Estimate | None, sign: str = "") -> Content:
    return None if found is None else (_number(found.value, sign), _interval(found, sign))


def _number(value: float | None, sign: str = "") -> Markup:
    """A number to four places; `value` has all of them."""
    return tag("data", f"{value:{sign}z.4f}", value=repr(value)) if value is not None else Markup("")


def _interval(found: Estimate, sign: str = "") -> Markup:
    return tag("small", f"{found.low:{sign}z.4f} to {found.high:{sign}z.4f}")


def _data(version: Version) -> Content:
    dropped = version.details.get("dropped") or {}
    return (
        _list(
            ("source", version.data_source),
            ("rows", f"{version.train_rows:,} to train, {version.test_rows:,} to test"),
            ("fingerprint", tag("code", version.data_fingerprint), " (SHA-256 of the rows)"),
            ("artefact", tag("code", version.artefact_sha256), " (SHA-256 of the pipeline)"),
            ("contract", tag("code", version.contract_signature), " (its signature)"),
        ),
        tag("h3", "Rows left out"),
        _table(
            ["reason", "rows"],
            [tag("tr", tag("td", reason), tag("td", f"{rows:,}")) for reason, rows in dropped.items()],
        )
        if dropped
        else tag("p", "None."),
    )


def _list(*pairs: tuple[str, *tuple[Content, ...]]) -> Markup:
    return tag("dl", [(tag("dt", name), tag("dd", *said)) for name, *said in pairs])


def _table(heads: Sequence[str], rows: Sequence[Markup], kind: str | None = None) -> Markup:
    head = tag("tr", [tag("th", name, scope="col") for name in heads])
    return tag("div", tag("table", tag("thead", head), tag("tbody", rows), class_=kind), class_="scrolls")
