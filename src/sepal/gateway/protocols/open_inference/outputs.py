"""Answers to output tensors, in JSON or in binary as each was asked for."""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pydantic_core
from fastapi import HTTPException

from sepal.contracts import Contract, Labels, wire
from sepal.gateway.answers import Answers
from sepal.gateway.protocols.open_inference.documents import (
    OUTPUT,
    PROBABILITIES,
    VERSION,
    InferenceRequest,
    TensorDocument,
)
from sepal.gateway.protocols.open_inference.tensors import pack_floats, pack_texts
from sepal.gateway.protocols.served import versions_of

_NOT_TAKEN = ("classification", "shared_memory_region")
"""Parameters of an output that would change what it is; to leave them unheard would mislead."""


@dataclass(frozen=True)
class Wanted:
    """An output that is asked for."""

    tensor: TensorDocument
    binary: bool


def wanted(known: Mapping[str, TensorDocument], request: InferenceRequest) -> list[Wanted]:
    """The outputs that a request asks for, of those that there are, or all; HTTPException 400."""
    binary = request.parameters.get("binary_data_output") is True
    if not request.outputs:
        return [Wanted(tensor, binary) for tensor in known.values()]
    found = []
    for output in request.outputs:
        if output.name not in known:
            raise HTTPException(400, f"There is no output {output.name!r}. There are: {', '.join(known)}.")
        if refused := [name for name in _NOT_TAKEN if name in output.parameters]:
            raise HTTPException(400, f"Output {output.name!r}: {refused[0]} is not supported.")
        found.append(Wanted(known[output.name], output.parameters.get("binary_data", binary) is True))
    return found


def response(
    contract: Contract, request_id: str | None, outputs: list[Wanted], answers: Answers
) -> tuple[bytes, int | None]:
    """The body of a response, and how much of it is JSON if binary tensors follow."""
    n_rows = len(answers.numbers) // contract.answer_width
    tensors, binaries = [], []
    for output in outputs:
        tensor = output.tensor
        described: dict[str, Any] = {
            "name": tensor.name,
            "shape": [n_rows, *tensor.shape[1:]],
            "datatype": tensor.datatype,
        }
        values = _values(contract, tensor.name, answers)
        if output.binary:
            packed = pack_floats(values) if isinstance(values, array) else pack_texts(values)
            described["parameters"] = {"binary_data_size": len(packed)}
            binaries.append(packed)
        else:
            described["data"] = values.tolist() if isinstance(values, array) else values
        tensors.append(described)
    document = {
        "model_name": contract.name,
        "model_version": ",".join(versions_of(contract, answers)),
        **({} if request_id is None else {"id": request_id}),
        "outputs": tensors,
    }
    text = pydantic_core.to_json(document)
    return (text + b"".join(binaries), len(text)) if binaries else (text, None)


def _values(contract: Contract, name: str, answers: Answers) -> "list[str] | array[float]":
    numbers, width = answers.numbers, contract.answer_width
    if name == VERSION:
        return [answers.versions[number] for number in numbers[0::width]]
    if name == PROBABILITIES:
        return _probabilities(answers, width)
    assert name == OUTPUT  # noqa: S101 (there is no other)
    if isinstance(contract.target, Labels):
        names = contract.target.names
        return [names[int(code)] for code in numbers[1::width]]
    return numbers[1::width]


def _probabilities(answers: Answers, width: int) -> "array[float]":
    """The probabilities of shape (n_rows, n_labels), flat: an answer without version and label."""
    n_labels = width - 2
    n_rows = len(answers.numbers) // width
    found = array("d", bytes(n_rows * n_labels * wire.ITEM_BYTES))
    for at in range(n_labels):
        found[at::n_labels] = answers.numbers[2 + at :: width]
    return found
