"""Input tensors to the columns of a contract's rows."""

from collections.abc import Sequence
from typing import Any

from fastapi import HTTPException

from sepal.contracts import Contract, Feature
from sepal.contracts.columns import Columns
from sepal.gateway.protocols.open_inference.documents import InputTensor
from sepal.gateway.protocols.open_inference.tensors import read_values, wrong


def read_columns(contract: Contract, tensors: Sequence[InputTensor], binary: bytes) -> tuple[Columns, int]:
    """The columns and how many rows they have; HTTPException 400 if they are not the contract's.

    Either each tensor is a feature, of shape [rows] or [rows, 1]; or there is one tensor
    under another name, of shape [rows, features], in contract order, perhaps without the
    optional features.
    """
    values = read_values(tensors, binary)
    if len(tensors) == 1 and tensors[0].name not in contract.column_of:
        return _of_matrix(contract, tensors[0], values[0])
    return _of_features(contract, tensors, values)


def _of_matrix(contract: Contract, tensor: InputTensor, values: list[Any]) -> tuple[Columns, int]:
    required = [column for column in contract.columns if not column.optional]
    for features in (list(contract.columns), required):
        width = len(features)
        if len(tensor.shape) == 2 and tensor.shape[1] == width:
            columns = {
                feature.name: _column(feature, values[at::width]) for at, feature in enumerate(features)
            }
            return columns, _some(tensor)
    widths = " or ".join(str(n) for n in sorted({len(required), len(contract.columns)}))
    raise wrong(tensor, f"its shape {tensor.shape} should be [rows, {widths}]: {_asked(contract)}")


def _of_features(
    contract: Contract, tensors: Sequence[InputTensor], values: list[list[Any]]
) -> tuple[Columns, int]:
    features = {column.name: column for column in contract.columns}
    columns: dict[str, list[Any]] = {}
    n_rows = None
    for tensor, found in zip(tensors, values, strict=True):
        if (name := contract.column_of.get(tensor.name)) is None:
            raise wrong(tensor, f"{contract.name} has no such feature. It takes {_asked(contract)}")
        if name in columns:
            raise wrong(tensor, f"{name} comes twice")
        if len(tensor.shape) not in (1, 2) or tensor.shape[1:] not in ([], [1]):
            raise wrong(tensor, f"its shape {tensor.shape} should be [rows] or [rows, 1]")
        n_rows = n_rows or _some(tensor)
        if tensor.shape[0] != n_rows:
            raise wrong(tensor, f"it has {tensor.shape[0]} rows, where others have {n_rows}")
        columns[name] = _column(features[name], found)
    missing = [c.name for c in contract.columns if not c.optional and c.name not in columns]
    if missing or n_rows is None:
        raise HTTPException(400, f"Missing for {contract.name}: {', '.join(missing)}.")
    return columns, n_rows


def _some(tensor: InputTensor) -> int:
    if not tensor.shape[0]:
        raise wrong(tensor, "it has no rows")
    return tensor.shape[0]


def _column(feature: Feature, values: list[Any]) -> list[Any]:
    """What a tensor can't say as JSON can: a missing value is NaN or an empty text, true may be a 1."""
    if feature.optional:
        values = [None if value != value or value == "" else value for value in values]
    if feature.kind == "boolean":
        values = [bool(value) if value in (0, 1) else value for value in values]
    return values


def _asked(contract: Contract) -> str:
    return ", ".join(
        column.name + (" (optional)" if column.optional else "") for column in contract.columns
    )
