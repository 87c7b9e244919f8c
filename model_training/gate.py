"""The rules of a quality gate: what a version must show on its held-out rows before it may answer.

A metric of a few rows is uncertain, so a rule looks at a bootstrap interval of it. A
version passes if the whole interval is within the bound, fails if none of it is, and is
undecided in between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from model_training.bootstrap import Estimate, estimate
from model_training.tables import Floats
from sepal.contracts import Labels, Target
from sepal.errors import ConfigurationError

Losses: TypeAlias = Mapping[str, Floats]
"""For each metric what each held-out row adds to it, of shape (n_rows,); their mean makes the metric."""

Outcome: TypeAlias = Literal["passed", "undecided", "failed"]

HIGHER_IS_BETTER = frozenset({"accuracy"})
ROOTS = frozenset({"rmse", "rmse_of_mean"})
"""Metrics that are the root of their rows' mean, and not the mean."""

_OF_LABELS, _OF_A_QUANTITY = ("accuracy", "log_loss"), ("rmse", "mae")


@dataclass(frozen=True)
class Check:
    """What one rule found: the estimate that it looked at, and a sentence about it."""

    outcome: Outcome
    estimate: Estimate
    said: str


@dataclass(frozen=True)
class Rival:
    """The champion that a version is compared with: its name, and its losses on the same rows."""

    name: str
    losses: Losses


class Rule(Protocol):
    """One condition of a gate."""

    @property
    def metric(self) -> str:
        """The metric that it is about."""
        ...

    def check(self, losses: Losses, champion: Rival | None) -> Check | None:
        """What the held-out rows show; None if the rule compares, and there is no champion."""
        ...


@dataclass(frozen=True)
class AtLeast:
    """A metric must be so high at least, such as `AtLeast("accuracy", 0.9)`."""

    metric: str
    least: float

    def check(self, losses: Losses, champion: Rival | None) -> Check:
        """As `Rule` says."""
        del champion
        found = estimate(self.metric in ROOTS, losses[self.metric])
        outcome = _outcome(found.low >= self.least, found.high < self.least)
        return Check(outcome, found, f"{self.metric} is {found}, and must be at least {self.least:g}")


@dataclass(frozen=True)
class AtMost:
    """A metric must be so low at most, in its own unit, such as `AtMost("mae", 5.0)`."""

    metric: str
    most: float

    def check(self, losses: Losses, champion: Rival | None) -> Check:
        """As `Rule` says."""
        del champion
        found = estimate(self.metric in ROOTS, losses[self.metric])
        outcome = _outcome(found.high <= self.most, found.low > self.most)
        return Check(outcome, found, f"{self.metric} is {found}, and must be at most {self.most:g}")


@dataclass(frozen=True)
class AtMostShareOfMeanPredictor:
    """The RMSE must be at most this share of that of always answering the mean of the training rows."""

    share: float
    metric: str = "rmse"

    def check(self, losses: Losses, champion: Rival | None) -> Check:
        """As `Rule` says."""
        del champion
        found = estimate(True, losses["rmse"], divided_by=losses["rmse_of_mean"])
        outcome = _outcome(found.high <= self.share, found.low > self.share)
        return Check(
            outcome,
            found,
            f"the share of rmse in the mean predictor's is {found}, and must be at most {self.share:g}",
        )


@dataclass(frozen=True)
class NotWorseThanChampion:
    """A metric may be worse than the champion's on the same rows by this margin, in its own unit."""

    metric: str
    margin: float

    def check(self, losses: Losses, champion: Rival | None) -> Check | None:
        """As `Rule` says."""
        if champion is None:
            return None
        pair = losses[self.metric], champion.losses[self.metric]
        better, worse = pair if self.metric not in HIGHER_IS_BETTER else reversed(pair)
        found = estimate(self.metric in ROOTS, better, less=worse)  # how much worse than the champion
        outcome = _outcome(found.high <= self.margin, found.low > self.margin)
        return Check(
            outcome,
            found,
            f"{self.metric} falls behind that of the champion {champion.name} by {found}, "
            f"and may by {self.margin:g}",
        )


def check_rules(rules: Sequence[Rule], target: Target) -> None:
    """Raise ConfigurationError if a rule is about a metric that such a target does not have."""
    known = _OF_LABELS if isinstance(target, Labels) else _OF_A_QUANTITY
    for rule in rules:
        if rule.metric not in known:
            raise ConfigurationError(
                f"The gate's rule {rule!r} is about {rule.metric!r}. Metrics are: {', '.join(known)}."
            )


def _outcome(passed: bool, failed: bool) -> Outcome:
    return "passed" if passed else "failed" if failed else "undecided"
