"""From a fitted pipeline with a ColumnTransformer to its columnwise evaluator; nothing is guessed.

What an encoder makes of a category, scikit-learn's own encoder is asked, once for each.
"""

import warnings
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from math import factorial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from sepal.scoring.columnwise import (
    Columnwise,
    Lookup,
    Operation,
    Part,
    Polynomials,
    Term,
    TransformedRegressor,
    Weights,
)
from sepal.scoring.linear import LinearClassifier, LinearRegressor
from sepal.scoring.matrix import Matrix


class _UnknownError(Exception):
    """There is something in the pipeline that is left to scikit-learn."""


def columnwise_classifier(pipeline: Any) -> LinearClassifier | None:  # noqa: ANN401 (any scikit-learn estimator)
    """The same of known transformers and a logistic regression; None for any other pipeline."""
    *before, last = _flat(pipeline)
    if type(last) is not LogisticRegression:
        return None
    try:
        return LinearClassifier(_columnwise(before, last))
    except _UnknownError:
        return None


def columnwise_regressor(pipeline: Any) -> LinearRegressor | TransformedRegressor | None:  # noqa: ANN401
    """What known transformers and a linear regression predict; None for any other pipeline."""
    *before, last = _flat(pipeline)
    back: tuple[Operation, ...] | None = None
    try:
        if type(last) is TransformedTargetRegressor:
            back = _inverse(last.transformer_)
            *more, last = _flat(last.regressor_)
            before += more
        if type(last) not in (LinearRegression, Ridge) or last.coef_.ndim != 1:
            return None
        regressor = LinearRegressor(_columnwise(before, last))
    except _UnknownError:
        return None
    return regressor if back is None else TransformedRegressor(regressor, back)


def _flat(pipeline: Any) -> list[Any]:  # noqa: ANN401
    """The steps one after the other, those of pipelines within it too."""
    if type(pipeline) is not Pipeline:
        return [] if pipeline is None or isinstance(pipeline, str) else [pipeline]
    return [step for _, nested in pipeline.steps for step in _flat(nested)]


def _columnwise(before: list[Any], last: Any) -> Columnwise:  # noqa: ANN401
    if not before or (n_columns := getattr(before[0], "n_features_in_", None)) is None:
        raise _UnknownError
    weights = np.atleast_2d(np.asarray(last.coef_, dtype=np.float64)).T
    terms, constant = _terms(before, (("select", np.arange(n_columns)),), weights)
    intercept = np.broadcast_to(np.asarray(last.intercept_, dtype=np.float64), weights.shape[1:])
    return Columnwise(tuple(terms), intercept + constant)


def _terms(
    steps: list[Any], operations: tuple[Operation, ...], weights: Matrix
) -> tuple[list[Term], Matrix]:
    """What columns add after some steps under weights, (n_step_outputs, n_outputs), and a constant."""
    for at, step in enumerate(steps):
        if (more := _operations(step)) is None:
            weights, constant = _folded(steps[at + 1 :], weights)
            if type(step) is ColumnTransformer:
                terms, more_constant = _chosen(step, operations, weights)
                return terms, constant + more_constant
            return [Term(operations, tuple(_parts(step, weights)))], constant
        operations += more
    return [Term(operations, (Weights(np.ascontiguousarray(weights.T)),))], np.zeros(weights.shape[1])


def _chosen(
    transformer: ColumnTransformer, operations: tuple[Operation, ...], weights: Matrix
) -> tuple[list[Term], Matrix]:
    """The terms of each of a column transformer's transformers."""
    terms, constant = [], np.zeros(weights.shape[1])
    for name, step, columns in transformer.transformers_:
        place = transformer.output_indices_[name]
        if place.start == place.stop:
            if step != "drop" and len(_positions(transformer, columns)):
                raise _UnknownError  # it adds nothing, but may refuse rows
            continue
        share = weights[place] * (transformer.transformer_weights or {}).get(name, 1.0)
        more, more_constant = _terms(
            _flat(step), _select(operations, _positions(transformer, columns)), share
        )
        terms += more
        constant += more_constant
    return terms, constant


def _select(operations: tuple[Operation, ...], positions: NDArray[np.intp]) -> tuple[Operation, ...]:
    """Operations, and then columns of what they give."""
    *before, (name, operand) = operations
    if name == "select" and operand is not None:
        return (*before, ("select", operand[positions]))
    return (*operations, ("select", positions))


def _positions(transformer: ColumnTransformer, columns: Any) -> NDArray[np.intp]:  # noqa: ANN401 (what it takes)
    if isinstance(columns, slice) and not isinstance(columns.start or columns.stop, str):
        return np.arange(transformer.n_features_in_)[columns]
    chosen = np.asarray(columns)
    if chosen.ndim != 1:  # one column, which its transformer takes as values and not as rows of one
        raise _UnknownError
    if chosen.dtype.kind in "UO":
        names = list(getattr(transformer, "feature_names_in_", ()))
        if not all(name in names for name in chosen):
            raise _UnknownError
        return np.array([names.index(name) for name in chosen], dtype=np.intp)
    positions: NDArray[np.intp] = np.arange(transformer.n_features_in_)[chosen]
    return positions


def _folded(steps: list[Any], weights: Matrix) -> tuple[Matrix, Matrix]:
    """Scalers after an encoder, taken into the weights, and the constant that they add."""
    constant = np.zeros(weights.shape[1])
    for step in reversed(steps):
        for name, operand in reversed(_known(step)):
            if name in ("divide", "multiply") and operand is not None:
                weights = getattr(np, str(name))(weights, operand[:, np.newaxis])
            elif name in ("subtract", "add") and operand is not None:
                constant += (operand if name == "add" else -operand) @ weights
            else:
                raise _UnknownError
    return weights, constant


def _operations(step: Any) -> tuple[Operation, ...] | None:  # noqa: ANN401
    """What a step does to numbers, as operations; None if it does anything else."""
    kind = type(step)
    if kind is StandardScaler:
        return _some((step.with_mean, "subtract", step.mean_), (step.with_std, "divide", step.scale_))
    if kind is RobustScaler:
        center, scale = step.with_centering, step.with_scaling
        return _some((center, "subtract", step.center_), (scale, "divide", step.scale_))
    if kind in (MinMaxScaler, MaxAbsScaler):
        minmax = kind is MinMaxScaler
        low, high = step.feature_range if minmax else (-1.0, 1.0)
        return _some(
            (True, "multiply" if minmax else "divide", step.scale_),
            (minmax, "add", getattr(step, "min_", None)),
            (step.clip, "maximum", np.full(len(step.scale_), float(low))),
            (step.clip, "minimum", np.full(len(step.scale_), float(high))),
        )
    if kind is SimpleImputer:
        return _imputing(step)
    return _function(step) if kind is FunctionTransformer else None


def _known(step: Any) -> tuple[Operation, ...]:  # noqa: ANN401
    if (operations := _operations(step)) is None:
        raise _UnknownError
    return operations


def _some(*operations: tuple[bool, str, Any]) -> tuple[Operation, ...]:
    return tuple((name, operand) for wanted, name, operand in operations if wanted)


def _imputing(step: SimpleImputer) -> tuple[Operation, ...] | None:
    statistics = np.asarray(step.statistics_)
    missing = step.missing_values
    if not (isinstance(missing, float) and missing != missing) or statistics.dtype.kind not in "fiu":
        return None
    if np.isnan(statistics).any():  # of a column without values, which it leaves out
        return None
    flagged = step.indicator_.features_ if step.add_indicator else np.empty(0, dtype=np.intp)
    substitutes = np.concatenate((statistics, np.zeros(len(flagged))))
    return _some((step.add_indicator, "flag_missing", flagged), (True, "impute", substitutes))


def _function(step: FunctionTransformer) -> tuple[Operation, ...]:
    checks: tuple[Operation, ...] = (("refuse", np.array([True])),) if step.validate else ()
    if step.func is None:
        return checks
    if step.func is np.dot and (step.kw_args or {}).keys() == {"b"} and np.ndim(step.kw_args["b"]) == 2:
        combine: Operation = ("combine", np.asarray(step.kw_args["b"], dtype=np.float64))
        return (*checks, combine, ("refuse", np.array([False])))
    return (*checks, _called(step.func, step.kw_args), ("refuse", np.array([False])))


def _called(function: Any, arguments: dict[str, Any] | None) -> Operation:  # noqa: ANN401 (any function of rows)
    """A function of rows as an operation: by its name if it is one of numpy's of each number."""
    name = getattr(function, "__name__", "")
    of_each_number = isinstance(function, np.ufunc) and function.nin == function.nout == 1
    if of_each_number and not arguments and getattr(np, name, None) is function:
        return name, None
    return partial(function, **(arguments or {})), None


def _inverse(transformer: Any) -> tuple[Operation, ...]:  # noqa: ANN401
    """From what a regression of a transformed target gives to the target."""
    if type(transformer) is not FunctionTransformer:
        return ((transformer.inverse_transform, None),)
    function = transformer.inverse_func
    return () if function is None else (_called(function, transformer.inv_kw_args),)


def _parts(step: Any, weights: Matrix) -> Iterator[Part]:  # noqa: ANN401
    if type(step) is OneHotEncoder:
        return _lookups(step, weights)
    if type(step) is SplineTransformer:
        return _polynomials(step, weights)
    raise _UnknownError


def _lookups(encoder: OneHotEncoder, weights: Matrix) -> Iterator[Part]:
    """What each column's categories add, by the encoder's answers to one after the other."""
    if any(categories.dtype.kind not in "fiu" for categories in encoder.categories_):
        raise _UnknownError
    asked = deepcopy(encoder).set_params(sparse_output=True).set_output(transform="default")
    known = [categories.astype(np.float64) for categories in encoder.categories_]
    row = np.array([categories[0] for categories in known])
    ends = np.cumsum([0, *encoder._n_features_outs])
    for column, categories in enumerate(known):
        present = np.sort(categories[~np.isnan(categories)])
        if not len(present):
            raise _UnknownError
        added = []
        for values in (present, present[-1:] + 1.0, np.array([np.nan])):
            rows = np.repeat(row[np.newaxis], len(values), axis=0)
            rows[:, column] = values
            encoded = _encoded(asked, rows)
            place = slice(ends[column], ends[column + 1])
            refused = np.full((len(values), weights.shape[1]), np.nan)
            added.append(refused if encoded is None else encoded[:, place] @ weights[place])
        yield Lookup(column, present, np.ascontiguousarray(np.vstack(added).T))


def _encoded(encoder: OneHotEncoder, rows: Matrix) -> Any:  # noqa: ANN401 (a sparse matrix)
    """An encoder's sparse columns of rows; None if it refuses them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return encoder.transform(rows).tocsc()
        except ValueError:
            return None


def _polynomials(splines: SplineTransformer, weights: Matrix) -> Iterator[Part]:
    """Each column's splines under their weights: one polynomial between each two knots."""
    degree, n_features, n_outputs = splines.degree, len(splines.bsplines_), weights.shape[1]
    if degree < (2 if splines.extrapolation == "linear" else 1) or _depends_on_other_rows(splines):
        raise _UnknownError
    shares = weights.reshape(n_features, -1, n_outputs)
    if not splines.include_bias:  # without the last of each
        shares = np.concatenate((shares, np.zeros((n_features, 1, n_outputs))), axis=1)
    for column, (spline, share) in enumerate(zip(splines.bsplines_, shares, strict=True)):
        summed = BSpline(spline.t, spline.c @ share, degree)
        knots = spline.t[degree : len(spline.t) - degree]
        edges = np.concatenate((knots[:-1][knots[:-1] < knots[1:]], knots[-1:]))
        if len(edges) < 2:
            raise _UnknownError
        powers = [summed(edges[:-1], nu=power).T / factorial(power) for power in range(degree, -1, -1)]
        between = np.array(powers)  # Taylor's series at each edge
        below, above = (_outside(splines, summed, between, edges, at) for at in (0, -1))
        missing = np.full_like(below, 0.0 if splines.handle_missing == "zeros" else np.nan)
        after = edges[-2] if splines.extrapolation in ("continue", "periodic") else edges[-1]
        yield Polynomials(
            column,
            edges,
            origins=np.array([edges[0], *edges[:-1], after, 0.0]),
            coefficients=np.ascontiguousarray(np.concatenate((below, between, above, missing), axis=2)),
            period=float(edges[-1] - edges[0]) if splines.extrapolation == "periodic" else None,
        )


def _depends_on_other_rows(splines: SplineTransformer) -> bool:
    """Whether scikit-learn takes a missing value of a second column for the smallest of the other rows."""
    several = splines.sparse_output and splines.handle_missing == "zeros" and len(splines.bsplines_) > 1
    return several and splines.extrapolation not in ("constant", "linear")


def _outside(
    splines: SplineTransformer, summed: BSpline, between: Matrix, edges: Matrix, at: int
) -> Matrix:
    """The polynomial below the first edge (`at` 0) or above the last (-1), (degree + 1, n_outputs, 1)."""
    if splines.extrapolation in ("continue", "periodic"):
        return between[:, :, [at]]
    polynomial: Matrix = np.zeros_like(between[:, :, [at]])
    if splines.extrapolation == "error":
        polynomial[:] = np.nan
        return polynomial
    polynomial[-1, :, 0] = summed(edges[at])
    if splines.extrapolation == "linear":
        polynomial[-2, :, 0] = summed(edges[at], nu=1)
    return polynomial
