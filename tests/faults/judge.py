"""Tells right answers and clean problems from everything else."""

import json
import random
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from loadtest.traffic import row
from sepal.contracts import Labels
from sepal.contracts.iris import contract
from sepal.registry import Registry
from sepal.scoring.scorer import load_version
from sepal.settings import Settings

PATH = "/iris/predict-proba"
"""What is asked for: probabilities of random rows tell rows apart, where a label does not."""

RIGHT, PROBLEM = "right", "problem"

LEAK = re.compile(
    rb"Traceback|File \\?\"|\w\.py\b|site-packages|Exception\b|[A-Za-z]Error\b|<class |0x[0-9a-f]{6}|errno",
    re.IGNORECASE,
)
"""What only the text of an exception has."""

_FIELDS = {"type", "title", "status", "detail", "request_id"}


class Judge:
    """Some random rows of iris, and what every version of a registry answers to each, by scikit-learn."""

    def __init__(self, settings: Settings, n_rows: int = 500) -> None:
        assert isinstance(contract.target, Labels)
        self._labels = contract.target.names
        rows = [row(contract) for _ in range(n_rows)]
        self.bodies = [json.dumps(one).encode() for one in rows]
        encoded = contract.encode([contract.features.model_validate(one) for one in rows])
        matrix = np.frombuffer(encoded).reshape(n_rows, -1)
        self._expected: dict[str, list[list[float]]] = {}
        with Registry.open(settings) as registry:
            for version in registry.versions("iris"):
                loaded = load_version(version, contract, registry.artefacts, compiled=False)
                self._expected[version.name] = loaded.score(matrix).tolist()
        self._known: dict[tuple[int, bytes], str] = {}

    def draw(self) -> int:
        """The index of a row to ask for."""
        return random.randrange(len(self.bodies))  # noqa: S311

    def verdict(
        self,
        index: int,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        problems: Collection[int] = (503, 504),
    ) -> str:
        """RIGHT, PROBLEM if it is a clean one with one of these statuses, or what is wrong."""
        if status != 200:
            return (
                PROBLEM if (wrong := fault_of_problem(status, headers, body, problems)) is None else wrong
            )
        known = self._known.get((index, body))
        if known is None:
            known = self._known[index, body] = self._judge(index, body)
        return known

    def _judge(self, index: int, body: bytes) -> str:
        try:
            answer = json.loads(body)
            _, label, *expected = self._expected[answer["model_name"]][index]
            given = [answer["probabilities"][name] for name in self._labels]
        except (ValueError, KeyError, TypeError):
            return f"200 with {body[:100]!r}"
        if answer["output"] == self._labels[int(label)] and np.allclose(
            given, expected, rtol=0, atol=1e-12
        ):
            return RIGHT
        return f"a wrong answer: {body[:200]!r} instead of {expected}"


def fault_of_problem(
    status: int, headers: Mapping[str, str], body: bytes, expected: Collection[int]
) -> str | None:
    """What is wrong with an answer that should be a problem document, or None."""
    if leak := LEAK.search(body):
        return f"{status} that tells of {leak[0][:40]!r}"
    if status not in expected:
        return f"status {status}: {body[:150]!r}"
    if not headers.get("content-type", "").startswith("application/problem+json"):
        return f"{status} as {headers.get('content-type')}: {body[:100]!r}"
    try:
        said: Any = json.loads(body)
    except ValueError:
        return f"{status} with no JSON: {body[:100]!r}"
    if not isinstance(said, dict) or not said.keys() >= _FIELDS or said["status"] != status:
        return f"{status} that is no problem document: {body[:150]!r}"
    if said["request_id"] != headers.get("x-request-id"):
        return f"{status} whose request_id is not the header's"
    if status in (429, 503) and "retry-after" not in headers:
        return f"{status} without Retry-After"
    return None
