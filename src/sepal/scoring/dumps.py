"""Evaluators as files of numpy's: arrays of numbers and names, nothing that can be run.

What is loaded from them answers without scikit-learn.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sepal.scoring.columnwise import (
    Columnwise,
    Lookup,
    Polynomials,
    Term,
    TransformedRegressor,
    Weights,
    columnwise_of,
)
from sepal.scoring.linear import Linear, LinearClassifier, LinearRegressor

Evaluator: TypeAlias = LinearClassifier | LinearRegressor | TransformedRegressor

_KINDS: dict[str, type[LinearClassifier] | type[LinearRegressor]] = {
    "classifier": LinearClassifier,
    "regressor": LinearRegressor,
}

_CLASSES = {
    kind.__name__: kind
    for kind in (
        LinearClassifier,
        LinearRegressor,
        TransformedRegressor,
        Columnwise,
        Term,
        Weights,
        Lookup,
        Polynomials,
    )
}


def dump(evaluator: object, classes: Sequence[str] | None = None) -> bytes | None:
    """An evaluator as a file; None if it is not made of arrays and names alone.

    `classes` are the labels in the order of the pipeline's `classes_`, which is that of
    the evaluator's answers.
    """
    named = {} if classes is None else {"classes": np.array(json.dumps([*classes]))}
    if columnwise_of(evaluator) is not None:
        return _dump_columnwise(evaluator, named)
    linear = getattr(evaluator, "linear", None)
    if not isinstance(linear, Linear):
        return None
    file = BytesIO()
    np.savez(
        file,
        kind=np.array("classifier" if isinstance(evaluator, LinearClassifier) else "regressor"),
        operations=np.array([name for name, _ in linear.operations], dtype="U16"),
        operands=np.array([operand for _, operand in linear.operations]),
        weights=linear.weights,
        intercept=linear.intercept,
        **named,  # type: ignore[arg-type]
    )
    return file.getvalue()


def load(dumped: bytes) -> Evaluator:
    """The inverse of `dump`."""
    with np.load(BytesIO(dumped), allow_pickle=False) as arrays:
        if "columnwise" in arrays:
            loaded: Evaluator = _built(json.loads(str(arrays["columnwise"])), arrays)
            return loaded
        operations = zip(map(str, arrays["operations"]), arrays["operands"], strict=True)
        linear = Linear(tuple(operations), arrays["weights"], arrays["intercept"])
        return _KINDS[str(arrays["kind"])](linear)


def classes_of(dumped: bytes) -> tuple[str, ...] | None:
    """The labels in the order of the evaluator's answers; None if the file does not say."""
    with np.load(BytesIO(dumped), allow_pickle=False) as arrays:
        return tuple(json.loads(str(arrays["classes"]))) if "classes" in arrays else None


def _dump_columnwise(evaluator: object, more: Mapping[str, NDArray[Any]]) -> bytes | None:
    arrays: list[NDArray[Any]] = []
    try:
        described = _described(evaluator, arrays)
    except TypeError:  # a function that is known by no name
        return None
    file = BytesIO()
    named = {**more, **{f"array_{at}": array for at, array in enumerate(arrays)}}
    np.savez(file, columnwise=np.array(json.dumps(described)), **named)  # type: ignore[arg-type]
    return file.getvalue()


def _described(value: object, arrays: list[NDArray[Any]]) -> Any:  # noqa: ANN401 (JSON)
    """A value as JSON, with its arrays set apart; TypeError for a function."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if is_dataclass(value):
        parts = {field.name: _described(getattr(value, field.name), arrays) for field in fields(value)}
        return {"class": type(value).__name__, "fields": parts}
    if isinstance(value, tuple):
        return [_described(each, arrays) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{value!r} has no place in a file of arrays.")


def _built(described: Any, arrays: Any) -> Any:  # noqa: ANN401 (the inverse of `_described`)
    if isinstance(described, list):
        return tuple(_built(each, arrays) for each in described)
    if not isinstance(described, dict):
        return described
    if "array" in described:
        return arrays[f"array_{described['array']}"]
    parts = {name: _built(each, arrays) for name, each in described["fields"].items()}
    return _CLASSES[described["class"]](**parts)
