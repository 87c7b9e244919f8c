"""Columnwise evaluators: what scikit-learn answers of encoders and splines, without its wide matrix."""

import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)

from model_training.recipes.ride_duration import linear, read_rides
from sepal.contracts.ride_duration import contract as ride
from sepal.scoring.columnwise import (
    Columnwise,
    Lookup,
    Polynomials,
    Term,
    TransformedRegressor,
    columnwise_of,
)
from sepal.scoring.dumps import dump, load
from sepal.scoring.evaluators import PlainClassifier, compiled_classifier, compiled_regressor
from sepal.scoring.linear import LinearRegressor
from sepal.scoring.matrix import Matrix
from sepal.scoring.proof import (
    classifiers_agree,
    compiled_agrees,
    dumped_evaluator,
    proof_rows,
    random_rows,
    regressors_agree,
)

NUMBERS, CODES, LARGE, HALVES, MISSING, MISSING_CODES = range(6)
"""Columns: of numbers, of small and of large whole numbers, of halves; and with missing values."""


def rows_of(n_rows: int, seed: int, *, wild: bool) -> Matrix:
    """Rows to train on; or wild ones, with values that training never saw."""
    random = np.random.default_rng(seed)
    spread = 3.0 if wild else 1.0
    rows = np.column_stack(
        [
            random.normal(2.0, 3.0 * spread, n_rows),
            random.integers(0, 6 * spread, n_rows),
            random.integers(-3, 4 * spread, n_rows) * 1e7,
            random.integers(-4, 4 * spread, n_rows) / 2,
            random.uniform(-spread, spread, n_rows),
            random.integers(-spread + 1, 4 * spread, n_rows),
        ]
    )
    rows[:: 5 if wild else 9, [MISSING, MISSING_CODES]] = np.nan
    return rows


TRAIN = rows_of(150, 0, wild=False)


def shares(rows: Matrix) -> Matrix:
    """A function of rows that is none of numpy's."""
    return np.column_stack((rows[:, 0] / (1 + rows[:, 0] ** 2), rows.sum(axis=1)))


encoders = st.builds(
    OneHotEncoder,
    handle_unknown=st.sampled_from(["ignore", "infrequent_if_exist", "warn", "error"]),
    drop=st.sampled_from([None, "first", "if_binary"]),
    min_frequency=st.sampled_from([None, None, 20, 0.2]),
    max_categories=st.sampled_from([None, None, 3]),
    sparse_output=st.booleans(),
)
splines = st.builds(
    SplineTransformer,
    n_knots=st.integers(5, 8),
    degree=st.integers(1, 4),
    knots=st.sampled_from(["uniform", "quantile"]),
    extrapolation=st.sampled_from(["constant", "linear", "continue", "periodic", "error"]),
    include_bias=st.booleans(),
    sparse_output=st.booleans(),
    handle_missing=st.sampled_from(["zeros", "zeros", "error"]),
)
imputers = st.builds(
    SimpleImputer,
    strategy=st.sampled_from(["mean", "median", "most_frequent", "constant"]),
    add_indicator=st.booleans(),
)
scalers = st.one_of(
    st.builds(StandardScaler, with_mean=st.booleans(), with_std=st.booleans()),
    st.builds(MinMaxScaler, feature_range=st.sampled_from([(0, 1), (-2, 5)]), clip=st.booleans()),
    st.builds(RobustScaler, with_centering=st.booleans(), with_scaling=st.booleans()),
    st.builds(MaxAbsScaler, clip=st.booleans()),
)
functions = st.sampled_from(
    [
        FunctionTransformer(np.abs),
        FunctionTransformer(np.tanh, validate=True),
        FunctionTransformer(shares),
        FunctionTransformer(np.clip, kw_args={"a_min": -1, "a_max": 1}),
        FunctionTransformer(),
    ]
)
after_encoding = st.sampled_from([StandardScaler(with_mean=False), MaxAbsScaler()])
crossed = FunctionTransformer(np.dot, kw_args={"b": np.array([[100.0], [1.0]])})


def chosen(*columns: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.sampled_from(columns), min_size=1, max_size=3, unique=True)


transformers = st.one_of(
    st.tuples(encoders, chosen(CODES, LARGE, HALVES, MISSING_CODES)),
    st.tuples(st.builds(make_pipeline, encoders, after_encoding), chosen(CODES, HALVES)),
    st.tuples(st.builds(make_pipeline, imputers, encoders), chosen(CODES, MISSING_CODES)),
    st.tuples(st.builds(make_pipeline, st.just(crossed), encoders), st.just([CODES, HALVES])),
    st.tuples(splines, chosen(NUMBERS, MISSING)),
    st.tuples(st.builds(make_pipeline, scalers, splines), chosen(NUMBERS, MISSING)),
    st.tuples(st.builds(make_pipeline, functions, imputers, scalers), chosen(NUMBERS, MISSING)),
    st.tuples(scalers | functions | st.just("passthrough"), st.sampled_from([[0], slice(0, 2), [1, 3]])),
    st.tuples(st.just("drop"), chosen(LARGE)),
)
lasts = st.sampled_from(
    [
        Ridge(0.5),
        LinearRegression(),
        TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.square),
        TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
        LogisticRegression(),
    ]
)


def fitted(steps: list[BaseEstimator], classes: int = 3) -> Pipeline:
    quantities = 5 + np.sin(TRAIN[:, NUMBERS]) + TRAIN[:, CODES]
    is_classifier = isinstance(steps[-1], LogisticRegression)
    target = np.digitize(quantities, [6.0, 8.0][: classes - 1]) if is_classifier else quantities
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(*steps).fit(TRAIN, target)


def agree(pipeline: Pipeline, rows: Matrix) -> bool:
    """Whether the compiled evaluator answers rows alike, or refuses them as scikit-learn does."""
    plain: Any = PlainClassifier(pipeline) if hasattr(pipeline, "classes_") else pipeline.predict
    compiled: Any = (compiled_classifier if hasattr(pipeline, "classes_") else compiled_regressor)(pipeline)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            plain(rows)
        except ValueError:
            with pytest.raises(ValueError, match=r"missing|unknown|inf|NaN"):
                compiled(rows)
            return True
        alike = classifiers_agree if hasattr(pipeline, "classes_") else regressors_agree
        return alike(plain, compiled, rows)


@settings(max_examples=40, deadline=None)
@given(st.lists(transformers, min_size=1, max_size=4), lasts, st.integers(2, 3), st.integers(0, 999))
def test_any_known_columns_are_answered_alike(
    parts: list[tuple[Any, Any]], last: BaseEstimator, classes: int, seed: int
) -> None:
    named = [(str(at), *part) for at, part in enumerate(parts)]
    try:
        pipeline = fitted([ColumnTransformer(named), last], classes)
    except (ValueError, ZeroDivisionError):  # scikit-learn can't fit this one
        return
    if (compiled_classifier(pipeline) or compiled_regressor(pipeline)) is None:
        return
    note(str(pipeline))
    assert agree(pipeline, TRAIN)
    assert agree(pipeline, rows_of(200, seed, wild=True))
    for row in rows_of(10, seed, wild=True):
        assert agree(pipeline, row[np.newaxis])


@pytest.fixture(scope="module")
def ride_pipeline() -> Pipeline:
    data = read_rides(Path("data/synthetic_rides.csv"), ride)
    return linear(0).fit(data.X, data.y)


def test_the_shipped_rides_are_compiled_and_a_million_random_rows_answered_alike(
    ride_pipeline: Pipeline,
) -> None:
    compiled = compiled_regressor(ride_pipeline)
    assert isinstance(compiled, TransformedRegressor)
    for seed in range(10):
        rows = random_rows(ride, 100_000, seed)
        assert regressors_agree(ride_pipeline.predict, compiled, rows)
    rows = proof_rows(ride, ride_pipeline, 100)
    assert np.allclose(compiled(rows), ride_pipeline.predict(rows), rtol=1e-12, atol=0)
    for row in rows[-20:]:
        assert compiled(row[np.newaxis]) == pytest.approx(ride_pipeline.predict(row[np.newaxis]), rel=1e-12)


def test_the_proof_tries_each_category_and_edge_what_is_beyond_and_what_is_missing() -> None:
    zones = [1, 7, 7, 200, 264]
    rows = np.column_stack((zones, zones, np.linspace(2, 20, 5), np.linspace(2e9, 2.1e9, 5)))
    one_hot = OneHotEncoder(handle_unknown="ignore")
    spline = SplineTransformer(3, extrapolation="constant", handle_missing="zeros")
    columns = [("zone", one_hot, [1]), ("miles", spline, [2]), ("time", spline, [3])]
    pipeline = make_pipeline(ColumnTransformer(columns), Ridge()).fit(rows, rows[:, 2])
    tried = proof_rows(ride, pipeline, n_random=10)
    assert {1, 2, 6, 7, 8, 199, 200, 201, 263, 264, 265} <= set(tried[:, 1])
    miles = {0.0, np.nextafter(2, 0), 2.0, np.nextafter(2, 3), 11.0, 20.0, np.nextafter(20, 21), 500.0}
    assert miles <= set(tried[:, 2])
    assert {1230768000.0, 2e9 - 1, 2e9, 2.05e9, 2.1e9, 2.1e9 + 1} <= set(tried[:, 3])
    assert np.isnan(proof_rows(ride, pipeline, n_random=100)[:, 3]).any()
    assert len(ride.decode(tried.astype("<f8").tobytes())) == len(tried), "the contract takes them"


def _off(value: Matrix, place: Any) -> Matrix:  # noqa: ANN401 (an index)
    changed = value.copy()
    changed[place] += 1e-6
    return changed


def shown(case: object) -> str:
    """A case's name, the same in each process: a function's own repr tells its address."""
    return re.sub(r"<function (\S+) at 0x\w+>", r"\1", str(case))


@pytest.mark.parametrize(
    ("kind", "field", "place"),
    [
        (Lookup, "values", (0, 5)),
        (Lookup, "values", (0, -2)),
        (Lookup, "categories", 3),
        (Polynomials, "coefficients", (-1, 0, 1)),
        (Polynomials, "coefficients", (-1, 0, -1)),
        (Polynomials, "coefficients", (0, 0, 40)),
    ],
)
def test_a_single_number_that_is_off_by_little_is_found_out(
    ride_pipeline: Pipeline,
    kind: type,
    field: str,
    place: Any,  # noqa: ANN401
) -> None:
    found = columnwise_of(compiled_regressor(ride_pipeline))
    assert found is not None
    terms = list(found.terms)
    [at] = [
        at for at, term in enumerate(terms) if len(term.operations) == 1 and isinstance(term.parts[0], kind)
    ]
    first, *others = terms[at].parts
    terms[at] = Term(
        terms[at].operations, (replace(first, **{field: _off(getattr(first, field), place)}), *others)
    )
    off = TransformedRegressor(
        LinearRegressor(Columnwise(tuple(terms), found.intercept)), (("square", None),)
    )
    assert not regressors_agree(ride_pipeline.predict, off, proof_rows(ride, ride_pipeline))


def of_all_rows(rows: Matrix) -> Matrix:
    return rows - rows.mean(axis=0)


@pytest.mark.parametrize(
    "step",
    [
        FunctionTransformer(of_all_rows),
        StandardScaler(),  # a missing time is refused
    ],
    ids=shown,
)
def test_what_answers_otherwise_or_refuses_rows_is_not_proven(step: BaseEstimator) -> None:
    rows = random_rows(ride, 500)[:, :4]
    rows[:, 3] = np.nan_to_num(rows[:, 3], nan=2e9)
    pipeline = make_pipeline(ColumnTransformer([("one", step, [0, 3])]), LinearRegression())
    pipeline.fit(rows, rows[:, 0])
    assert compiled_regressor(pipeline) is not None
    assert compiled_agrees(ride, pipeline, proof_rows(ride, pipeline)) is False
    assert dumped_evaluator(ride, pipeline) is None


@pytest.mark.parametrize(
    "columns",
    [
        [("one", PowerTransformer(), [NUMBERS])],
        [("one", OrdinalEncoder(), [CODES])],
        [("one", make_pipeline(OneHotEncoder(sparse_output=False), PowerTransformer()), [CODES])],
        [("one", make_pipeline(OneHotEncoder(sparse_output=False), MinMaxScaler(clip=True)), [CODES])],
        [("one", SimpleImputer(missing_values=-1), [CODES])],
        [  # nothing is left of the first, which refuses rows all the same
            ("one", OneHotEncoder(drop="first", min_frequency=200), [CODES]),
            ("two", StandardScaler(), [NUMBERS]),
        ],
        [("one", SplineTransformer(degree=1, extrapolation="linear"), [NUMBERS])],
        [
            (
                "one",
                SplineTransformer(sparse_output=True, extrapolation="continue", handle_missing="zeros"),
                [0, 4],
            )
        ],
        [("one", FunctionTransformer(lambda values: values.reshape(-1, 1)), NUMBERS)],
        [("one", Scaler := type("Scaler", (StandardScaler,), {})(), [NUMBERS])],
    ],
    ids=shown,
)
def test_a_pipeline_with_anything_else_is_left_to_scikit_learn(columns: list[Any]) -> None:
    for last in (Ridge(), LogisticRegression()):
        pipeline = fitted([ColumnTransformer(columns), last])
        assert (compiled_classifier if isinstance(last, LogisticRegression) else compiled_regressor)(
            pipeline
        ) is None


def test_columns_are_found_by_slice_mask_and_what_remains() -> None:
    mask = [False, True, False, False, False, False]
    columns = [
        ("some", StandardScaler(), slice(2, 4)),
        ("masked", OneHotEncoder(handle_unknown="ignore"), mask),
        ("dropped", "drop", [NUMBERS]),
    ]
    rest = make_pipeline(
        SimpleImputer(), ColumnTransformer([("in it", StandardScaler(), [1])], remainder="passthrough")
    )
    transformer = ColumnTransformer(columns, remainder=rest, transformer_weights={"some": 0.5})
    pipeline = fitted([transformer, StandardScaler(), Ridge()])
    assert compiled_regressor(pipeline) is not None
    assert agree(pipeline, rows_of(500, 1, wild=True))


@pytest.mark.parametrize("step", [FunctionTransformer(shares), FunctionTransformer(np.tanh)], ids=shown)
@pytest.mark.parametrize("last", [LogisticRegression(), Ridge()], ids=shown)
def test_a_dump_answers_to_the_last_bit_if_it_is_arrays_and_names_alone(
    step: BaseEstimator, last: BaseEstimator
) -> None:
    columns = [
        ("function", step, [NUMBERS]),
        ("flags", SimpleImputer(add_indicator=True), [MISSING]),
        ("one hot", OneHotEncoder(handle_unknown="ignore"), [LARGE, MISSING_CODES]),
        ("spline", SplineTransformer(handle_missing="zeros"), [NUMBERS, MISSING]),
    ]
    pipeline = fitted([ColumnTransformer(columns), last])
    compiled: Any = (
        compiled_classifier(pipeline) if hasattr(pipeline, "classes_") else compiled_regressor(pipeline)
    )
    dumped = dump(compiled)
    if step.func is shares:
        assert dumped is None
        return
    assert dumped is not None
    rows = rows_of(500, 1, wild=True)
    again: Any = load(dumped)
    assert np.array_equal(again(rows)[1], compiled(rows)[1])


def test_a_dump_of_the_shipped_rides_needs_no_scikit_learn(ride_pipeline: Pipeline, tmp_path: Path) -> None:
    dumped = dumped_evaluator(ride, ride_pipeline)
    assert dumped is not None
    rows = random_rows(ride, 1000)
    (tmp_path / "evaluator.npz").write_bytes(dumped)
    np.save(tmp_path / "rows.npy", rows)
    code = (
        "import sys, numpy as np; from sepal.scoring.dumps import load;"
        "np.save('answers.npy', load(open('evaluator.npz', 'rb').read())(np.load('rows.npy')));"
        "sys.exit('sklearn' in sys.modules or 'scipy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0
    assert regressors_agree(ride_pipeline.predict, lambda _rows: np.load(tmp_path / "answers.npy"), rows)


@pytest.mark.parametrize("output", ["pandas", "polars", "default"])
def test_steps_that_give_frames_are_compiled_as_well_and_stay_as_they_are(output: str) -> None:
    codes = TRAIN[:, [CODES, LARGE]]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    pipeline = make_pipeline(encoder, Ridge()).set_output(transform=output)
    pipeline.fit(codes, TRAIN[:, NUMBERS])
    compiled = compiled_regressor(pipeline)
    assert compiled is not None
    assert not np.isnan(pipeline.predict(codes)).any()
    assert regressors_agree(pipeline.predict, compiled, codes)
    assert type(pipeline[0].transform(codes)).__module__.partition(".")[0] == {"default": "numpy"}.get(
        output, output
    )
