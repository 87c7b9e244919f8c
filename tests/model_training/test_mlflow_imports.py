"""Models of MLflow as files: what fits a contract is adapted to it, what does not is refused by name."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from model_training.mlflow.artefact import fetched
from model_training.mlflow.imports import Options, draft_of
from model_training.mlflow.quiet import mlflow, without_password
from model_training.recipe import Recipe
from sepal.contracts import Contract
from sepal.errors import ArtefactError, ConfigurationError, NotFoundError
from sepal.registry import Draft, Registry
from sepal.scoring.adapters import NamedClassifier, NamedRegressor
from sepal.scoring.scorer import load_version
from sepal.settings import Settings
from tests.mlflow_server import needs_mlflow
from tests.model_training.conftest import DATA

pytestmark = needs_mlflow

IRIS = pd.read_csv(DATA / "Iris.csv")
LENGTHS = ["SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm"]
RIDES = pd.read_csv(
    DATA / "synthetic_rides.csv", parse_dates=["tpep_pickup_datetime", "tpep_dropoff_datetime"]
)
MINUTES = (RIDES.tpep_dropoff_datetime - RIDES.tpep_pickup_datetime).dt.total_seconds() / 60

Save = Callable[..., str]
Import = Callable[..., Draft]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save a model as MLflow does, its signature inferred from `rows`; the folder."""

    def save(pipeline: object, rows: Any = None, answers: Any = None, **more: Any) -> str:  # noqa: ANN401
        folder = tmp_path / "saved"
        with mlflow() as module:
            signature = None if rows is None else module.models.infer_signature(rows, answers)
            # Requirements that are given need not be found out, which takes MLflow seconds.
            form = {"serialization_format": "cloudpickle", "pip_requirements": ["scikit-learn"], **more}
            module.sklearn.save_model(pipeline, str(folder), signature=signature, **form)
        return str(folder)

    return save


@pytest.fixture
def imported(contracts: Mapping[str, Contract], recipes: Mapping[str, Recipe]) -> Import:
    def imported(source: str, model: str = "iris", **more: Any) -> Draft:  # noqa: ANN401
        recipe = more.pop("recipe", recipes[model])
        data = more.pop("data", DATA / recipes[model].default_data)
        trusted = more.pop("trusted", ())
        with fetched(source) as artefact:
            pipeline = artefact.load(trusted)
            return draft_of(
                *(artefact, pipeline, contracts[model], recipe, data, None),
                Options("so", **more),
                lambda step: None,
            )

    return imported


def iris_model(**changes: Any) -> Any:  # noqa: ANN401
    lengths = IRIS[LENGTHS].rename(columns=changes)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(lengths, IRIS.Species), lengths


def test_a_model_on_the_contracts_own_columns_needs_no_adapter(save: Save, imported: Import) -> None:
    pipeline, lengths = iris_model()
    draft = imported(save(pipeline, lengths, IRIS.Species))
    assert (draft.algorithm, draft.state) == ("logistic_regression", "passed")
    assert draft.details["mlflow"]["takes"] == "matrix"
    assert not isinstance(draft.pipeline, NamedClassifier)
    assert draft.evaluator is not None, "it is scored by the compiled evaluator too"
    expected = pipeline.predict_proba(lengths)
    assert (draft.pipeline.predict_proba(lengths.to_numpy()) == expected).all()


def test_columns_of_an_alias_and_in_another_order_are_put_right(save: Save, imported: Import) -> None:
    lengths = IRIS[LENGTHS[::-1]].rename(columns={"PetalWidthCm": "petal width (cm)"})
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(lengths, IRIS.Species)
    draft = imported(save(pipeline, lengths, IRIS.Species))
    assert isinstance(draft.pipeline, NamedClassifier)
    assert draft.pipeline.form == "matrix"
    found = draft.pipeline.predict_proba(IRIS[LENGTHS].to_numpy())
    assert (found == pipeline.predict_proba(lengths)).all()


def test_a_data_frame_by_names_texts_and_times(save: Save, imported: Import, tmp_path: Path) -> None:
    columns = RIDES[["PULocationID", "trip_distance", "tpep_pickup_datetime"]].copy()
    columns["PULocationID"] = columns.PULocationID.astype(str)
    features = ColumnTransformer(
        [
            ("zone", OneHotEncoder(handle_unknown="ignore"), ["PULocationID"]),
            ("distance", "passthrough", ["trip_distance"]),
        ]
    )
    pipeline = make_pipeline(features, Ridge()).fit(columns, MINUTES)
    draft = imported(save(pipeline, columns, MINUTES), "ride_duration")
    assert draft.details["mlflow"]["columns"] == {
        "PULocationID": "text",
        "trip_distance": "number",
        "tpep_pickup_datetime": "time",
    }
    assert draft.details["mlflow"]["needs"] == ["pandas"]
    rows = RIDES[["PULocationID", "DOLocationID", "trip_distance"]].assign(time=np.nan).to_numpy()
    assert (draft.pipeline.predict(rows[:500]) == pipeline.predict(columns[:500])).all()


@pytest.mark.parametrize("form", ["pickle", "skops"])
def test_without_a_signature_the_vocabulary_says_what_is_text(
    save: Save, imported: Import, form: str, registry: Registry, contracts: Mapping[str, Contract]
) -> None:
    rows = RIDES[["PULocationID", "trip_distance"]].astype({"PULocationID": str}).to_dict(orient="records")
    pipeline = make_pipeline(DictVectorizer(), LinearRegression()).fit(rows, MINUTES)
    more = {} if form == "pickle" else {"serialization_format": "skops"}
    draft = imported(save(pipeline, **more), "ride_duration")
    assert draft.details["mlflow"]["signature"] is False
    assert isinstance(draft.pipeline, NamedRegressor)
    matrix = RIDES[["PULocationID", "DOLocationID", "trip_distance"]].assign(time=np.nan).to_numpy()
    assert (draft.pipeline.predict(matrix[:500]) == pipeline.predict(rows[:500])).all()
    loaded = load_version(registry.register(draft), contracts["ride_duration"], registry.artefacts)
    assert (loaded.score(matrix[:500])[:, 1] == pipeline.predict(rows[:500])).all()


def test_an_adapter_is_stored_by_skops_too(save: Save, imported: Import, tmp_path: Path) -> None:
    rows = [{"PULocationID": str(1 + at % 265), "trip_distance": float(at)} for at in range(600)]
    pipeline = make_pipeline(DictVectorizer(), Ridge()).fit(rows, np.arange(600.0))
    draft = imported(save(pipeline), "ride_duration")
    with Registry.open(Settings(data_dir=tmp_path, artefact_format="skops")) as registry:
        version = registry.register(draft)
        matrix = np.array([[5.0, 6.0, 7.0, np.nan]])
        assert (registry.artefacts.load(version).predict(matrix) == draft.pipeline.predict(matrix)).all()


def test_numbers_for_labels_are_named_by_the_operator(save: Save, imported: Import) -> None:
    species = sorted(set(IRIS.Species))
    pipeline = LogisticRegression(max_iter=500).fit(
        IRIS[LENGTHS].to_numpy(), IRIS.Species.map(species.index)
    )
    folder = save(pipeline)
    with pytest.raises(ArtefactError, match=r"gives 0, 1, 2; iris asks for .*--label '0=Iris-setosa'"):
        imported(folder)
    draft = imported(folder, labels={str(at): name for at, name in enumerate(species)})
    assert draft.metrics["test"]["accuracy"] > 0.9


def test_a_wrong_signature_is_refused_with_every_column_that_is_wrong(save: Save, imported: Import) -> None:
    pipeline, lengths = iris_model(SepalWidthCm="width", PetalWidthCm="SepalLengthMm")
    with pytest.raises(ArtefactError, match=r"not iris's: it takes 'width'.*it takes 'SepalLengthMm'"):
        imported(save(pipeline, lengths, IRIS.Species))


def test_a_column_of_another_type_is_refused_by_name(save: Save, imported: Import) -> None:
    rows = IRIS[LENGTHS].assign(PetalWidthCm="wide")
    pipeline = make_pipeline(OneHotEncoder(handle_unknown="ignore"), LogisticRegression())
    folder = save(pipeline.fit(rows, IRIS.Species), rows, IRIS.Species)
    with pytest.raises(ArtefactError, match=r"takes 'PetalWidthCm' as string.*of the kind number"):
        imported(folder)


def test_too_many_columns_without_names_are_refused(save: Save, imported: Import) -> None:
    pipeline = LogisticRegression(max_iter=500).fit(IRIS[LENGTHS[:3]].to_numpy(), IRIS.Species)
    with pytest.raises(ArtefactError, match="takes 3 columns without names, and iris has 4"):
        imported(save(pipeline))


def test_another_flavour_is_refused(tmp_path: Path, save: Save) -> None:
    folder = Path(save(iris_model()[0]))
    made = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(made.replace("  sklearn:\n", "  xgboost:\n"))
    refused = pytest.raises(ArtefactError, match=r"of the flavour xgboost\. Sepal serves scikit-learn's")
    with refused, fetched(str(folder)):
        pass


def test_another_release_of_scikit_learn_is_refused_before_anything_is_loaded(save: Save) -> None:
    folder = Path(save(iris_model()[0]))
    made = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(made.replace("sklearn_version: ", "sklearn_version: 0."))
    (folder / "model.pkl").write_bytes(b"not even a pickle")
    with fetched(str(folder)) as artefact, pytest.raises(ArtefactError, match=r"made by scikit-learn 0\."):
        artefact.load(())


def test_a_skops_model_is_loaded_by_what_is_trusted_here_and_not_by_what_it_says(
    save: Save, imported: Import
) -> None:
    tree = "sklearn.tree._tree.Tree"
    forest = RandomForestClassifier(5, random_state=0).fit(IRIS[LENGTHS].to_numpy(), IRIS.Species)
    folder = save(forest, serialization_format="skops", skops_trusted_types=[tree])
    with pytest.raises(ArtefactError, match=f"SEPAL_TRUSTED_TYPES={tree}"):
        imported(folder)
    assert imported(folder, trusted=(tree,)).algorithm == "random_forest_classifier"


def test_a_model_that_looks_at_other_rows_is_refused(save: Save, imported: Import) -> None:
    by_company = make_pipeline(FunctionTransformer(np.sort, kw_args={"axis": 0}), LogisticRegression())
    folder = save(by_company.fit(IRIS[LENGTHS].to_numpy(), IRIS.Species))
    with pytest.raises(ArtefactError, match="answers a row differently by which others are with it"):
        imported(folder)


def test_a_model_that_fails_on_a_missing_value_is_refused(save: Save, imported: Import) -> None:
    rows = np.random.default_rng(0).uniform(1, 9, (50, 4))
    folder = save(LinearRegression().fit(rows, rows[:, 2]), rows, rows[:, 2])
    with pytest.raises(ArtefactError, match="fails on rows that ride_duration takes: Input X contains NaN"):
        imported(folder, "ride_duration")


def test_texts_that_the_model_never_saw_are_refused_rather_than_left_out(
    save: Save, imported: Import
) -> None:
    rows = [{"PULocationID": f"{1 + at % 265}.0", "trip_distance": float(at)} for at in range(600)]
    folder = save(make_pipeline(DictVectorizer(), Ridge()).fit(rows, np.arange(600.0)))
    with pytest.raises(ArtefactError, match=r"knows 'PULocationID' as texts such as '1\.0'"):
        imported(folder, "ride_duration")
    draft = imported(folder, "ride_duration", columns={"PULocationID": "{PULocationID}.0"})
    assert draft.pipeline.columns[0].kind == "text"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"zone": "{PULocationID}"}, "--column names zone, which the model does not take"),
        ({"PULocationID": "{Zone}"}, "can't be read"),
        ({"PULocationID": "zone"}, "has no feature in braces"),
        ({"trip_distance": "{trip_distance} miles"}, "makes a text, and the model takes double"),
    ],
)
def test_a_template_that_makes_no_sense_is_refused(
    save: Save, imported: Import, columns: dict[str, str], message: str
) -> None:
    rows = [{"PULocationID": str(1 + at % 265), "trip_distance": float(at)} for at in range(600)]
    folder = save(make_pipeline(DictVectorizer(), Ridge()).fit(rows, np.arange(600.0)))
    with pytest.raises(ConfigurationError, match=message):
        imported(folder, "ride_duration", columns=columns)


def test_one_that_can_not_be_judged_waits_to_be_promoted_by_hand(
    save: Save, imported: Import, registry: Registry, tmp_path: Path
) -> None:
    pipeline, lengths = iris_model()
    folder = save(pipeline, lengths, IRIS.Species)
    draft = imported(folder, data=tmp_path / "no.csv")
    assert (draft.state, draft.metrics) == ("unjudged", {})
    assert registry.register(draft).aliases == ()
    assert registry.register(imported(folder)).aliases == ("champion",)


def test_it_is_judged_on_a_file_if_one_is_given(save: Save, imported: Import) -> None:
    pipeline, lengths = iris_model()
    draft = imported(save(pipeline, lengths, IRIS.Species), test_data=DATA / "Iris.csv")
    assert (draft.train_rows, draft.test_rows) == (0, 150)


@pytest.mark.parametrize(
    ("source", "message"),
    [("nowhere", "There is no folder nowhere"), ("{empty}", "has no file MLmodel")],
)
def test_what_is_no_model_is_told(tmp_path: Path, source: str, message: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(NotFoundError, match=message), fetched(source.format(empty=empty)):
        pass
    shutil.rmtree(empty)


def test_a_password_in_a_uri_is_not_kept() -> None:
    assert without_password("https://me:secret@host:5000/x") == "https://host:5000/x"
    assert without_password("models:/iris@champion") == "models:/iris@champion"
