"""Labels that are numbers: a pipeline that was fitted on numbers has them in another order than text."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from model_training.mlflow.adapting import adapted
from model_training.pipelines.evaluate import confusion, losses, metrics
from model_training.pipelines.findings import Findings
from model_training.pipelines.report.labels import calibration, label_scores
from model_training.pipelines.train import train
from model_training.recipe import Recipe
from model_training.recipes.iris import log_reg
from model_training.tables import TrainingData, read_examples
from sepal.bulk.answers import load_model
from sepal.contracts import Contract, Labels
from sepal.contracts.iris import contract as iris
from sepal.errors import ConfigurationError
from sepal.registry import Draft, Registry
from sepal.scoring.dumps import classes_of, dump
from sepal.scoring.evaluators import compiled_classifier
from sepal.scoring.proof import AGREES, dumped_evaluator
from sepal.scoring.scorer import scorer
from tests.drafts import draft_of

ROWS = np.round(np.random.default_rng(3).uniform(1, 9, (300, 4)))
NUMBERS = (("8", "9", "10"), ("-2", "-1", "0"))


def contract_of(names: tuple[str, ...]) -> Contract:
    return Contract("iris", iris.features, Labels(names, column="Species", example=names[0]))


def fitted(names: tuple[str, ...], pipeline: Pipeline | None = None) -> Pipeline:
    made = pipeline or make_pipeline(StandardScaler(), LogisticRegression())
    numbers = np.array([*map(int, names)])
    return made.fit(ROWS, numbers[np.digitize(ROWS[:, 0] + ROWS[:, 1] / 3, [4, 8])])


def draft(contract: Contract, pipeline: Pipeline, evaluator: bytes | None) -> Draft:
    signature = contract.signature
    details = {AGREES: True}
    return draft_of(pipeline, contract_signature=signature, evaluator=evaluator, details=details)


@pytest.mark.parametrize("names", [*NUMBERS, ("b", "a", "c"), ("0", "1", "2")], ids=" ".join)
@pytest.mark.parametrize("dumped", ["with its classes", "before there were any", "not at all"])
def test_bulk_scoring_answers_as_the_gateway_does(
    names: tuple[str, ...], dumped: str, registry: Registry
) -> None:
    contract = contract_of(names)
    pipeline = fitted(("8", "9", "10") if names[0] == "b" else names)
    if names[0] == "b":
        pipeline.fit(ROWS, np.array(names)[np.digitize(ROWS[:, 0], [4, 7])])
    evaluator = {
        "with its classes": lambda: dumped_evaluator(contract, pipeline),
        "before there were any": lambda: dump(compiled_classifier(pipeline)),
        "not at all": lambda: None,
    }[dumped]()
    assert (evaluator is None) is (dumped == "not at all")
    version = registry.register(draft(contract, pipeline, evaluator))
    expected = scorer(version, contract, pipeline)(ROWS)
    model = load_model(version, contract, registry.artefacts, proba=True, position_name="position")
    position, label, *probabilities = model.answer(ROWS).columns
    assert (position.to_numpy() == expected[:, 1]).all()
    assert label.cast(pl.String).to_list() == [names[int(code)] for code in expected[:, 1]]
    assert [column.name for column in probabilities] == [f"probability_{name}" for name in names]
    assert np.allclose(np.transpose([*probabilities]), expected[:, 2:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("names", NUMBERS, ids=" ".join)
@pytest.mark.parametrize("steps", [[StandardScaler()], [OneHotEncoder(handle_unknown="ignore")]], ids=str)
def test_a_dumped_evaluator_says_the_order_of_its_labels(
    names: tuple[str, ...], steps: list[StandardScaler]
) -> None:
    pipeline = fitted(names, make_pipeline(*steps, LogisticRegression()))
    assert classes_of(dump(compiled_classifier(pipeline), names) or b"") == names
    assert classes_of(dump(compiled_classifier(pipeline)) or b"") is None


@pytest.mark.parametrize("names", NUMBERS, ids=" ".join)
def test_a_pipeline_fitted_on_numbers_is_judged_by_its_labels(names: tuple[str, ...]) -> None:
    contract, pipeline = contract_of(names), fitted(names)
    taken = adapted(contract, pipeline, None, {}, given={}, labels={})
    y = pipeline.predict(ROWS).astype(str)
    assert isinstance(contract.target, Labels)
    assert metrics(contract.target, taken, ROWS, y)["accuracy"] == 1.0
    own = losses(contract.target, taken, ROWS, y)
    assert own["accuracy"].all()
    found = metrics(contract.target, taken, ROWS, y)["log_loss"]
    assert (
        own["log_loss"].mean()
        == pytest.approx(found)
        == pytest.approx(-np.log(pipeline.predict_proba(ROWS).max(axis=1)).mean())
    )
    counts = np.array(confusion(contract.target, taken, ROWS, y)["counts"])
    assert (counts.diagonal() == [(y == name).sum() for name in names]).all()
    rows = TrainingData(ROWS, y, {})
    findings = Findings(contract, taken, rows, rows, own, None, ())
    assert label_scores(contract.target, findings).recall == [1.0, 1.0, 1.0]
    assert calibration(findings).accuracy == 1.0


def test_a_recipe_that_reads_labels_as_numbers_is_told_so(tmp_path: Path) -> None:
    def read(path: Path, contract: Contract) -> TrainingData:
        found = read_examples(path, contract)
        return replace(found, y=found.y.astype(int))

    contract = contract_of(("8", "9", "10"))
    names = [column.name for column in contract.columns]
    table = pl.DataFrame(ROWS, schema=names).with_columns(
        pl.Series("Species", np.resize([8, 9, 10], len(ROWS)))
    )
    table.write_csv(tmp_path / "rows.csv")
    recipe = Recipe("iris", "rows.csv", {"log_reg": log_reg}, read=read)
    with pytest.raises(ConfigurationError, match=r"as int64, such as 8\. Its read must give them as text"):
        train(
            recipe,
            contract,
            data=tmp_path / "rows.csv",
            register=lambda draft: pytest.fail("registered"),
            progress=lambda step: None,
        )
