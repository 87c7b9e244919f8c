"""What a training found and the registry does not keep: enough to write its report."""

from collections.abc import Sequence
from dataclasses import dataclass

from sklearn.pipeline import Pipeline

from model_training.gate import Losses, Rival
from model_training.tables import TrainingData
from sepal.contracts import Contract


@dataclass(frozen=True)
class Findings:
    """The fitted pipeline, its rows, and what it and the champion lose on each held-out row.

    `group_by` has the features by whose values the report shows errors; with none it chooses.
    """

    contract: Contract
    pipeline: Pipeline
    train: TrainingData
    test: TrainingData
    losses: Losses
    rival: Rival | None
    group_by: Sequence[str] = ()
