"""Judges a fitted pipeline by its recipe's gate, on the held-out rows, beside the champion."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sklearn.pipeline import Pipeline

from model_training.gate import Check, Losses, Rival, Rule
from model_training.pipelines.details import HELD_OUT
from model_training.pipelines.evaluate import losses
from model_training.tables import TrainingData
from sepal.contracts import Contract
from sepal.errors import ArtefactError
from sepal.registry.versions import State, Version


@dataclass(frozen=True)
class Champion:
    """The version that answers now, and how its pipeline is loaded if it is to be compared with."""

    version: Version
    load: Callable[[Version], Pipeline]


@dataclass(frozen=True)
class Verdict:
    """What the gate found: its checks, and notes on how to read them."""

    state: State
    checks: Sequence[Check] = ()
    notes: Sequence[str] = ()
    rival: Rival | None = None
    """The champion that it was compared with."""

    @property
    def against(self) -> str | None:
        """The name of the champion that it was compared with."""
        return self.rival.name if self.rival else None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the version did not pass, if it did not."""
        if self.state not in ("rejected", "undecided"):
            return ()
        blamed = "failed" if self.state == "rejected" else "undecided"
        return tuple(check.said for check in self.checks if check.outcome == blamed)

    def as_details(self) -> dict[str, Any]:
        """For a version's details, as JSON."""
        return {
            "against": self.against,
            "checks": [{"outcome": c.outcome, "said": c.said, **vars(c.estimate)} for c in self.checks],
            "notes": list(self.notes),
        }


def judge(
    rules: Sequence[Rule], contract: Contract, own: Losses, held_out: "HeldOut", champion: Champion | None
) -> Verdict:
    """The verdict on a version with these losses on the held-out rows."""
    rival, notes = _rival(contract, held_out, champion)
    if not rules:
        return Verdict("unjudged", notes=("The recipe has no gate.", *notes), rival=rival)
    checks = [check for rule in rules if (check := rule.check(own, rival)) is not None]
    outcomes = {check.outcome for check in checks}
    state: State = (
        "rejected" if "failed" in outcomes else "undecided" if "undecided" in outcomes else "passed"
    )
    if state == "undecided":
        notes.append(
            f"{len(held_out.rows.y):,} held-out rows are too few to tell: give more, or look and decide."
        )
    return Verdict(state, checks, notes, rival)


@dataclass(frozen=True)
class HeldOut:
    """The rows that a version is judged on. `mean` is that of the training rows' targets."""

    rows: TrainingData
    fingerprint: str
    mean: float | None


def _rival(
    contract: Contract, held_out: HeldOut, champion: Champion | None
) -> tuple[Rival | None, list[str]]:
    if champion is None:
        return None, ["There is no champion to compare with."]
    version = champion.version
    if version.contract_signature != contract.signature:
        return None, [f"Not compared with the champion {version.name}: it has another contract."]
    try:
        pipeline = champion.load(version)
    except ArtefactError as error:
        return None, [f"Not compared with the champion: {error}"]
    measured = losses(contract.target, pipeline, held_out.rows.X, held_out.rows.y, held_out.mean)
    notes = []
    if version.details.get(HELD_OUT) != held_out.fingerprint:
        notes.append(
            f"The champion {version.name} was trained on other data or with another seed. It may know some "
            "of these held-out rows already, which flatters it: a version that passes is as good, one that "
            "fails may be so too. For a fair comparison give rows that are new to both with --test-data."
        )
    return Rival(version.name, measured), notes
