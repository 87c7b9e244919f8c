"""Compiled evaluators: scikit-learn's answers without its checks, used only once that is proven."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

import numpy as np
import pytest
from pydantic import Field
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, StandardScaler

from model_training.recipes.iris import log_reg
from model_training.tables import read_examples
from sepal.contracts import Contract, Features, Quantity, WallClock, feature
from sepal.contracts.iris import contract as iris
from sepal.contracts.ride_duration import contract as ride
from sepal.registry import Version
from sepal.scoring.dumps import dump, load
from sepal.scoring.evaluators import PlainClassifier, compiled_classifier, compiled_regressor
from sepal.scoring.linear import LinearClassifier, LinearRegressor, Positions
from sepal.scoring.matrix import Matrix
from sepal.scoring.proof import (
    AGREES,
    classifiers_agree,
    compiled_agrees,
    dumped_evaluator,
    proof_rows,
    random_rows,
    regressors_agree,
)
from sepal.scoring.scorer import scorer
from sepal.settings import Settings

ROWS = np.random.default_rng(5).uniform(0.1, 30, (300, 4))
LABELS = np.array(["a", "b", "c"])[np.arange(300) % 3]


def test_the_shipped_classifier_is_compiled_and_answers_a_million_random_rows_alike() -> None:
    data = read_examples(Settings().data_dir / "Iris.csv", iris)
    pipeline = log_reg(0).fit(data.X, data.y)
    compiled, plain = compiled_classifier(pipeline), PlainClassifier(pipeline)
    assert compiled is not None
    for seed in range(10):
        rows = random_rows(iris, 100_000, seed)
        (positions, probabilities), (expected, expected_probabilities) = compiled(rows), plain(rows)
        assert np.array_equal(positions, expected)
        assert np.abs(probabilities - expected_probabilities).max() <= 1e-12


@pytest.mark.parametrize("n_rows", [1, 2, 7, 300])
def test_few_rows_are_answered_like_many(n_rows: int) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    compiled = compiled_classifier(pipeline)
    assert compiled is not None
    assert classifiers_agree(PlainClassifier(pipeline), compiled, ROWS[:n_rows])


@pytest.mark.parametrize(
    "pipeline",
    [
        LogisticRegression(),
        make_pipeline(StandardScaler(with_mean=False), LogisticRegression(fit_intercept=False)),
        make_pipeline(StandardScaler(with_std=False), StandardScaler(), LogisticRegression(C=100)),
    ],
    ids=str,
)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_shape_of_a_linear_classifier_is_compiled(pipeline: Any, classes: int) -> None:  # noqa: ANN401
    pipeline.fit(ROWS, LABELS if classes == 3 else np.where(ROWS[:, 0] > 15, "a", "b"))
    compiled = compiled_classifier(pipeline)
    assert compiled is not None
    assert classifiers_agree(PlainClassifier(pipeline), compiled, ROWS)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_forest_is_compiled_and_answers_to_the_last_bit(classes: int) -> None:
    labels = LABELS if classes == 3 else np.where(ROWS[:, 0] > 15, "a", "b")
    pipeline = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=0)).fit(ROWS, labels)
    compiled, plain = compiled_classifier(pipeline), PlainClassifier(pipeline)
    assert compiled is not None
    rows = random_rows(iris, 10_000)
    for answer, expected in zip(compiled(rows), plain(rows), strict=True):
        assert np.array_equal(answer, expected)


@pytest.mark.parametrize("last", [LinearRegression(), Ridge(alpha=0.5)], ids=str)
def test_a_linear_regression_is_compiled(last: Any) -> None:  # noqa: ANN401
    pipeline = make_pipeline(StandardScaler(), last).fit(ROWS, ROWS @ [1.0, 2.0, 3.0, 4.0])
    compiled = compiled_regressor(pipeline)
    assert compiled is not None
    assert regressors_agree(pipeline.predict, compiled, ROWS)


@pytest.mark.parametrize(
    ("compile_pipeline", "pipeline", "target"),
    [
        (compiled_classifier, ExtraTreesClassifier(3), LABELS),
        (compiled_classifier, make_pipeline(PowerTransformer(), LogisticRegression()), LABELS),
        (compiled_regressor, make_pipeline(PowerTransformer(), LinearRegression()), ROWS[:, 0]),
        (compiled_regressor, LinearRegression(), ROWS[:, :2]),
    ],
)
def test_anything_else_is_left_to_scikit_learn(
    compile_pipeline: Callable[[Any], object],
    pipeline: Any,  # noqa: ANN401
    target: Any,  # noqa: ANN401
) -> None:
    assert compile_pipeline(pipeline.fit(ROWS, target)) is None


def test_an_evaluator_that_answers_otherwise_is_found_out(version: Version) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, LABELS)
    plain = PlainClassifier(pipeline)

    class OffByLittle(PlainClassifier):
        def __call__(self, rows: Matrix) -> tuple[Positions, Matrix]:
            positions, probabilities = super().__call__(rows)
            return positions, probabilities + 1e-11

    assert not classifiers_agree(plain, OffByLittle(pipeline), ROWS)
    assert not regressors_agree(lambda rows: rows[:, 0], lambda rows: rows[:, 0] * (1 + 1e-9), ROWS)
    del version


@pytest.mark.parametrize(
    ("recorded", "proven"), [({AGREES: True}, True), ({AGREES: False}, False), ({}, False)]
)
def test_only_what_agreed_on_the_rows_of_training_is_used(
    version: Version,
    recorded: dict[str, bool],
    proven: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(
        ROWS,
        np.array(iris.target.names)[np.arange(300) % 3],  # type: ignore[union-attr]
    )
    score = scorer(replace(version, details=recorded), iris, pipeline)
    assert ("not proven" in caplog.text) is not proven
    assert np.allclose(score(ROWS)[:, 2:], pipeline.predict_proba(ROWS), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("expected", "found", "agree"),
    [
        ([np.inf, 1.0], [np.inf, 2.0], False),
        ([np.inf, 1.0], [np.inf, 1.0], True),
        ([np.inf, 1.0], [-np.inf, 1.0], False),
        ([np.inf, 1.0], [1e308, 1.0], False),
        ([1e308, 1.0], [np.inf, 1.0], False),
        ([1e300, 5.0], [1e300, 6.0], False),
        ([1e300, 5.0], [1e300, 5.0 + 1e-14], True),
        ([np.nan, 1.0], [np.nan, 1.0], False),
        ([1e6, 1e5, 1.0], [1e6, 1e5, 1.0 + 1e-9], True),  # what is left where large terms cancel out
        ([1e6, 1e5, 1.0], [1e6, 1e5, 1.0 + 1e-5], False),
    ],
)
def test_a_huge_quantity_does_not_hide_a_wrong_one(
    expected: list[float], found: list[float], agree: bool
) -> None:
    answers = [np.array(expected), np.array(found)]
    assert regressors_agree(lambda rows: answers[0], lambda rows: answers[1], ROWS) is agree


class Ranges(Features):
    """Ranges of every shape."""

    over: Annotated[float, Field(gt=0)] = feature(example=1.0, description="")
    under: Annotated[float, Field(lt=-3)] = feature(example=-4.0, description="")
    endless: Annotated[float, Field(ge=0, le=np.inf)] = feature(example=1.0, description="")
    wide: Annotated[float, Field(ge=-1.7e308, le=1.7e308)] = feature(example=1.0, description="")
    between: Annotated[float, Field(gt=0, lt=1e-300)] = feature(example=5e-301, description="")
    whole: Annotated[int, Field(gt=0, lt=4)] = feature(example=1, description="")
    seen: Annotated[WallClock, Field(gt=datetime(2019, 1, 1), lt=datetime(2019, 1, 1, 0, 0, 3))] = feature(
        example="2019-01-01T00:00:01", description=""
    )


RANGES = Contract("ranges", Ranges, Quantity(column="y", unit="m", example=1.0))


def test_random_rows_are_of_all_that_ranges_with_open_and_endless_ends_hold() -> None:
    rows = random_rows(RANGES, 2000)
    assert len(RANGES.decode(rows.astype("<f8").tobytes())) == 2000
    positions = {column.name: at for at, column in enumerate(RANGES.columns)}
    for name in ("over", "under", "endless", "wide", "between"):
        assert len(np.unique(rows[:, positions[name]])) > 1500, name
    assert set(rows[:, positions["whole"]]) == {1.0, 2.0, 3.0}
    assert len(np.unique(rows[:, positions["seen"]])) == 2
    assert np.ptp(rows[:, positions["wide"]] / 1e308) > 3.3


def test_a_logarithm_of_what_must_be_over_zero_is_proven() -> None:
    class Sizes(Features):
        """Sizes."""

        size: Annotated[float, Field(gt=0)] = feature(example=1.0, description="")
        depth: Annotated[float, Field(ge=0, le=np.inf)] = feature(example=1.0, description="")

    contract = Contract("sizes", Sizes, RANGES.target)
    rows = random_rows(contract, 200)
    columns = ColumnTransformer([("log", FunctionTransformer(np.log), [0]), ("rest", "passthrough", [1])])
    pipeline = make_pipeline(columns, LinearRegression()).fit(rows, rows.sum(axis=1))
    assert compiled_agrees(contract, pipeline, proof_rows(contract, pipeline, 5000)) is True


def test_random_rows_are_rows_that_the_contract_takes() -> None:
    for contract in (iris, ride):
        rows = random_rows(contract, 500)
        assert len(contract.decode(rows.astype("<f8").tobytes())) == 500
    assert np.isnan(random_rows(ride, 500)[:, 3]).any()


def test_a_pipeline_without_an_evaluator_has_nothing_to_agree() -> None:
    assert compiled_agrees(iris, ExtraTreesClassifier(3).fit(ROWS, LABELS), ROWS) is None


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_dumped_evaluator_answers_to_the_last_bit_and_needs_no_scikit_learn(classes: int) -> None:
    labels = LABELS if classes == 3 else np.where(ROWS[:, 0] > 15, "a", "b")
    last = LinearRegression() if classes == 1 else LogisticRegression()
    pipeline = make_pipeline(StandardScaler(), last).fit(ROWS, ROWS[:, 1] if classes == 1 else labels)
    evaluator = (compiled_regressor if classes == 1 else compiled_classifier)(pipeline)
    assert isinstance(evaluator, LinearClassifier | LinearRegressor)
    dumped = dump(evaluator)
    assert dumped is not None
    again = load(dumped)
    for answer, expected in zip(again(ROWS), evaluator(ROWS), strict=True):
        assert np.array_equal(answer, expected)
    alone = "import sys, sepal.scoring.dumps; sys.exit('sklearn' in sys.modules or 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", alone], check=False).returncode == 0


def test_only_a_proven_linear_evaluator_is_dumped() -> None:
    labels = np.array(iris.target.names)[np.arange(300) % 3]  # type: ignore[union-attr]
    assert dumped_evaluator(iris, LogisticRegression().fit(ROWS, labels)) is not None
    assert dumped_evaluator(iris, RandomForestClassifier(2).fit(ROWS, labels)) is None
    assert dumped_evaluator(iris, ExtraTreesClassifier(2).fit(ROWS, labels)) is None
