"""The JSON documents of the Open Inference Protocol, and what a contract says in them."""

import json
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from sepal.contracts import Contract, Labels
from sepal.contracts.features import Kind

Whole: TypeAlias = Literal["UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"]
Datatype: TypeAlias = Literal["BOOL", Whole, "FP16", "FP32", "FP64", "BYTES"]
Parameters = dict[str, Any]
Size = Annotated[int, Field(ge=0, lt=2**63)]

OUTPUT, PROBABILITIES, VERSION = "output", "probabilities", "model_version"
"""The names of a model's outputs."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, protected_namespaces=())


class InferenceErrorDocument(_Document):
    """What went wrong."""

    error: str = Field(description="What went wrong, and the way out.")


class LiveDocument(_Document):
    """That the server can take requests."""

    live: Literal[True] = True


class ReadyDocument(_Document):
    """That every model answers."""

    ready: Literal[True] = True


class ModelReadyDocument(_Document):
    """That one model answers."""

    name: str
    ready: Literal[True] = True


class ServerDocument(_Document):
    """What serves."""

    name: str
    version: str
    extensions: list[str]


class TensorDocument(_Document):
    """What is known of a tensor in advance; -1 is any number of rows."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelDocument(_Document):
    """What a model takes and gives."""

    name: str
    versions: list[str] = Field(description="Those that answer: the champion, and a canary's challenger.")
    platform: str
    inputs: list[TensorDocument]
    outputs: list[TensorDocument]
    properties: dict[str, str]


class InputTensor(_Document):
    """An input, its data here or in binary after the JSON."""

    name: str
    shape: list[Size] = Field(max_length=8)
    datatype: Datatype
    parameters: Parameters = {}
    data: list[Any] | None = None


class RequestedOutput(_Document):
    """An output that is asked for."""

    name: str
    parameters: Parameters = {}


class InferenceRequest(_Document):
    """Rows to predict for: one tensor of shape `[rows, features]`, or one tensor for each feature."""

    id: str | None = None
    parameters: Parameters = {}
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None


class OutputTensor(_Document):
    """An output, its data here or in binary after the JSON."""

    name: str
    shape: list[int]
    datatype: Datatype
    parameters: Parameters | None = None
    data: list[Any] | None = None


class InferenceResponse(_Document):
    """Predictions for the rows, in their order."""

    model_name: str
    model_version: str = Field(
        description="The version that answered; in a canary perhaps two, by a comma."
    )
    id: str | None = None
    outputs: list[OutputTensor]


class IndexRequest(_Document):
    """Which versions to list."""

    ready: bool = Field(False, description="Those alone that answer.")


class IndexEntry(_Document):
    """One version in the repository."""

    name: str
    version: str
    state: Literal["READY", "UNAVAILABLE"]
    reason: str


def describe(contract: Contract, versions: list[str]) -> ModelDocument:
    """What a contract says of its model."""
    return ModelDocument(
        name=contract.name,
        versions=versions,
        platform="sklearn_pipeline",
        inputs=[
            TensorDocument(name=column.name, datatype=_DATATYPES[column.kind], shape=[-1])
            for column in contract.columns
        ],
        outputs=list(outputs_of(contract).values()),
        properties=_properties(contract),
    )


def outputs_of(contract: Contract) -> dict[str, TensorDocument]:
    """The outputs of a model by name."""
    labels = isinstance(contract.target, Labels)
    found = [TensorDocument(name=OUTPUT, datatype="BYTES" if labels else "FP64", shape=[-1])]
    if isinstance(contract.target, Labels):
        shape = [-1, len(contract.target.names)]
        found.append(TensorDocument(name=PROBABILITIES, datatype="FP64", shape=shape))
    found.append(TensorDocument(name=VERSION, datatype="BYTES", shape=[-1]))
    return {tensor.name: tensor for tensor in found}


def example(contract: Contract) -> dict[str, Any]:
    """A request, from the features' examples."""
    return {
        "inputs": [
            {
                "name": column.name,
                "shape": [1],
                "datatype": _DATATYPES[column.kind],
                "data": [column.example],
            }
            for column in contract.columns
        ]
    }


def _properties(contract: Contract) -> dict[str, str]:
    """What the protocol has no field for: each optional input, and what the outputs mean, as text."""
    optional = [column.name for column in contract.columns if column.optional]
    return {
        **{name: json.dumps(value) for name, value in contract.target.describe().items()},
        **({"optional_inputs": json.dumps(optional)} if optional else {}),
    }


_DATATYPES: dict[Kind, Datatype] = {
    "number": "FP64",
    "integer": "INT64",
    "boolean": "BOOL",
    "category": "BYTES",
    "time": "BYTES",
}
