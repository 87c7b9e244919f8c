"""From encoded rows to the columns of the output, and what is counted of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sepal.bulk.job import probability_name
from sepal.bulk.sketch import Sketch
from sepal.contracts import Contract, Labels
from sepal.errors import ArtefactError, DataError
from sepal.registry.versions import Version
from sepal.scoring import dumps
from sepal.scoring.columns import Flags
from sepal.scoring.matrix import Matrix, example_rows

if TYPE_CHECKING:
    from sepal.registry import ArtefactStore
    from sepal.scoring.evaluators import Classify, Regress
    from sepal.scoring.linear import Positions

_SLICE = 1 << 15
"""Rows that scikit-learn is asked for at once, at least: what it makes of them in between may take many
times their memory."""

_VALUES = 1 << 20
"""Values that a forest is asked for at once if that are more rows: each call has to go round all trees."""

Summary = dict[str, int] | Sketch
"""Of labels: how often each was given. Of quantities: their distribution."""


@dataclass(frozen=True)
class Answers:
    """Answers to encoded rows; `finite` says which of them are numbers, (n_rows,), None if all are."""

    columns: Sequence[pl.Series]
    finite: Flags | None
    summary: Callable[[Flags | None], Summary]


@dataclass(frozen=True)
class Model:
    """A version as bulk scoring uses it."""

    contract: Contract
    version: Version
    answer_some: Callable[[Matrix], Answers]

    def answer(self, rows: Matrix) -> Answers:
        """The answers to rows of shape (n_rows, n_features), which may be none."""
        if len(rows):
            return self.answer_some(rows)
        answers = self.answer_some(example_rows(self.contract))  # scikit-learn refuses to predict nothing
        none = np.zeros(1, dtype=np.bool_)
        return Answers(
            [column.clear() for column in answers.columns], None, lambda _: answers.summary(none)
        )


def load_model(
    version: Version,
    contract: Contract,
    artefacts: "ArtefactStore",
    *,
    proba: bool = False,
    prediction_name: str = "prediction",
    position_name: str | None = None,
    label_names: Mapping[str, str] = MappingProxyType({}),
    compiled: bool = True,
) -> Model:
    """Load a version, by its dumped evaluator if it has one: without scikit-learn.

    Raises ArtefactError as `scoring.scorer.load_version` does; DataError if probabilities
    are asked for where there are none. `position_name` and `label_names` are the job's.
    """
    contract.check_version(version.tag, version.contract_signature)
    evaluator, classes = _evaluator(version, contract, artefacts, compiled=compiled)
    target = contract.target
    if isinstance(target, Labels):
        words = tuple(label_names.get(label, label) for label in classes)
        labels = _Labels(target, prediction_name, position_name, tuple(classes), words, proba, evaluator)
        return Model(contract, version, labels.answer)
    if proba:
        raise DataError(f"{contract.name} gives a quantity, and has no probabilities: leave out --proba.")
    quantities = _Quantities(prediction_name, evaluator)
    return Model(contract, version, quantities.answer)


def _evaluator(
    version: Version, contract: Contract, artefacts: "ArtefactStore", *, compiled: bool
) -> tuple[Any, Sequence[str]]:
    names = contract.target.names if isinstance(contract.target, Labels) else ()
    if compiled and (dumped := artefacts.load_evaluator(version)) is not None:
        classes = (dumps.classes_of(dumped) or _sorted(names)) if names else ()
        if classes is not None:
            return dumps.load(dumped), classes
    from sepal.scoring.scorer import classifier_of, random_proof, regressor_of

    pipeline, proof = artefacts.load(version), random_proof if compiled else None
    if not names:
        return partial(_in_slices, regressor_of(version, contract, pipeline, proof), _slice(pipeline)), ()
    classify = classifier_of(version, contract, pipeline, proof)
    return _SlicedClassifier(classify, _slice(pipeline)), [*map(str, pipeline.classes_)]


def _sorted(names: Sequence[str]) -> tuple[str, ...] | None:
    """Labels in scikit-learn's order, for an evaluator that was dumped without it; None if it is not sure.

    A pipeline may have been fitted on numbers, which are sorted otherwise than their texts.
    """
    try:
        by_number = sorted(names, key=float)
    except ValueError:
        return tuple(sorted(names))
    return tuple(by_number) if by_number == sorted(names) else None


def _slice(pipeline: Any) -> int:  # noqa: ANN401 (any scikit-learn estimator)
    """How many rows a pipeline is asked for at once."""
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )

    _, last = pipeline.steps[-1] if hasattr(pipeline, "steps") else ("", pipeline)
    forests = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
    return max(_SLICE, _VALUES // last.n_features_in_) if isinstance(last, forests) else _SLICE


def _in_slices(answer: "Callable[[Matrix], Any]", size: int, rows: Matrix) -> Any:  # noqa: ANN401 (arrays of either kind)
    return np.concatenate([answer(rows[at : at + size]) for at in range(0, len(rows), size)])


@dataclass(frozen=True)
class _SlicedClassifier:
    """A classifier that is asked for a few rows at a time."""

    classify: "Classify"
    size: int

    def positions(self, rows: Matrix) -> "Positions":
        """As `Classify` says."""
        found: Positions = _in_slices(self.classify.positions, self.size, rows)
        return found

    def __call__(self, rows: Matrix) -> "tuple[Positions, Matrix]":
        """As `Classify` says."""
        parts = [self.classify(rows[at : at + self.size]) for at in range(0, len(rows), self.size)]
        positions, probabilities = (np.concatenate(part) for part in zip(*parts, strict=True))
        return positions, probabilities


@dataclass(frozen=True)
class _Labels:
    target: Labels
    name: str
    position_name: str | None
    classes: tuple[str, ...]
    words: tuple[str, ...]
    proba: bool
    classify: "Classify"

    def answer(self, rows: Matrix) -> Answers:
        probabilities: list[pl.Series] = []
        finite = None
        if self.proba:
            positions, matrix = self.classify(rows)
            for label in self.target.names:
                values = np.ascontiguousarray(matrix[:, self.classes.index(label)])
                probabilities.append(pl.Series(probability_name(label), values))
            if not np.isfinite(matrix).all():
                finite = np.asarray(np.isfinite(matrix).all(axis=1))
        else:
            positions = self.classify.positions(rows)
        codes = positions.astype(np.uint32)
        column = pl.Series(self.name, codes).cat.to(pl.Enum(self.words))
        positions_in_contract: list[pl.Series] = []
        if self.position_name is not None:
            places = np.array([self.target.names.index(label) for label in self.classes])
            positions_in_contract.append(pl.Series(self.position_name, places[positions]))

        def summary(kept: Flags | None) -> Summary:
            counts = np.bincount(codes if kept is None else codes[kept], minlength=len(self.classes))
            return {label: int(counts[self.classes.index(label)]) for label in self.target.names}

        return Answers([*positions_in_contract, column, *probabilities], finite, summary)


@dataclass(frozen=True)
class _Quantities:
    name: str
    regress: "Regress"

    def answer(self, rows: Matrix) -> Answers:
        quantities = np.ascontiguousarray(self.regress(rows), dtype=np.float64)
        finite = np.isfinite(quantities)

        def summary(kept: Flags | None) -> Summary:
            return Sketch.of(quantities if kept is None else quantities[kept])

        column = pl.Series(self.name, quantities)
        return Answers([column], None if finite.all() else finite, summary)


def check_example(model: Model) -> None:
    """Answer one row, so that a model that can't answer is found before the first file is read."""
    try:
        answers = model.answer(example_rows(model.contract))
    except Exception as error:
        raise ArtefactError(f"{model.version.tag} fails on its contract's example: {error}") from error
    if answers.finite is not None:
        raise ArtefactError(f"{model.version.tag} answers its contract's example with no number.")
