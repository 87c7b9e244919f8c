"""Prediction without a protocol: rows of a contract in, answers out."""

from collections.abc import Sequence
from typing import Any

from sepal.contracts import Contract, Features, Labels
from sepal.gateway.upstream import Answer, ModelServer


async def predict(model_server: ModelServer, contract: Contract, rows: Sequence[Features]) -> list[Answer]:
    """The answers to validated rows, in their order; UpstreamError if there are none."""
    return await model_server.score(contract, contract.encode(rows))


def formatted(contract: Contract, answer: Answer, *, probabilities: bool) -> dict[str, Any]:
    """One answer in the shape of the contract's answer models."""
    document: dict[str, Any] = {
        "output": contract.target.output(answer.numbers),
        "model_name": answer.version,
    }
    if probabilities and isinstance(contract.target, Labels):
        document["probabilities"] = contract.target.probabilities(answer.numbers)
    return document
