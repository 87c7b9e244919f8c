"""Exports: files that answer as the version does, and none where one does not."""

import importlib.util
import pickle
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from model_training.exports import onnx_format
from model_training.exports.export import Format, export, training_rows
from model_training.exports.parity import Answers, answers_of, parity
from model_training.recipe import Recipe
from model_training.tables import TrainingData
from sepal.contracts import Contract, Quantity
from sepal.errors import ArtefactError, ConfigurationError, StorageError
from sepal.registry import Registry, Version
from sepal.scoring.adapters import Column, NamedRegressor, Source
from sepal.scoring.proof import random_rows
from tests.drafts import draft_of
from tests.model_training.conftest import DATA

has_onnx = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "skl2onnx"))
needs_onnx = pytest.mark.skipif(not has_onnx, reason="the extra onnx is not installed")
needs_skops = pytest.mark.skipif(
    importlib.util.find_spec("skops") is None, reason="the extra skops is not installed"
)

Export = Callable[..., Path]


@pytest.fixture
def iris(contracts: Mapping[str, Contract]) -> Contract:
    return contracts["iris"]


@pytest.fixture
def petals(iris: Contract) -> Contract:
    """A quantity from the features of iris."""
    return replace(iris, name="petals", target=Quantity("area", "cm²", 1.0))


@pytest.fixture
def flowers(iris: Contract, recipes: Mapping[str, Recipe]) -> TrainingData:
    return recipes["iris"].read(DATA / "Iris.csv", iris)


@pytest.fixture
def exported(registry: Registry, iris: Contract, tmp_path: Path) -> Export:
    def exported(pipeline: object, form: Format, contract: Contract = iris, **more: Any) -> Path:  # noqa: ANN401
        version = registry.register(draft_of(pipeline, model=contract.name))
        output = more.pop("output", tmp_path / f"exported.{form}")
        export(
            *(version, contract, registry.artefacts.load(version), form, output),
            more.pop("rows", None),
            more.pop("trusted", ()),
            more.pop("say", lambda line: None),
        )
        return output

    return exported


@needs_onnx
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(RandomForestClassifier(100, random_state=0)),
        make_pipeline(StandardScaler(), RandomForestClassifier(30, max_depth=3, random_state=0)),
        ExtraTreesClassifier(30, random_state=0),
    ],
    ids=["logistic regression", "forest", "scaled forest", "extra trees"],
)
def test_an_onnx_graph_answers_as_the_version_by_onnxruntime_alone(
    exported: Export, flowers: TrainingData, iris: Contract, estimator: BaseEstimator
) -> None:
    import onnx
    import onnxruntime

    pipeline = estimator.fit(flowers.X, flowers.y)
    told: list[str] = []
    path = exported(pipeline, "onnx", rows=flowers.X, say=told.append)
    assert "on 150 rows" in told[0]
    assert "on 100,000 rows" in told[1]
    rows = random_rows(iris, 1000, seed=7)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    labels, probabilities = session.run(["label", "probabilities"], {"rows": rows})
    assert labels.tolist() == pipeline.predict(rows).tolist()
    assert probabilities.dtype == np.float64
    assert np.abs(probabilities - pipeline.predict_proba(rows)).max() <= 1e-9
    said = {entry.key: entry.value for entry in onnx.load(str(path)).metadata_props}
    assert said["sepal_version"] == "iris:log_reg_1"
    assert said["sepal_contract"] == iris.signature


@needs_onnx
@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(StandardScaler(), LinearRegression()),
        RandomForestRegressor(30, random_state=0),
        RandomForestRegressor(2, min_samples_leaf=150),
    ],
    ids=["linear", "forest", "trees of one leaf"],
)
def test_quantities_are_alike_too(
    exported: Export, flowers: TrainingData, petals: Contract, estimator: BaseEstimator
) -> None:
    area = 1.0 + flowers.X[:, 2] * flowers.X[:, 3]
    assert exported(estimator.fit(flowers.X, area), "onnx", petals).stat().st_size > 0


@needs_onnx
def test_a_forest_that_knows_missing_values_is_alike_on_them(
    flowers: TrainingData, petals: Contract
) -> None:
    rows = np.where(np.random.default_rng(0).random(flowers.X.shape) < 0.2, np.nan, flowers.X)
    forest = RandomForestRegressor(20, random_state=0).fit(rows, flowers.X[:, 2])
    content = onnx_format.dumps(version_of(petals), petals, forest)
    found = parity(answers_of(petals, forest), onnx_format.answers_of(content, petals), rows)
    assert found.holds


def version_of(contract: Contract) -> Version:
    from sepal.registry.records import made_of

    return made_of(draft_of(None, model=contract.name), 1, "0" * 64)


@needs_onnx
def test_what_does_not_hold_in_double_precision_fails_and_leaves_no_file(
    exported: Export, flowers: TrainingData, tmp_path: Path
) -> None:
    # Differences of large numbers: the order of the operations, which is ONNX's own, shows.
    noise = np.random.default_rng(0).normal(5.0, 3e-5, flowers.X.shape)
    pipeline = GaussianNB(var_smoothing=0).fit(noise, flowers.y)
    pipeline.var_[:] = pipeline.var_.mean(axis=0)
    told = r"iris:log_reg_1 as onnx does not answer as the version does: .*a largest difference of \d"
    with pytest.raises(ArtefactError, match=told):
        exported(pipeline, "onnx", rows=flowers.X)
    # skl2onnx gives boosted trees to an operator whose answers are float32.
    boosted = GradientBoostingClassifier(n_estimators=5, random_state=0).fit(flowers.X, flowers.y)
    with pytest.raises(ArtefactError, match="iris:log_reg_2 as onnx is refused by onnxruntime"):
        exported(boosted, "onnx")
    assert not list(tmp_path.glob("*exported*"))


@needs_onnx
def test_a_step_without_a_converter_is_told(
    exported: Export, contracts: Mapping[str, Contract], recipes: Mapping[str, Recipe], tmp_path: Path
) -> None:
    contract, recipe = contracts["ride_duration"], recipes["ride_duration"]
    data = recipe.read(DATA / recipe.default_data, contract)
    pipeline = recipe.pipeline("linear", 0).fit(data.X, data.y)
    with pytest.raises(ArtefactError, match=r"can't be converted to ONNX: .*Export it as pickle or skops"):
        exported(pipeline, "onnx", contract)
    assert exported(pipeline, "pickle", contract, rows=data.X).is_file()


@needs_onnx
def test_an_adapter_is_no_step_of_onnx(exported: Export, flowers: TrainingData, petals: Contract) -> None:
    columns = (Column("length", "number", (Source(2, "number"),)),)
    model = NamedRegressor(LinearRegression().fit(flowers.X[:, 2:3], flowers.X[:, 3]), columns, "matrix")
    with pytest.raises(ArtefactError, match="takes columns by name"):
        exported(model, "onnx", petals)


def test_a_pickle_is_the_pipeline(exported: Export, flowers: TrainingData) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(flowers.X, flowers.y)
    loaded = pickle.loads(exported(pipeline, "pickle").read_bytes())  # noqa: S301
    assert (loaded.predict(flowers.X) == pipeline.predict(flowers.X)).all()


@needs_skops
def test_a_skops_file_holds_only_what_is_trusted_here(
    exported: Export, flowers: TrainingData, tmp_path: Path
) -> None:
    tree = "sklearn.tree._tree.Tree"
    forest = RandomForestClassifier(5, random_state=0).fit(flowers.X, flowers.y)
    with pytest.raises(ArtefactError, match=f"SEPAL_TRUSTED_TYPES={tree}"):
        exported(forest, "skops")
    assert not (tmp_path / "exported.skops").exists()
    assert exported(forest, "skops", trusted=(tree,)).is_file()


def test_a_file_that_is_there_is_left_alone(
    exported: Export, flowers: TrainingData, tmp_path: Path
) -> None:
    there = tmp_path / "there.pkl"
    there.write_text("mine")
    pipeline = LogisticRegression(max_iter=500).fit(flowers.X, flowers.y)
    with pytest.raises(StorageError, match="is there already"):
        exported(pipeline, "pickle", output=there)
    with pytest.raises(StorageError, match="can't be written"):
        exported(pipeline, "pickle", output=tmp_path / "nowhere" / "x.pkl")
    assert there.read_text() == "mine"


@pytest.mark.parametrize("missing", ["onnx", "skl2onnx", "onnxruntime"])
@needs_onnx
def test_without_onnx_the_extra_is_named(
    exported: Export, flowers: TrainingData, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(flowers.X, flowers.y)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigurationError, match=r"pip install 'sepal\[onnx\]'"):
        exported(pipeline, "onnx")


def test_the_rows_of_training_are_known_by_their_fingerprint(
    iris: Contract, recipes: Mapping[str, Recipe], flowers: TrainingData
) -> None:
    from model_training.pipelines.train import fingerprint

    version = replace(version_of(iris), data_fingerprint=fingerprint(flowers))
    rows = training_rows(recipes["iris"], iris, version, DATA / "Iris.csv")
    assert rows is not None
    assert len(rows) == 150
    assert training_rows(recipes["iris"], iris, version_of(iris), DATA / "Iris.csv") is None
    assert training_rows(recipes["iris"], iris, version, DATA / "no.csv") is None
    assert training_rows(None, iris, version, DATA / "Iris.csv") is None


@pytest.mark.parametrize(
    ("theirs", "holds"), [([1.0, 2.0], True), ([1.0 + 5e-10, 2.0], True), ([1.0, 2.1], False)]
)
def test_quantities_are_measured_by_themselves_and_what_is_no_number_is_not_alike(
    theirs: list[float], holds: bool
) -> None:
    def giving(numbers: list[float]) -> Callable[[Any], Answers]:
        return lambda rows: Answers(np.array(numbers))

    ours = giving([1.0, 2.0])
    assert parity(ours, giving(theirs), np.zeros((2, 1))).holds is holds
    assert not parity(ours, giving([1.0, float("nan")]), np.zeros((2, 1))).holds
    assert not parity(giving([float("nan")]), giving([float("nan")]), np.zeros((1, 1))).holds
