"""The routes of the Open Inference Protocol, and of its model repository extension."""

from importlib.metadata import version as release_of
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from sepal.contracts import Contract, wire
from sepal.errors import ModelServerUnavailableError, NotFoundError
from sepal.gateway.access import require
from sepal.gateway.media_types import media_type
from sepal.gateway.protocols.bodies import read_model
from sepal.gateway.protocols.described import json_body, responses
from sepal.gateway.protocols.open_inference.documents import (
    IndexEntry,
    IndexRequest,
    InferenceErrorDocument,
    InferenceRequest,
    InferenceResponse,
    ModelDocument,
    ModelReadyDocument,
    ServerDocument,
    describe,
    example,
    outputs_of,
)
from sepal.gateway.protocols.open_inference.inputs import read_columns
from sepal.gateway.protocols.open_inference.outputs import response, wanted
from sepal.gateway.protocols.quick_route import Handle
from sepal.gateway.protocols.served import Served, versions_of

TAG = "Open Inference Protocol"

_LENGTH = "Inference-Header-Content-Length"
_MEDIA_TYPES = ("", "application/json", "application/octet-stream")  # clients say what they like


def open_inference_routes(served: Served) -> tuple[APIRouter, dict[str, Handle]]:
    """The routes, and those of them that may go around the framework."""
    router = APIRouter(prefix="/v2", tags=[TAG])
    _add_server(router)
    _add_repository(router, served)
    quick: dict[str, Handle] = {}
    for contract in served.contracts.values():
        quick[f"/v2/models/{contract.name}/infer"] = _add_model(router, served, contract)
    # The versions in paths, and models that do not exist.
    for path in ("/models/{model}", "/models/{model}/versions/{version}"):
        router.get(path, include_in_schema=False)(_metadata(served))
        router.get(f"{path}/ready", include_in_schema=False)(_ready(served))
        router.post(f"{path}/infer", include_in_schema=False)(_infer(served))
    return router, quick


def _add_server(router: APIRouter) -> None:
    @router.get("", summary="What serves", name="server_metadata")
    @router.get("/", include_in_schema=False)
    async def server_metadata() -> ServerDocument:
        return ServerDocument(
            name="sepal", version=release_of("sepal"), extensions=["binary_tensor_data", "model_repository"]
        )


def _add_repository(router: APIRouter, served: Served) -> None:
    @router.post(
        "/repository/index",
        summary="The versions of every model",
        openapi_extra=json_body(IndexRequest, required=False),
        responses=_errors(400, 413, 503),
    )
    async def index(request: Request) -> list[IndexEntry]:
        body = await served.read(request)
        only_ready = bool(body) and read_model(IndexRequest, body).ready
        entries = await _index(served)
        return [entry for entry in entries if entry.state == "READY" or not only_ready]

    @router.post("/repository/models/{model}/load", include_in_schema=False)
    @router.post("/repository/models/{model}/unload", include_in_schema=False)
    async def refuse(model: str, request: Request) -> None:
        require(request.scope, "admin")
        name = served.contract(model).name
        raise HTTPException(
            403,
            "Which version answers is decided by `sepal models promote`, `rollback` and `trial`, "
            f"and not by load and unload: sepal models promote {name} VERSION --why REASON.",
        )


def _add_model(router: APIRouter, served: Served, contract: Contract) -> Handle:
    path, name = f"/models/{contract.name}", contract.name
    infer = _infer(served, contract)
    router.get(
        path,
        name=f"{name}_metadata",
        summary="What a model takes and gives",
        responses=responses(ModelDocument, InferenceErrorDocument, 503),
    )(_metadata(served, contract))
    router.get(
        f"{path}/ready",
        name=f"{name}_ready",
        summary="Does a model answer?",
        responses=responses(ModelReadyDocument, InferenceErrorDocument, 503),
    )(_ready(served, contract))
    router.post(
        f"{path}/infer",
        name=f"{name}_infer",
        summary="Predictions for rows as tensors",
        description=f"{contract.description}\n\nInputs and outputs may be binary tensors, announced by the "
        f"header `{_LENGTH}`. A path may name a version: `/v2/models/{name}/versions/VERSION/infer`.",
        openapi_extra=json_body(InferenceRequest, {"one row": example(contract)}),
        responses=responses(InferenceResponse, InferenceErrorDocument, 400, 413, 415, 503, 504),
    )(infer)
    return infer


def _metadata(served: Served, contract: Contract | None = None) -> Handle:
    async def metadata(request: Request) -> Response:
        model = contract or _model(served, request)
        if (version := request.path_params.get("version")) is not None:
            await _key(served, model, version)
        answering = await served.readiness().answering(model.name)
        return _document(describe(model, answering.versions))

    return metadata


def _ready(served: Served, contract: Contract | None = None) -> Handle:
    async def ready(request: Request) -> Response:
        model = contract or _model(served, request)
        if (version := request.path_params.get("version")) is not None:
            await _key(served, model, version)
        await served.readiness().answering(model.name)
        return _document(ModelReadyDocument(name=model.name))

    return ready


def _infer(served: Served, contract: Contract | None = None) -> Handle:
    known = {name: outputs_of(one) for name, one in served.contracts.items()}

    async def infer(request: Request) -> Response:
        model = contract or _model(served, request)
        body = await served.read(request, model)
        text, binary = _parts(request, body)
        asked = read_model(InferenceRequest, text)
        outputs = wanted(known[model.name], asked)
        columns, n_rows = read_columns(model, asked.inputs, binary)
        version = request.path_params.get("version")
        key = None if version is None else await _key(served, model, version)
        answers = await served.score(request, model, columns, n_rows, key)
        if version is not None and (found := versions_of(model, answers)) != [version]:
            raise _other_version(model, version, found)
        content, length = response(model, asked.id, outputs, answers)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={_LENGTH: str(length)}, media_type="application/octet-stream")

    return infer


def _model(served: Served, request: Request) -> Contract:
    return served.contract(request.path_params["model"])


def _parts(request: Request, body: bytes) -> tuple[bytes, bytes]:
    """The JSON of a body, and the binary data after it."""
    if (given := media_type(request)) not in _MEDIA_TYPES:
        raise HTTPException(415, f"Send application/json, or application/octet-stream, not {given}.")
    if (length := request.headers.get(_LENGTH)) is None:
        return body, b""
    if not length.isdecimal() or int(length) > len(body):
        raise HTTPException(400, f"{_LENGTH}: {length} is not the length of this body's JSON.")
    return body[: int(length)], body[int(length) :]


async def _key(served: Served, contract: Contract, version: str) -> float:
    """The key of rows that one version is to answer; NotFoundError if it does not answer."""
    answering = await served.readiness().answering(contract.name)
    if version == answering.champion:
        return wire.CHAMPION_KEY
    if version == answering.challenger:
        return wire.CHALLENGER_KEY
    raise _other_version(contract, version, answering.versions)


def _other_version(contract: Contract, version: str, answering: list[str]) -> NotFoundError:
    return NotFoundError(
        f"Version {version!r} of {contract.name} does not answer. {' and '.join(answering)} does. "
        "`sepal models promote` has another one answer."
    )


async def _index(served: Served) -> list[IndexEntry]:
    entries = []
    for name, versions in (await served.readiness().versions()).items():
        if name not in served.contracts:
            continue
        try:
            answering = (await served.readiness().answering(name)).versions
            why = f"not in use: {answering[0]} answers"
        except ModelServerUnavailableError as error:
            answering, why = [], str(error)
        for version in versions:
            ready = version["name"] in answering
            entries.append(
                IndexEntry(
                    name=name,
                    version=version["name"],
                    state="READY" if ready else "UNAVAILABLE",
                    reason="" if ready else why,
                )
            )
    return entries


def _document(document: BaseModel) -> Response:
    return Response(document.model_dump_json(exclude_none=True), media_type="application/json")


def _errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return responses(None, InferenceErrorDocument, *statuses)
