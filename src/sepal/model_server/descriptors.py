"""The wire format as BentoML input and output descriptors; no pickle, no JSON, no reshaping."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, cast

import numpy as np
from bentoml import IODescriptor
from bentoml.exceptions import BentoMLException
from starlette.requests import Request
from starlette.responses import Response

from sepal.contracts import Contract, wire
from sepal.scoring.matrix import Matrix

_FLOAT64 = np.dtype("<f8")


class _Rows(IODescriptor):  # type: ignore[misc]  # BentoML ships no types
    """Rows of one contract. BentoML hands what `from_http_request` gives straight to the API."""

    __root_input__: ClassVar[bool] = True
    contract: ClassVar[Contract]

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:  # noqa: ANN401 (BentoML's signature)
        """The body as a matrix of shape (n_rows, n_features), once it is what the header says.

        Keys are left out: who needs them scores the call before it comes here.
        """
        media_type = request.headers.get("content-type")
        if media_type not in (wire.MEDIA_TYPE, wire.KEYED_MEDIA_TYPE):
            raise BentoMLException(
                f"rows come as {wire.MEDIA_TYPE}, not {media_type}",
                error_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            )
        if request.headers.get(wire.CONTRACT_HEADER) != cls.contract.signature:
            raise BentoMLException(
                f"the rows were encoded by another contract of {cls.contract.name} than this server's",
                error_code=HTTPStatus.CONFLICT,
            )
        body = await request.body()
        if media_type == wire.KEYED_MEDIA_TYPE:
            keyed = keyed_rows_of(cls.contract, body)
            rows = None if keyed is None else keyed[0]
        else:
            rows = rows_of(cls.contract, body)
        if rows is None:
            raise BentoMLException(
                f"{len(body)} bytes are not one or more rows of {len(cls.contract.columns)} float64",
                error_code=HTTPStatus.BAD_REQUEST,
            )
        return rows


class _Answers(IODescriptor):  # type: ignore[misc]  # BentoML ships no types
    """Answers of one contract, with the names of the versions that gave them."""

    version_names: ClassVar[Mapping[int, str]]

    @classmethod
    async def to_http_response(cls, obj: Any, serde: object) -> Response:  # noqa: ANN401 (BentoML's signature)
        """A matrix of shape (n_rows, answer_width) as a response."""
        answers = cast("Matrix", obj)
        return Response(answers.tobytes(), headers=dict(answers_headers(answers, cls.version_names)))


def rows_of(contract: Contract, body: bytes) -> Matrix | None:
    """A body as a matrix of shape (n_rows, n_features); None if it is no such matrix."""
    width = len(contract.columns)
    if not body or len(body) % (width * wire.ITEM_BYTES):
        return None
    return np.frombuffer(body, _FLOAT64).reshape(-1, width)


def keyed_rows_of(contract: Contract, body: bytes) -> tuple[Matrix, Matrix] | None:
    """A body with keys as rows of shape (n_rows, n_features) and keys of shape (n_rows,); or None."""
    width = len(contract.columns)
    if not body or len(body) % ((width + 1) * wire.ITEM_BYTES):
        return None
    numbers = np.frombuffer(body, _FLOAT64)
    n_rows = len(numbers) // (width + 1)
    return numbers[: n_rows * width].reshape(-1, width), numbers[n_rows * width :]


def answers_headers(answers: Matrix, version_names: Mapping[int, str]) -> list[tuple[str, str]]:
    """The headers that go with answers of shape (n_rows, answer_width)."""
    numbers = {answers[0, 0]} if len(answers) == 1 else set(answers[:, 0].tolist())
    names = {int(number): version_names[int(number)] for number in numbers}
    return [("Content-Type", wire.MEDIA_TYPE), (wire.VERSIONS_HEADER, json.dumps(names))]


def rows_descriptor(contract: Contract) -> type[IODescriptor]:
    """The input descriptor of one contract."""
    return type("Rows", (_Rows,), {"__module__": __name__, "contract": contract})


def answers_descriptor(version_names: Mapping[int, str]) -> type[IODescriptor]:
    """The output descriptor of one contract."""
    return type("Answers", (_Answers,), {"__module__": __name__, "version_names": version_names})
