"""The report's plots, each from the numbers of its own module."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, MaxNLocator

from model_training.pipelines.report.distributions import Bars, Distribution, Histogram
from model_training.pipelines.report.drawing import INK, MUTED, TEST, TRAIN, drawn
from model_training.pipelines.report.labels import Calibration
from model_training.pipelines.report.markup import Markup
from model_training.pipelines.report.residuals import Group, Grouping, Residuals
from model_training.tables import Floats

_LONGEST_NAME = 24
_PERCENT = FuncFormatter(lambda share, _: f"{round(100 * share, 6):g} %")
_ROW = 0.2
"""Inches of a row of a plot that has its names on the left."""


def reliability(found: Calibration) -> Markup:
    """The share answered right by the probability of the answer, with the rows in each bin below."""
    return drawn(
        "reliability",
        "Share of the test rows answered right, by the probability of the answer, and rows by probability.",
        partial(_reliability, found),
        height=3.8,
        parts=(3, 1),
    )


def _reliability(found: Calibration, axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="as it should be")
    reach = [found.right - found.low, found.high - found.right]
    axes.errorbar(
        *(found.probability, found.right, reach),
        fmt="o-",
        color=TEST,
        markersize=4,
        linewidth=1.4,
        elinewidth=1,
        label="share right, 95 % interval",
    )
    axes.set(ylabel="share answered right", ylim=(-0.03, 1.03), xlim=(0, 1))
    axes.legend(loc="upper left")
    _, below = axes.figure.axes
    bars = below.bar(
        found.edges[:-1], found.counts, np.diff(found.edges), align="edge", color=TEST, alpha=0.5
    )
    below.bar_label(bars, [f"{count:,}" if count else "" for count in found.counts], fontsize=7)
    below.margins(y=0.35)
    below.set(xlabel="probability of the answered label", ylabel="rows")
    below.yaxis.set_major_locator(MaxNLocator(2, integer=True))


def predicted_against_true(found: Residuals, column: str, unit: str) -> Markup:
    """A dot for each test row, or for some of them."""
    return drawn(
        "predicted",
        f"Predicted against true {column}, in {unit}, on the test rows.",
        partial(_predicted_against_true, found, column, unit),
        height=3.4,
    )


def _predicted_against_true(found: Residuals, column: str, unit: str, axes: Axes) -> None:
    some = found.some()
    both = np.concatenate((found.true[some], found.predicted[some]))
    ends = [both.min(), both.max()]
    axes.plot(ends, ends, color=MUTED, linestyle="--", linewidth=1, label="as it should be")
    _dots(axes, found.true[some], found.predicted[some], 0.35)
    axes.set(xlabel=f"true {column} ({unit})", ylabel=f"predicted {column} ({unit})")
    axes.legend(loc="upper left")


def errors_by_prediction(found: Residuals, groups: Sequence[Group], column: str, unit: str) -> Markup:
    """Where the errors lie, from low predictions to high."""
    return drawn(
        "by-prediction",
        f"Error in {unit} by predicted {column}: median, and where 50 % and 90 % of the rows are.",
        partial(_errors_by_prediction, found, groups, column, unit),
        height=3.4,
    )


def _errors_by_prediction(
    found: Residuals, groups: Sequence[Group], column: str, unit: str, axes: Axes
) -> None:
    some = found.some()
    _dots(axes, found.predicted[some], found.off[some], 0.2)
    at = [group.at for group in groups]
    low, lower, middle, upper, high = np.array([group.quantiles for group in groups]).T
    axes.fill_between(at, low, high, color=TEST, alpha=0.15, linewidth=0, label="90 % of the rows")
    axes.fill_between(at, lower, upper, color=TEST, alpha=0.3, linewidth=0, label="50 %")
    axes.plot(at, middle, "o-", color=TEST, markersize=3, linewidth=1.4, label="median")
    axes.axhline(0, color=MUTED, linestyle="--", linewidth=1)
    axes.set(xlabel=f"predicted {column} ({unit})", ylabel=f"predicted less true ({unit})")
    _legend_above(axes)


def errors_by_group(name: str, found: Grouping, unit: str) -> Markup:
    """The errors of each group of rows, below one another."""
    return drawn(
        name,
        f"Error in {unit} by {found.feature.name}: median, and where 50 % and 90 % of the rows are.",
        partial(_errors_by_group, found, unit),
        height=0.9 + _ROW * len(found.groups),
    )


def _errors_by_group(found: Grouping, unit: str, axes: Axes) -> None:
    places = np.arange(len(found.groups))
    low, lower, middle, upper, high = np.array([group.quantiles for group in found.groups]).T
    axes.axvline(0, color=MUTED, linestyle="--", linewidth=1)
    axes.hlines(places, low, high, color=TEST, linewidth=1, label="90 % of the rows")
    axes.barh(places, upper - lower, 0.6, lower, color=TEST, alpha=0.35, linewidth=0, label="50 %")
    axes.plot(middle, places, "o", color=TEST, markersize=4, label="median")
    feature = found.feature
    axes.set_yticks(places, [f"{_short(group.name)} · {group.rows:,}" for group in found.groups])
    axes.set_ylim(len(places) - 0.4, -0.6)
    of = f"{feature.name}, {feature.unit}" if feature.unit else feature.name
    axes.set(xlabel=f"predicted less true ({unit})", ylabel=f"{of} · rows")
    axes.grid(visible=False, axis="y")
    _legend_above(axes)


def distribution(name: str, found: Distribution) -> Markup | None:
    """How the values are spread over the rows of training and of the test."""
    said = f"Shares of the training and the test rows by {found.name}."
    if isinstance(found.spread, Histogram):
        return drawn(name, said, partial(_histogram, found, found.spread), height=2.5)
    if isinstance(found.spread, Bars):
        height = 1.1 + 1.5 * _ROW * len(found.spread.names)
        return drawn(name, said, partial(_bars, found, found.spread), height=height)
    return None


def _histogram(found: Distribution, spread: Histogram, axes: Axes) -> None:
    edges = spread.edges
    if spread.is_time:
        edges = (edges * 1000).astype("datetime64[ms]")
        locator = AutoDateLocator()  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.stairs(spread.train, edges, fill=True, color=TRAIN, alpha=0.6, label="training")
    axes.stairs(spread.test, edges, color=TEST, linewidth=1.4, label="test")
    axes.set(xlabel=_with_unit(found), ylabel="share of the rows", xlim=(edges[0], edges[-1]))
    axes.yaxis.set_major_formatter(_PERCENT)
    _legend_above(axes)


def _bars(found: Distribution, spread: Bars, axes: Axes) -> None:
    places = np.arange(len(spread.names))
    axes.barh(places - 0.2, spread.train, 0.38, color=TRAIN, alpha=0.6, label="training")
    axes.barh(places + 0.2, spread.test, 0.38, color=TEST, label="test")
    axes.set_yticks(places, list(map(_short, spread.names)))
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set(xlabel="share of the rows", ylabel=_short(_with_unit(found)))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.grid(visible=False, axis="y")
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    axes.figure.legend(handles, names, loc="outside upper center", ncols=len(names))


def _dots(axes: Axes, x: Floats, y: Floats, alpha: float) -> None:
    axes.plot(x, y, "o", color=INK, alpha=alpha, markersize=2.2, markeredgewidth=0)


def _with_unit(found: Distribution) -> str:
    return f"{found.name} ({found.unit})" if found.unit else found.name


def _short(name: str) -> str:
    """A name that leaves room for the plot beside it."""
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
