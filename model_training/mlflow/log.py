"""Logs a training to the MLflow server that MLFLOW_TRACKING_URI names, beside Sepal's own registry."""

import io
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from model_training.mlflow.adapting import WIRE, output
from model_training.mlflow.quiet import TRACKING_URI, mlflow, without_password
from model_training.pipelines.report import report
from sepal.contracts import Contract, Labels
from sepal.errors import SepalError
from sepal.registry.versions import Version
from sepal.scoring.matrix import example_rows

_LONGEST = 500
"""Characters of a parameter's value, which every MLflow server takes."""


def log_training(
    contract: Contract, version: Version, load: Callable[[Version], Any], files: Sequence[Path] = ()
) -> str | None:
    """Log a registered version, if an MLflow server is named, and say what came of it.

    Of `files`, such as its report, those that are there go with it.

    What fails is said and raised no further: the version is registered all the same.
    """
    if not (uri := os.environ.get(TRACKING_URI)):
        return None
    uri = without_password(uri)
    try:
        with mlflow() as module:
            try:
                run = _log(module, contract, version, load(version), files)
            except (module.exceptions.MlflowException, OSError, ValueError) as error:
                return _not_logged(version, uri, error)
    except SepalError as error:
        return _not_logged(version, uri, error)
    return f"Logged {version.tag} to MLflow at {uri}, run {run}."


def _not_logged(version: Version, uri: str, error: Exception) -> str:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return f"{version.tag} is registered, and not logged to MLflow at {uri}: {why}"


def _log(
    module: Any,  # noqa: ANN401 (MLflow)
    contract: Contract,
    version: Version,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    files: Sequence[Path],
) -> str:
    if "MLFLOW_EXPERIMENT_NAME" not in os.environ and "MLFLOW_EXPERIMENT_ID" not in os.environ:
        module.set_experiment(contract.name)
    tags = {
        "sepal.model": version.model,
        "sepal.version": version.name,
        "sepal.tag": version.tag,
        "sepal.gate": version.state,
    }
    # MLflow prints links to what it has logged; the command has a line of its own.
    with redirect_stdout(io.StringIO()), module.start_run(run_name=version.name, tags=tags) as run:
        module.log_params(_parameters(version, pipeline))
        module.log_metrics(
            {
                f"{split}_{name}": value
                for split, values in version.metrics.items()
                for name, value in values.items()
            }
        )
        module.log_text(_report(version), "report.txt")
        for path in files:
            if path.is_file():
                module.log_artifact(str(path))
        rows = pd.DataFrame(example_rows(contract), columns=[column.name for column in contract.columns])
        module.sklearn.log_model(
            pipeline,
            name=contract.name,
            signature=_signature(module, contract, pipeline),
            input_example=rows,
            metadata={WIRE: contract.signature, "sepal_version": version.tag},
            serialization_format="pickle",
        )
        return str(run.info.run_id)


def _parameters(version: Version, pipeline: Any) -> Mapping[str, str]:  # noqa: ANN401 (any scikit-learn estimator)
    """How it was trained, and the pipeline's own parameters that are numbers, texts or nothing."""
    own = {
        "algorithm": version.algorithm,
        "seed": version.details.get("seed"),
        "data_source": version.data_source,
        "data_fingerprint": version.data_fingerprint,
        "train_rows": version.train_rows,
        "test_rows": version.test_rows,
    }
    simple = {
        name: value
        for name, value in pipeline.get_params(deep=True).items()
        if value is None or isinstance(value, str | int | float)
    }
    return {name: str(value)[:_LONGEST] for name, value in {**simple, **own}.items()}


def _report(version: Version) -> str:
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(report(version))
    return console.export_text()


def _signature(module: Any, contract: Contract, pipeline: Any) -> Any:  # noqa: ANN401 (MLflow, an estimator)
    """The contract's features by name, as the pipeline takes them: all of them float64."""
    types = module.types
    inputs = types.Schema(
        [types.ColSpec("double", column.name, required=not column.optional) for column in contract.columns]
    )
    answers = output(contract, pipeline, example_rows(contract))
    shape = (-1, *answers.shape[1:])
    spec = types.TensorSpec(
        np.dtype("str" if isinstance(contract.target, Labels) else "float64"), shape[:1]
    )
    return module.models.ModelSignature(inputs=inputs, outputs=types.Schema([spec]))
