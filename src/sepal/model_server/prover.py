"""Proves the compiled evaluator of a new champion while the worker serves, without getting in its way.

Only one thread of a process runs Python at a time, and the one that answers must not
wait for long. So the proof is done in slices with pauses.
"""

import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from sepal.contracts import Contract

if TYPE_CHECKING:
    from sepal.scoring.scorer import LoadedVersion

SLICE = 20_000
"""Rows that are compared in one go. Fewer make it last much longer, more let answers wait longer."""

PAUSE = 0.001
"""Seconds between two slices."""

PROOF_WAIT = 0.7
"""Seconds that a new version waits for its proof; then it answers by scikit-learn until there is one."""

Proof: TypeAlias = "Future[LoadedVersion]"
"""The version with its compiled evaluator, if that was proven; else as it was."""


class _AbandonedError(Exception):
    """Nobody needs this proof any more."""


def start_proof(contract: Contract, loaded: "LoadedVersion", abandoned: threading.Event) -> Proof:
    """Prove from a thread of its own, until `abandoned` is set."""
    proof: Proof = Future()

    def prove() -> None:
        try:
            proof.set_result(_prove(contract, loaded, abandoned))
        except BaseException as error:  # noqa: BLE001 (for whoever asks for the result)
            proof.set_exception(error)

    threading.Thread(target=prove, name="prover", daemon=True).start()
    return proof


def _prove(contract: Contract, loaded: "LoadedVersion", abandoned: threading.Event) -> "LoadedVersion":
    from sepal.scoring.proof import compiled_agrees, proof_rows  # late: BentoML's parent never scores
    from sepal.scoring.scorer import scorer

    def slice_by_slice(contract: Contract, pipeline: Any) -> bool:  # noqa: ANN401 (any scikit-learn estimator)
        rows = proof_rows(contract, pipeline)
        for start in range(0, len(rows), SLICE):
            if abandoned.is_set():
                raise _AbandonedError
            if not compiled_agrees(contract, pipeline, rows[start : start + SLICE]):
                return False
            time.sleep(PAUSE)
        return True

    return replace(loaded, score=scorer(loaded.version, contract, loaded.pipeline, proof=slice_by_slice))
