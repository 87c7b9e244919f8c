"""Proof that a compiled evaluator answers as scikit-learn does, before it is used."""

from typing import Any

import numpy as np

from sepal.contracts import Contract, Feature, Labels
from sepal.scoring.columnwise import columnwise_of, marks
from sepal.scoring.dumps import dump
from sepal.scoring.evaluators import (
    Classify,
    PlainClassifier,
    Regress,
    compiled_classifier,
    compiled_regressor,
)
from sepal.scoring.matrix import Matrix

TOLERANCE = 1e-12
"""Largest difference of a probability, and relative one of a quantity, that rounding may make."""

RANDOM_ROWS = 100_000

RANDOM_ROWS_OF_ENCODERS = 20_000
"""Where scikit-learn takes 0.01 ms a row, and training has already tried more."""

_MOST_VALUES = 5_000
"""Of one column's categories or edges, as many are tried, evenly chosen."""

_ONE_MAGNITUDE = 1e4
"""By so much the largest of quantities may be above their median to be of one order of magnitude."""

_USUAL = 1e3
"""Where a range has no end, values are drawn from a normal distribution of this standard deviation."""

AGREES = "compiled_agrees"
"""Under this name a version's details say whether the proof held on the rows that it was trained on."""


def compiled_agrees(contract: Contract, pipeline: Any, rows: Matrix) -> bool | None:  # noqa: ANN401 (any scikit-learn estimator)
    """Whether the pipeline's compiled evaluator answers these rows as scikit-learn; None if it has none.

    It does not if one of them refuses a row or fails on it.
    """
    try:
        if isinstance(contract.target, Labels):
            classify = compiled_classifier(pipeline)
            return (
                None if classify is None else classifiers_agree(PlainClassifier(pipeline), classify, rows)
            )
        regress = compiled_regressor(pipeline)
        return None if regress is None else regressors_agree(pipeline.predict, regress, rows)
    except Exception:  # noqa: BLE001 (whatever a step or a function of the pipeline's raises)
        return False


def dumped_evaluator(contract: Contract, pipeline: Any) -> bytes | None:  # noqa: ANN401
    """The pipeline's evaluator as a file; None if it has none that is arrays, or random rows disprove it.

    For a pipeline whose compiled evaluator agrees on the rows of training.
    """
    classes = [*map(str, pipeline.classes_)] if isinstance(contract.target, Labels) else None
    if (dumped := dump(_compiled(contract, pipeline), classes)) is None:
        return None
    rows = proof_rows(contract, pipeline, RANDOM_ROWS)
    return dumped if compiled_agrees(contract, pipeline, rows) else None


def _compiled(contract: Contract, pipeline: Any) -> object:  # noqa: ANN401
    return (compiled_classifier if isinstance(contract.target, Labels) else compiled_regressor)(pipeline)


def proof_rows(contract: Contract, pipeline: Any, n_random: int | None = None) -> Matrix:  # noqa: ANN401
    """Rows that a pipeline's compiled evaluator is tried on, (n_rows, n_features).

    Random ones; for a columnwise evaluator also such with each category and edge that it
    knows, what is next to and beyond those, and the ends of each range.
    """
    columnwise = columnwise_of(_compiled(contract, pipeline))
    if columnwise is None:
        return random_rows(contract, n_random or RANDOM_ROWS)
    marked: dict[int, list[Matrix]] = {}
    for position, values in marks(columnwise):
        marked.setdefault(position, []).append(values)
    rows = [random_rows(contract, n_random or RANDOM_ROWS_OF_ENCODERS)]
    for position, feature in enumerate(contract.columns):
        values = _around(feature, np.concatenate([*marked.get(position, []), np.empty(0)]))
        with_values = random_rows(contract, len(values), seed=position + 1)
        with_values[:, position] = values
        rows.append(with_values)
    return np.concatenate(rows)


def _around(feature: Feature, values: Matrix) -> Matrix:
    """Those that a feature takes of values, their neighbours, what is beyond them, and its range's ends."""
    if feature.kind in ("category", "boolean"):
        return np.arange(float(len(feature.categories) or 2))
    values = np.unique(values)[:: 1 + len(values) // _MOST_VALUES]
    if len(values):
        with np.errstate(over="ignore"):  # what is infinite is left out below
            beyond = 1 + values[-1] - values[0]
            values = np.array([values[0] - beyond, *values, values[-1] + beyond])
    values = np.array([*values, *(end for end in _ends(feature) if end is not None)])
    if feature.kind == "number":
        values = np.concatenate((values, np.nextafter(values, -np.inf), np.nextafter(values, np.inf)))
    else:
        values = np.rint(np.concatenate((values, values - 1, values + 1)))
    taken = np.isfinite(values)
    for end, is_within in (
        (feature.at_least, np.greater_equal),
        (feature.greater_than, np.greater),
        (feature.at_most, np.less_equal),
        (feature.less_than, np.less),
    ):
        if end is not None:
            taken &= is_within(values, end)
    return np.unique(values[taken])


def classifiers_agree(plain: Classify, compiled: Classify, rows: Matrix) -> bool:
    """Whether both give every row the same label, and probabilities within the tolerance."""
    (labels, probabilities), (compiled_labels, compiled_probabilities) = plain(rows), compiled(rows)
    return bool(
        np.array_equal(labels, compiled_labels)
        and np.allclose(probabilities, compiled_probabilities, rtol=0, atol=TOLERANCE)
    )


def regressors_agree(plain: Regress, compiled: Regress, rows: Matrix) -> bool:
    """Whether both give every row the same quantity within the tolerance, infinity included.

    Rounding is relative to the terms of a sum, which may nearly cancel out: so where all
    quantities are of one order of magnitude, the largest is what the tolerance is of.
    Else, as after an exponential function, it is each one's own.
    """
    expected, found = plain(rows), compiled(rows)
    finite = np.isfinite(expected)
    if not np.array_equal(expected[~finite], found[~finite]):  # as NaN never is
        return False
    expected, found = expected[finite], found[finite]
    sizes = np.maximum(1.0, np.abs(expected))
    if len(sizes) and finite.all():
        usual = np.quantile(sizes, 0.5, method="lower")
        if sizes.max() / usual <= _ONE_MAGNITUDE:
            sizes[:] = sizes.max()
    return bool((np.abs(found - expected) <= TOLERANCE * sizes).all())


def random_rows(contract: Contract, n_rows: int = RANDOM_ROWS, seed: int = 0) -> Matrix:
    """Rows drawn evenly from all that a contract takes, shape (n_rows, n_features)."""
    generator = np.random.default_rng(seed)
    return np.column_stack([_draw(column, generator, n_rows) for column in contract.columns])


def _ends(column: Feature) -> tuple[float | None, float | None]:
    """The smallest and the largest value that a feature takes; None where there is no such."""
    lows, highs = [column.at_least], [column.at_most]
    if column.kind == "number":
        if column.greater_than is not None:
            lows.append(float(np.nextafter(column.greater_than, np.inf)))
        if column.less_than is not None:
            highs.append(float(np.nextafter(column.less_than, -np.inf)))
    else:  # whole numbers and seconds
        lows = [None if low is None else np.ceil(low) for low in lows]
        highs = [None if high is None else np.floor(high) for high in highs]
        if column.greater_than is not None:
            lows.append(np.floor(column.greater_than) + 1.0)
        if column.less_than is not None:
            highs.append(np.ceil(column.less_than) - 1.0)
    low = max((end for end in lows if end is not None), default=-np.inf)
    high = min((end for end in highs if end is not None), default=np.inf)
    return None if np.isinf(low) else low, None if np.isinf(high) else high


def _draw(column: Feature, generator: np.random.Generator, n_rows: int) -> Matrix:
    low, high = _ends(column)
    if column.kind == "category":
        values = generator.integers(0, len(column.categories), n_rows).astype(np.float64)
    elif column.kind == "boolean":
        values = generator.integers(0, 2, n_rows).astype(np.float64)
    elif low is None or high is None:
        values = generator.normal(0.0, _USUAL, n_rows)
        if low is not None or high is not None:
            low, high = -np.inf if low is None else low, np.inf if high is None else high
            values = np.where(values < low, low + np.abs(values), values)
            values = np.where(values > high, high - np.abs(values), values)
    else:
        shares = generator.random(n_rows)
        values = np.clip(low + shares * high - shares * low, low, high)  # high - low may be infinite
        values = np.rint(values) if column.kind in ("integer", "time") else values
    if column.optional:
        values[generator.random(n_rows) < 0.1] = np.nan
    return values
