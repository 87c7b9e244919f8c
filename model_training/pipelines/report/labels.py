"""How a classifier does on the test rows, label by label, and whether its probabilities can be believed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_fscore_support

from model_training.pipelines.evaluate import answered, probabilities
from model_training.pipelines.findings import Findings
from model_training.tables import Floats
from sepal.contracts import Labels

_BINS = 10
_NORMAL_95 = 1.959963984540054
"""The standard normal distribution has 95 % within as many standard deviations."""


@dataclass(frozen=True)
class LabelScores:
    """Each label's precision, NaN if it was never answered, and recall, NaN if it never was true."""

    precision: Sequence[float]
    recall: Sequence[float]


@dataclass(frozen=True)
class Calibration:
    """A reliability diagram: rows in bins by the probability that the answered label was given.

    `edges` of shape (n_bins + 1,) and `counts` of shape (n_bins,) are of all bins;
    `probability`, the mean in a bin, and `right`, the share answered right, with its
    interval from `low` to `high`, are of the bins with rows.
    """

    edges: Floats
    counts: npt.NDArray[np.intp]
    probability: Floats
    right: Floats
    low: Floats
    high: Floats
    mean_probability: float
    accuracy: float


def label_scores(target: Labels, findings: Findings) -> LabelScores:
    """Precision and recall of each label on the test rows, in the contract's order."""
    precision, recall, _, _ = precision_recall_fscore_support(
        findings.test.y,
        answered(findings.pipeline, findings.test.X),
        labels=list(target.names),
        zero_division=np.nan,
    )
    return LabelScores(precision.tolist(), recall.tolist())


def calibration(findings: Findings) -> Calibration:
    """How often the test rows' answers are right, by the probability that came with them."""
    answers = answered(findings.pipeline, findings.test.X)
    known = sorted(map(str, findings.pipeline.classes_))
    found = probabilities(findings.pipeline, findings.test.X)
    # A sum of probabilities may lie above 1 by a rounding error.
    given = np.clip(found[np.arange(len(answers)), np.searchsorted(known, answers)], 0, 1)
    hits = answers == findings.test.y
    right, probability = calibration_curve(hits, given, n_bins=_BINS, pos_label=True)
    edges = np.linspace(0, 1, _BINS + 1)
    counts = np.bincount(np.searchsorted(edges[1:-1], given), minlength=_BINS)
    low, high = _wilson(right, counts[counts > 0])
    return Calibration(
        *(edges, counts, probability, right, low, high),
        *(float(given.mean()), float(hits.mean())),
    )


def _wilson(share: Floats, rows: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """The 95 % interval of a share of so many rows.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22 (1927).
    """
    z = _NORMAL_95
    centre = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return np.minimum(centre - half, share), np.maximum(centre + half, share)
