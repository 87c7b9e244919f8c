"""Trains one version: read, check, split, fit, evaluate, register."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline

from model_training.gate import check_rules
from model_training.pipelines.details import GATE, HELD_OUT
from model_training.pipelines.evaluate import confusion, losses, metrics
from model_training.pipelines.findings import Findings
from model_training.pipelines.gate import Champion, HeldOut, judge
from model_training.recipe import Recipe
from model_training.tables import TrainingData
from sepal.contracts import Contract, Labels
from sepal.errors import ConfigurationError, DataError, NotFoundError
from sepal.registry.versions import Draft, Version
from sepal.scoring.proof import AGREES, compiled_agrees, dumped_evaluator

DEFAULT_SEED = 0


@dataclass(frozen=True)
class Split:
    """The rows to fit on and the rows to test on; `fingerprint` is the SHA-256 of both."""

    train: TrainingData
    test: TrainingData
    fingerprint: str
    source: str

    @property
    def dropped(self) -> dict[str, int]:
        """Rows left out of either, by reason."""
        reasons = [*self.train.dropped, *self.test.dropped]
        return {r: self.train.dropped.get(r, 0) + self.test.dropped.get(r, 0) for r in reasons}


def train(
    recipe: Recipe,
    contract: Contract,
    *,
    data: Path,
    register: Callable[[Draft], Version],
    progress: Callable[[str], None],
    test_data: Path | None = None,
    algorithm: str | None = None,
    seed: int = DEFAULT_SEED,
    champion: Champion | None = None,
    report: Callable[[Version, Findings], None] | None = None,
) -> Version:
    """Train a version from `data`, and give what `register` made of it.

    Without `test_data`, the recipe's share of the rows is kept for the test, drawn by
    `seed` and alike in labels; with it, all of `data` is fitted and `test_data` tests.
    The recipe's gate judges the version on those rows, beside the champion if there is
    one; the verdict is registered with it. `progress` is told each step in words, and
    `report`, once the version is registered, what was found. The same files and seed give
    the same metrics and fingerprint.

    Raises NotFoundError for a file or algorithm that is not there, DataError for a file
    that can't be used, ConfigurationError for a recipe that reads labels as anything but text.
    """
    check_rules(recipe.gate, contract.target)
    algorithm = algorithm or recipe.default_algorithm
    pipeline = recipe.pipeline(algorithm, seed)
    split = _read(recipe, contract, data, test_data, seed, progress)
    progress(f"Fitting {algorithm} on {len(split.train.y):,} rows")
    pipeline.fit(split.train.X, split.train.y)
    progress(f"Testing on {len(split.test.y):,} rows")
    draft, findings = _draft(recipe, contract, algorithm, pipeline, split, seed, champion)
    progress("Registering the version")
    version = register(draft)
    if report is not None:
        progress("Writing the report")
        report(version, findings)
    return version


def _read(
    recipe: Recipe,
    contract: Contract,
    data: Path,
    test_data: Path | None,
    seed: int,
    progress: Callable[[str], None],
) -> Split:
    for path, option in ((data, "--data"), (test_data, "--test-data")):
        if path is not None and not path.exists():
            raise NotFoundError(f"There is no data file {path}. Name one with {option}.")
    progress(f"Reading {data}")
    rows = recipe.read(data, contract)
    _check_labels(contract, rows, data)
    if test_data is None:
        return split_rows(contract, rows, data, recipe.test_share, seed)
    progress(f"Reading {test_data}")
    test_rows = recipe.read(test_data, contract)
    return Split(rows, test_rows, fingerprint(rows, test_rows), f"{data}, tested on {test_data}")


def _check_labels(contract: Contract, rows: TrainingData, data: Path) -> None:
    """Refuse data from which a label can't be learned and tested."""
    if not isinstance(contract.target, Labels):
        return
    if len(rows.y) and not isinstance(first := rows.y[0], str):
        raise ConfigurationError(
            f"The recipe of {contract.name!r} reads the labels of {data} as {type(first).__name__}, such "
            f"as {first}. Its read must give them as text, as the contract has them: "
            f"{', '.join(contract.target.names)}."
        )
    for label in contract.target.names:
        if (count := int((rows.y == label).sum())) < 2:
            raise DataError(
                f"{data} has {count} usable row(s) labelled {label!r}: every label of {contract.name} "
                "needs two at least, one to learn from and one to test on. Add some."
            )


def split_rows(contract: Contract, rows: TrainingData, data: Path, test_share: float, seed: int) -> Split:
    """Keep a share of the rows for the test, drawn by the seed and alike in labels.

    DataError if they are too few.
    """
    labels = len(contract.target.names) if isinstance(contract.target, Labels) else 1
    tested = math.ceil(len(rows.y) * test_share)
    if min(tested, len(rows.y) - tested) < labels:
        raise DataError(
            f"{data} has {len(rows.y)} usable rows: too few to keep {test_share:.0%} of them for the "
            "test. Add some, or give a second file with --test-data."
        )
    X_train, X_test, y_train, y_test = train_test_split(
        rows.X, rows.y, test_size=tested, random_state=seed, stratify=rows.y if labels > 1 else None
    )
    return Split(
        train=TrainingData(X_train, y_train, rows.dropped),
        test=TrainingData(X_test, y_test, {}),
        fingerprint=fingerprint(rows),
        source=str(data),
    )


def fingerprint(*parts: TrainingData) -> str:
    """SHA-256 of the encoded rows and their targets, file after file, as read."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part.X.shape).encode())
        digest.update(np.ascontiguousarray(part.X, dtype="<f8").tobytes())
        is_number = np.issubdtype(part.y.dtype, np.number)
        digest.update(part.y.astype("<f8").tobytes() if is_number else "\n".join(part.y).encode())
    return digest.hexdigest()


def _draft(
    recipe: Recipe,
    contract: Contract,
    algorithm: str,
    pipeline: Pipeline,
    split: Split,
    seed: int,
    champion: Champion | None,
) -> tuple[Draft, Findings]:
    target = contract.target
    mean = None if isinstance(target, Labels) else float(split.train.y.mean())
    rows = np.vstack((split.train.X, split.test.X))
    held_out = HeldOut(split.test, fingerprint(split.test), mean)
    own = losses(target, pipeline, split.test.X, split.test.y, mean)
    verdict = judge(recipe.gate, contract, own, held_out, champion)
    agrees = compiled_agrees(contract, pipeline, rows)
    details: dict[str, Any] = {
        "seed": seed,
        HELD_OUT: held_out.fingerprint,
        GATE: verdict.as_details(),
        "dropped": split.dropped,
        AGREES: agrees,
    }
    if isinstance(target, Labels):
        details["confusion_matrix"] = confusion(target, pipeline, split.test.X, split.test.y)
    draft = Draft(
        model=contract.name,
        algorithm=algorithm,
        pipeline=pipeline,
        evaluator=dumped_evaluator(contract, pipeline) if agrees else None,
        contract_signature=contract.signature,
        metrics=_metrics(contract, pipeline, split, mean),
        details=details,
        data_source=split.source,
        data_fingerprint=split.fingerprint,
        train_rows=len(split.train.y),
        test_rows=len(split.test.y),
        state=verdict.state,
        reasons=verdict.reasons,
    )
    return draft, Findings(contract, pipeline, split.train, split.test, own, verdict.rival, recipe.group_by)


def _metrics(
    contract: Contract, pipeline: Pipeline, split: Split, mean: float | None
) -> Mapping[str, Mapping[str, float]]:
    return {
        name: metrics(contract.target, pipeline, part.X, part.y, mean)
        for name, part in (("train", split.train), ("test", split.test))
    }
