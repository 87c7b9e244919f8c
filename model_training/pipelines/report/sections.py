"""The parts of the page that have plots, each of them with what it shows in words."""

import math
from collections.abc import Sequence
from typing import Any

from model_training.pipelines.findings import Findings
from model_training.pipelines.report import plots
from model_training.pipelines.report.distributions import Bars, Distribution, Histogram, distributions
from model_training.pipelines.report.labels import LabelScores, calibration, label_scores
from model_training.pipelines.report.markup import Content, Markup, tag
from model_training.pipelines.report.residuals import Grouping, by_prediction, groupings, residuals
from sepal.contracts import Labels
from sepal.contracts.targets import Quantity
from sepal.registry.versions import Version


def labels(target: Labels, version: Version, findings: Findings) -> Sequence[Markup]:
    """Which labels are taken for which, and whether the probabilities hold."""
    found = calibration(findings)
    return (
        tag(
            "section",
            tag("h2", "Confusion matrix"),
            tag("p", "Test rows by their true label and the label that was answered.", class_="note"),
            _confusion(version.details["confusion_matrix"], label_scores(target, findings)),
        ),
        tag(
            "section",
            tag("h2", "Calibration"),
            tag(
                "p",
                "Of the rows that are answered with a probability of 0.8, eight in ten should be right. "
                f"On the test rows that probability is {found.mean_probability:.3f} in the mean, and "
                f"{found.accuracy:.3f} of the answers are right.",
            ),
            tag("div", tag("figure", plots.reliability(found)), class_="plots"),
        ),
    )


def _confusion(matrix: dict[str, Any], scores: LabelScores) -> Markup:
    names, counts = matrix["labels"], matrix["counts"]
    heads = [tag("th", name, scope="col") for name in ("true ↓ answered →", *names, "recall")]
    rows = [
        tag("tr", tag("th", name, scope="row"), _counts(row), tag("td", _share(recall)))
        for name, row, recall in zip(names, counts, scores.recall, strict=True)
    ]
    precision = tag(
        "tr",
        tag("th", "precision", scope="row"),
        [tag("td", _share(p)) for p in scores.precision],
        tag("td"),
    )
    table = tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows, precision), class_="confusion")
    return tag("div", table, class_="scrolls")


def _counts(row: Sequence[int]) -> Sequence[Markup]:
    """The counts of one true label, each shaded by its share."""
    most = max(sum(row), 1)
    return [
        tag("td", f"{count:,}", class_="count", style=f"--share: {60 * count / most:.0f}%") for count in row
    ]


def _share(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def errors(target: Quantity, findings: Findings) -> Markup:
    """Where the predictions are off, and by how much."""
    found = residuals(findings)
    dots = len(found.some())
    of = (
        "Each dot is a test row."
        if dots == len(found.true)
        else f"Dots: {dots:,} of {len(found.true):,} test rows."
    )
    named = (target.column, target.unit)
    figures = [
        _figure("Predicted against true", plots.predicted_against_true(found, *named), of),
        _figure(
            "Errors by prediction",
            plots.errors_by_prediction(found, by_prediction(found), *named),
            f"Above zero it says too much. {of} The bands are of tenths of the rows.",
        ),
    ]
    for number, grouping in enumerate(groupings(findings, found)):
        drawing = plots.errors_by_group(f"group-{number}", grouping, target.unit)
        figures.append(_figure(f"Errors by {grouping.feature.name}", drawing, _group_words(grouping)))
    return tag("section", tag("h2", "Errors"), tag("div", figures, class_="plots"))


def _group_words(found: Grouping) -> str:
    shown = f"{found.feature.description} By {found.by}, with the number of test rows."
    if len(found.groups) < found.all_groups:
        which = (
            "with the most rows, by their median error" if found.by == "value" else "that are the latest"
        )
        shown += f" The {len(found.groups)} of {found.all_groups:,} {which}: {found.shown:,} rows."
    return shown


def distribution_figures(findings: Findings) -> Sequence[Markup]:
    """The target's and each feature's values."""
    return [
        _figure(found.name, plots.distribution(f"spread-{number}", found), _distribution_words(found))
        for number, found in enumerate(distributions(findings))
    ]


def _distribution_words(found: Distribution) -> str:
    facts = list(found.facts)
    if isinstance(found.spread, Histogram) and found.spread.beyond:
        facts.append(f"{found.spread.beyond:,} rows lie beyond the plot")
    if isinstance(found.spread, Bars) and found.spread.others:
        facts.append(f"{found.spread.others:,} rarer values are not shown")
    if found.spread is None:
        facts.append("no row has a value")
    said = "; ".join(facts)
    return " ".join(
        part for part in (found.description, f"{said[:1].upper()}{said[1:]}." if said else "") if part
    )


def _figure(heading: str, drawing: Markup | None, caption: Content) -> Markup:
    return tag("figure", tag("h3", heading), drawing, tag("figcaption", caption))
