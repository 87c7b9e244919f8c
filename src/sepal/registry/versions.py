"""What the registry keeps of a version, and what it must be told to make one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

SCHEMA = "0003"
"""The newest of the database's migrations; a test holds it against Alembic's own answer."""

Metrics = Mapping[str, Mapping[str, float]]
"""Metric by name, for each split: `{"train": {"accuracy": 0.97}, "test": {…}}`."""

State: TypeAlias = Literal["passed", "undecided", "rejected", "unjudged"]
"""What a version's quality gate found. Unjudged: the recipe has no gate, or had none then."""

Format: TypeAlias = Literal["pickle", "skops"]
"""How an artefact is stored."""


@dataclass(frozen=True)
class Draft:
    """A fitted pipeline that is to become a version, and all that is to be recorded of it.

    `data_fingerprint` is the SHA-256 of the rows it was fitted and tested on; `details`
    holds what is no single number, such as a confusion matrix, as JSON. `evaluator` is the
    pipeline as `scoring.linear` dumps it, if it can and that is proven to answer alike.
    `reasons` say why its gate did not let it pass. `why` is kept in the audit trail, which
    else tells what it was trained on. One that is `only_by_hand` does not become champion by
    being the first.
    """

    model: str
    algorithm: str
    pipeline: Any
    contract_signature: str
    metrics: Metrics
    details: Mapping[str, Any]
    data_source: str
    data_fingerprint: str
    train_rows: int
    test_rows: int
    evaluator: bytes | None = None
    state: State = "unjudged"
    reasons: tuple[str, ...] = ()
    why: str | None = None
    only_by_hand: bool = False


@dataclass(frozen=True)
class Version:
    """One version of a model as the registry knows it.

    `number` counts the versions of its model from 1; `name` is the algorithm and the
    number, such as `log_reg_1`. `libraries` are the releases that fitted it.
    """

    model: str
    number: int
    algorithm: str
    created_at: datetime
    contract_signature: str
    artefact_sha256: str
    libraries: Mapping[str, str]
    metrics: Metrics
    details: Mapping[str, Any]
    data_source: str
    data_fingerprint: str
    train_rows: int
    test_rows: int
    state: State = "unjudged"
    reasons: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The version's name within its model."""
        return f"{self.algorithm}_{self.number}"

    @property
    def tag(self) -> str:
        """The tag of its artefact in BentoML's model store."""
        return f"{self.model}:{self.name}"
