"""Makes a draft of an MLflow model: adapted to the contract, tried out, and judged where it can be."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from model_training.mlflow.adapting import adapted
from model_training.mlflow.artefact import Artefact
from model_training.pipelines.details import GATE, HELD_OUT
from model_training.pipelines.evaluate import confusion, losses, metrics
from model_training.pipelines.gate import Champion, HeldOut, Verdict, judge
from model_training.pipelines.train import DEFAULT_SEED, fingerprint, split_rows
from model_training.recipe import Recipe
from model_training.tables import TrainingData
from sepal.contracts import Contract, Labels
from sepal.registry.pickles import needed, pickled
from sepal.registry.versions import Draft
from sepal.scoring.adapters import NamedRegressor
from sepal.scoring.proof import AGREES, compiled_agrees, dumped_evaluator, proof_rows

MLFLOW = "mlflow"
"""Under this name a version's details say where in MLflow it comes from, and how its input is made."""

_ALWAYS_THERE = frozenset({"sklearn", "numpy", "scipy", "sepal", "builtins", "copyreg", "collections"})


@dataclass(frozen=True)
class Options:
    """What the operator says of a model that can't be read from it.

    `columns` has templates for columns that the contract does not name, `labels` the
    contract's label for each class of another name. `test_data` is judged on in the
    place of the recipe's held-out rows.
    """

    why: str
    columns: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    algorithm: str | None = None
    test_data: Path | None = None


@dataclass(frozen=True)
class Judged:
    """Rows to judge by: where they are from, and the mean of what was trained on beside them."""

    rows: TrainingData
    source: str
    mean: float | None


def draft_of(
    artefact: Artefact,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    contract: Contract,
    recipe: Recipe | None,
    default_data: Path | None,
    champion: Champion | None,
    options: Options,
    progress: Callable[[str], None],
) -> Draft:
    """The draft of a loaded MLflow model; ArtefactError says what does not fit the contract."""
    progress("Trying it on rows of the contract")
    taken = adapted(
        contract,
        pipeline,
        artefact.signature,
        artefact.metadata,
        given=options.columns,
        labels=options.labels,
    )
    judged = _rows_to_judge_by(contract, recipe, default_data, options)
    if judged is not None:
        progress(f"Judging it on {len(judged.rows.y):,} rows of {judged.source}")
    verdict, measured, details = _judge(contract, recipe, taken, judged, champion)
    tried = proof_rows(contract, taken) if judged is None else judged.rows.X
    agrees = compiled_agrees(contract, taken, tried)
    return Draft(
        model=contract.name,
        algorithm=options.algorithm or _algorithm(pipeline),
        pipeline=taken,
        evaluator=dumped_evaluator(contract, taken) if agrees else None,
        contract_signature=contract.signature,
        metrics=measured,
        details={
            MLFLOW: {**artefact.origin, **_input(artefact, taken)},
            GATE: verdict.as_details(),
            AGREES: agrees,
            **details,
        },
        data_source=f"MLflow {artefact.source}",
        data_fingerprint=fingerprint(judged.rows) if judged else "",
        train_rows=0,
        test_rows=len(judged.rows.y) if judged else 0,
        state=verdict.state,
        reasons=verdict.reasons,
        why=f"imported from MLflow {artefact.source}: {options.why}",
        only_by_hand=verdict.state == "unjudged",
    )


def _input(artefact: Artefact, taken: Any) -> Mapping[str, Any]:  # noqa: ANN401 (any scikit-learn estimator)
    """What is recorded of how the matrix becomes what the model takes, and of what that needs."""
    modules = {module.partition(".")[0] for module, _ in needed(pickled(taken))}
    more = sorted(modules - _ALWAYS_THERE)
    said: dict[str, Any] = {"signature": artefact.signature is not None, "takes": "matrix"}
    if isinstance(taken, NamedRegressor):
        said["takes"] = taken.form
        said["columns"] = {column.name: column.kind for column in taken.columns}
        more += ["pandas"] if taken.form == "frame" and "pandas" not in more else []
    return {**said, "needs": more} if more else said


def _rows_to_judge_by(
    contract: Contract, recipe: Recipe | None, default_data: Path | None, options: Options
) -> Judged | None:
    """The rows that were named, else those that training keeps for its test, if there are any."""
    if recipe is None:
        return None
    if options.test_data is not None:
        rows = recipe.read(options.test_data, contract)
        return Judged(rows, str(options.test_data), _mean(contract, rows))
    if default_data is None or not default_data.exists():
        return None
    split = split_rows(
        contract, recipe.read(default_data, contract), default_data, recipe.test_share, DEFAULT_SEED
    )
    return Judged(split.test, f"the test rows of {default_data}", _mean(contract, split.train))


def _mean(contract: Contract, rows: TrainingData) -> float | None:
    return None if isinstance(contract.target, Labels) else float(rows.y.mean())


def _judge(
    contract: Contract,
    recipe: Recipe | None,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    judged: Judged | None,
    champion: Champion | None,
) -> tuple[Verdict, Mapping[str, Mapping[str, float]], Mapping[str, Any]]:
    if judged is None or recipe is None:
        note = "There are no held-out rows to judge it on. It is promoted by sepal models promote alone."
        return Verdict("unjudged", notes=(note,)), {}, {}
    X, y = judged.rows.X, judged.rows.y
    held_out = HeldOut(judged.rows, fingerprint(judged.rows), judged.mean)
    own = losses(contract.target, pipeline, X, y, judged.mean)
    verdict = judge(recipe.gate, contract, own, held_out, champion)
    note = (
        f"Judged on {judged.source}. Nobody here knows whether MLflow's model was fitted on some of them."
    )
    details: dict[str, Any] = {HELD_OUT: held_out.fingerprint, "dropped": judged.rows.dropped}
    if isinstance(contract.target, Labels):
        details["confusion_matrix"] = confusion(contract.target, pipeline, X, y)
    measured = {"test": metrics(contract.target, pipeline, X, y, judged.mean)}
    return (
        Verdict(verdict.state, verdict.checks, (*verdict.notes, note), verdict.rival),
        measured,
        details,
    )


def _algorithm(pipeline: Any) -> str:  # noqa: ANN401 (any scikit-learn estimator)
    """The name of the last step's class, such as `random_forest_regressor`."""
    last = pipeline
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(last).__name__).lower()
