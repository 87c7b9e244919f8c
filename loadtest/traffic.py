"""Random rows of any contract, and what to hold against the answers to them."""

import math
import random
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sepal.contracts import Contract, Feature, Labels

HIGHEST: Mapping[str, float] = {"iris": 9.0}
"""The highest number to draw for a model whose contract allows more than nature does."""

_UNBOUNDED = 100.0
"""How far to draw where a contract sets no bound."""


def row(contract: Contract) -> dict[str, Any]:
    """A row that the contract accepts, as JSON has it; half the time without an optional feature."""
    return {
        column.name: value(column, HIGHEST.get(contract.name))
        for column in contract.columns
        if not column.optional or random.random() < 0.5
    }


def value(column: Feature, highest: float | None = None) -> Any:  # noqa: ANN401 (any JSON value)
    """A value within a feature's bounds and, if it is a number, at most `highest`."""
    if column.kind == "category":
        return random.choice(column.categories)
    if column.kind == "boolean":
        return random.random() < 0.5
    low, high = _bounds(column)
    if column.kind == "integer":
        return random.randint(
            math.floor(low) + (column.at_least is None), math.ceil(high) - (column.at_most is None)
        )
    if column.kind == "time":
        return (
            datetime.fromtimestamp(random.randrange(int(low) + 1, int(high)), UTC)
            .replace(tzinfo=None)
            .isoformat()
        )
    high = high if highest is None else min(high, highest)
    if column.greater_than is not None:
        return high - (high - low) * random.random()  # more than low, since random() is less than 1
    return low + (high - low) * random.random()


def fault(contract: Contract, answer: object, *, probabilities: bool = False) -> str | None:
    """What is wrong with the answer to one row, or None."""
    expected = {"output", "model_name", *(["probabilities"] if probabilities else [])}
    if not isinstance(answer, dict) or set(answer) != expected:
        return f"{answer!r} does not have the fields {', '.join(sorted(expected))}"
    if not isinstance(answer["model_name"], str) or not answer["model_name"]:
        return f"model_name is {answer['model_name']!r}"
    if not isinstance(contract.target, Labels):
        return (
            None if _is_finite(answer["output"]) else f"output is {answer['output']!r}, not a finite number"
        )
    if answer["output"] not in contract.target.names:
        return f"output {answer['output']!r} is no label of {contract.name}"
    return _fault_of_probabilities(contract.target, answer["probabilities"]) if probabilities else None


def _fault_of_probabilities(target: Labels, given: object) -> str | None:
    if not isinstance(given, dict) or tuple(given) != target.names:
        return f"probabilities {given!r} are not those of {', '.join(target.names)}"
    if not all(_is_finite(p) and 0 <= p <= 1 for p in given.values()):
        return f"probabilities {given!r} are not all between 0 and 1"
    if not math.isclose(sum(given.values()), 1, abs_tol=1e-6):
        return f"probabilities {given!r} do not add up to 1"
    return None


def _bounds(column: Feature) -> tuple[float, float]:
    low = column.at_least if column.at_least is not None else column.greater_than
    high = column.at_most if column.at_most is not None else column.less_than
    if low is None:
        low = 0.0 if high is None else high - _UNBOUNDED
    return low, low + _UNBOUNDED if high is None else high


def _is_finite(number: object) -> bool:
    return isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
