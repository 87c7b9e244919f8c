"""From an MLflow model's pipeline to one that takes Sepal's matrix, tried out on rows of the contract."""

import pickle
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from model_training.mlflow.columns import columns_for, vocabulary, wanted_columns
from model_training.tables import Floats
from sepal.contracts import Contract, Labels
from sepal.errors import ArtefactError, SepalError
from sepal.scoring.adapters import Column, Form, NamedClassifier, NamedRegressor
from sepal.scoring.matrix import example_rows
from sepal.scoring.proof import random_rows

SAMPLE_ROWS = 2_000
"""Random rows that a model must answer before it is registered."""

_ALONE = 20
"""Rows that are also answered one by one."""

WIRE = "sepal_contract"
"""In an MLflow model's metadata, the signature of the contract whose matrix it takes."""


def adapted(
    contract: Contract,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    signature: Any,  # noqa: ANN401 (MLflow's, or None)
    metadata: Mapping[str, Any],
    *,
    given: Mapping[str, str],
    labels: Mapping[str, str],
) -> Any:  # noqa: ANN401
    """A pipeline that answers the contract's matrix as the model answers its own input.

    It is the model itself where that takes the very matrix, else an adapter around it.
    ArtefactError says what does not fit the contract.
    """
    columns, by_name = _columns(contract, pipeline, signature, metadata, given)
    names = _labels(contract, pipeline, labels)
    known = vocabulary(pipeline)
    forms: Sequence[Form] = ("records",) if known else ("frame", "matrix") if by_name else ("matrix",)
    rows = _sample(contract)
    found = _around(pipeline, columns, forms[0], names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            answers = output(contract, found, rows)
        except SepalError:
            raise
        except Exception as error:
            raise ArtefactError(f"The model fails on rows that {contract.name} takes: {error}") from error
    if forms[1:] and all(column.kind in ("number", "integer") for column in columns):
        quicker = _around(_unnamed(pipeline), columns, "matrix", names)
        found = quicker if _answers_alike(contract, quicker, rows, answers) else found
    _check_answers(contract, found, rows, answers)
    _check_texts(contract, columns, known, rows)
    return _bare(found, contract)


def _answers_alike(contract: Contract, pipeline: Any, rows: Floats, expected: Floats) -> bool:  # noqa: ANN401
    """Whether a pipeline gives these very answers, and no warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return np.array_equal(output(contract, pipeline, rows), expected)
        except Exception:  # noqa: BLE001 (whatever it is, the other form answers)
            return False


def output(contract: Contract, pipeline: Any, rows: Floats) -> Floats:  # noqa: ANN401 (any scikit-learn estimator)
    """The probabilities of labels, (n_rows, n_labels), or the quantities, (n_rows,)."""
    answers = (
        pipeline.predict_proba(rows) if isinstance(contract.target, Labels) else pipeline.predict(rows)
    )
    return np.asarray(answers, dtype=np.float64)


def _columns(
    contract: Contract,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    signature: Any,  # noqa: ANN401 (MLflow's, or None)
    metadata: Mapping[str, Any],
    given: Mapping[str, str],
) -> tuple[tuple[Column, ...], bool]:
    """The columns that the model takes, in its order, and whether it knows them by name."""
    if metadata.get(WIRE) == contract.signature:  # a model of Sepal's own training
        return columns_for(contract, len(contract.columns), {}, {}), False
    wanted = wanted_columns(signature, pipeline)
    if wanted is None:
        raise ArtefactError(
            "The model has no signature, and its pipeline does not remember what it was fitted on. "
            "Log it with signature=mlflow.models.infer_signature(rows)."
        )
    columns = columns_for(contract, wanted, given, vocabulary(pipeline))
    fitted = {str(name): at for at, name in enumerate(getattr(pipeline, "feature_names_in_", ()))}
    ordered = sorted(columns, key=lambda column: fitted.get(column.name, len(fitted)))
    return tuple(ordered), not isinstance(wanted, int)


def _labels(contract: Contract, pipeline: Any, given: Mapping[str, str]) -> tuple[str, ...] | None:  # noqa: ANN401
    """The contract's label for each of the pipeline's classes; None for a quantity."""
    known = [str(label) for label in getattr(pipeline, "classes_", ())]
    if not isinstance(contract.target, Labels):
        if known or not hasattr(pipeline, "predict"):
            raise ArtefactError(
                f"The model gives {', '.join(known) or 'nothing'}, and {contract.name} a quantity."
            )
        return None
    names = tuple(given.get(label, label) for label in known)
    if sorted(names) != sorted(contract.target.names) or not hasattr(pipeline, "predict_proba"):
        raise ArtefactError(
            f"The model gives {', '.join(names) or 'no labels'}; {contract.name} asks for "
            f"{', '.join(contract.target.names)}, each with a probability. If they only have other names, "
            f"say so, such as --label '{known[0] if known else 0}={contract.target.names[0]}'."
        )
    return names


def _sample(contract: Contract) -> Floats:
    return np.vstack((example_rows(contract), random_rows(contract, SAMPLE_ROWS)))


def _around(pipeline: Any, columns: tuple[Column, ...], form: Form, labels: tuple[str, ...] | None) -> Any:  # noqa: ANN401
    if labels is None:
        return NamedRegressor(pipeline, columns, form)
    return NamedClassifier(pipeline, columns, form, labels)


def _unnamed(pipeline: Any) -> Any:  # noqa: ANN401 (any scikit-learn estimator)
    """A copy that has forgotten the names of the columns it was fitted on, and so takes a matrix."""
    copy = pickle.loads(pickle.dumps(pipeline))  # noqa: S301 (its own)
    _forget_names(copy, set())
    return copy


def _forget_names(thing: Any, seen: set[int]) -> None:  # noqa: ANN401 (whatever an estimator holds)
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, BaseEstimator):
        vars(thing).pop("feature_names_in_", None)
        thing = vars(thing)
    if isinstance(thing, dict):
        thing = thing.values()
    elif not isinstance(thing, list | tuple):
        return
    for part in thing:
        _forget_names(part, seen)


def _check_answers(contract: Contract, pipeline: Any, rows: Floats, answers: Floats) -> None:  # noqa: ANN401
    """Refuse answers that are none, and a model that answers a row by its company."""
    width = len(contract.target.names) if isinstance(contract.target, Labels) else 1
    if answers.size != len(rows) * width or not np.isfinite(answers).all():
        raise ArtefactError(
            f"The model gives answers of shape {answers.shape} to {len(rows):,} rows that {contract.name} "
            f"takes, {int((~np.isfinite(answers)).sum()):,} of them no numbers."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = np.vstack([output(contract, pipeline, row[np.newaxis]) for row in rows[:_ALONE]])
        backwards = output(contract, pipeline, rows[::-1])[::-1]
    together = answers[:_ALONE].reshape(alone.shape)
    if not (
        np.allclose(alone, together, rtol=1e-9, atol=1e-12)
        and np.allclose(backwards, answers, rtol=1e-9, atol=1e-12)
    ):
        raise ArtefactError(
            "The model answers a row differently by which others are with it. Sepal scores rows of many "
            "requests together: log a model whose answers are each row's own."
        )


def _check_texts(
    contract: Contract, columns: Sequence[Column], known: Mapping[str, frozenset[str]], rows: Floats
) -> None:
    """Refuse texts that a DictVectorizer has never seen: it would leave them out, and say nothing."""
    more = np.vstack((rows, random_rows(contract, 20_000, seed=1)))
    for column in columns:
        texts = known.get(column.name)
        made = set(column.values(more)) if texts and column.kind == "text" else set()
        if texts and not made & texts:
            raise ArtefactError(
                f"The model knows {column.name!r} as texts such as {min(texts)!r}, and none of "
                f"{len(more):,} random rows of {contract.name} gives one of them: they give "
                f"{next(iter(made))!r}. Say how it is made with --column."
            )


def _bare(pipeline: Any, contract: Contract) -> Any:  # noqa: ANN401
    """The model without an adapter that would change nothing."""
    in_order = [column.source.position for column in pipeline.columns if column.kind != "text"]
    if pipeline.form != "matrix" or in_order != list(range(len(contract.columns))):
        return pipeline
    if isinstance(pipeline, NamedClassifier):
        own: npt.NDArray[Any] = np.asarray(pipeline.pipeline.classes_)
        return pipeline.pipeline if [str(label) for label in own] == list(pipeline.labels) else pipeline
    return pipeline.pipeline
