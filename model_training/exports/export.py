"""Writes a version to a file of another format, once it is proven to answer as the version does."""

import os
import pickle
from collections.abc import Callable, Collection
from pathlib import Path
from tempfile import mkstemp
from typing import Any, Literal, TypeAlias

from model_training.exports import onnx_format
from model_training.exports.parity import TOLERANCE, Answers, answers_of, parity
from model_training.pipelines.train import fingerprint
from model_training.recipe import Recipe
from model_training.tables import Floats
from sepal.contracts import Contract
from sepal.errors import ArtefactError, DataError, NotFoundError, StorageError
from sepal.registry import skops_format
from sepal.registry.pickles import pickled
from sepal.registry.versions import Version
from sepal.scoring.proof import random_rows

Format: TypeAlias = Literal["pickle", "skops", "onnx"]

SUFFIXES: dict[Format, str] = {"pickle": ".pkl", "skops": ".skops", "onnx": ".onnx"}


def export(
    version: Version,
    contract: Contract,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    form: Format,
    output: Path,
    training_rows: Floats | None,
    trusted_types: Collection[str],
    say: Callable[[str], None],
) -> None:
    """Write a version that is loaded to a file that is not there yet.

    The file appears only once it has answered the rows of training, if they are at hand,
    and 100,000 random ones of the contract as the version does; ArtefactError says how far
    they were apart. StorageError if it can't be written.
    """
    if output.exists():
        raise StorageError(f"{output} is there already. Remove it, or name another with --output.")
    content, answers = _made(version, contract, pipeline, form, trusted_types)
    checked = [] if training_rows is None else [("the rows it was trained and tested on", training_rows)]
    for what, rows in [*checked, ("random rows of the contract", random_rows(contract))]:
        found = parity(answers_of(contract, pipeline), answers, rows)
        if not found.holds:
            raise ArtefactError(
                f"{version.tag} as {form} does not answer as the version does: {found} ({what}), where "
                f"{TOLERANCE:g} is the most. Nothing was written. Export it as pickle or skops."
            )
        say(f"As {form} it answers {what} alike: {found}.")
    _write(content, output)


def training_rows(recipe: Recipe | None, contract: Contract, version: Version, data: Path) -> Floats | None:
    """The rows that a version was trained and tested on, if they are those of the recipe's data."""
    if recipe is None or not data.exists():
        return None
    try:
        rows = recipe.read(data, contract)
    except (DataError, NotFoundError):
        return None
    return rows.X if fingerprint(rows) == version.data_fingerprint else None


def _made(
    version: Version,
    contract: Contract,
    pipeline: Any,  # noqa: ANN401 (any scikit-learn estimator)
    form: Format,
    trusted_types: Collection[str],
) -> tuple[bytes, Callable[[Floats], Answers]]:
    """The file's content, and what answers by it alone."""
    if form == "onnx":
        content = onnx_format.dumps(version, contract, pipeline)
        return content, onnx_format.answers_of(content, contract, version.tag)
    if form == "skops":
        content = skops_format.dumps(pipeline)
        loaded = skops_format.loads(content, trusted_types, f"{version.tag} as skops")
    else:
        content = pickled(pipeline)
        loaded = pickle.loads(content)  # noqa: S301 (it was dumped just now)
    return content, answers_of(contract, loaded)


def _write(content: bytes, output: Path) -> None:
    try:
        descriptor, name = mkstemp(prefix=f".{output.name}-", dir=output.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).rename(output)
    except OSError as error:
        raise StorageError(f"{output} can't be written: {error}") from error
