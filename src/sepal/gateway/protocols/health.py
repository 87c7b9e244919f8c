"""What probes ask in each protocol, which is for everybody: whether all is well."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

from sepal.errors import ModelServerUnavailableError
from sepal.gateway.protocols import mlflow, older_services
from sepal.gateway.protocols.described import TEXT, responses
from sepal.gateway.protocols.open_inference.documents import (
    InferenceErrorDocument,
    LiveDocument,
    ReadyDocument,
)
from sepal.gateway.protocols.open_inference.routes import TAG
from sepal.gateway.protocols.served import Served

_QUESTION = "Does every model answer?"


class HealthDocument(BaseModel):
    """Whether every model answers, with the fields of all older services."""

    status: Literal["ok", "error"]
    message: str
    timestamp: datetime = Field(description="When this was answered.")
    service: Literal["sepal"] = "sepal"


def health_routes(served: Served) -> APIRouter:
    """`/v2/health/live`, `/v2/health/ready`, `/ping` and `/health`."""
    router = APIRouter()

    @router.get("/v2/health/live", summary="Is this process alive?", tags=[TAG])
    async def server_live() -> LiveDocument:
        return LiveDocument()

    @router.get(
        "/v2/health/ready",
        summary=_QUESTION,
        tags=[TAG],
        responses=responses(None, InferenceErrorDocument, 503),
    )
    async def server_ready(request: Request) -> ReadyDocument:
        await served.check_ready(request)
        return ReadyDocument()

    @router.get(
        "/ping",
        summary=_QUESTION,
        tags=[mlflow.TAG],
        responses={**TEXT, **responses(None, mlflow.InvocationErrorDocument, 503)},
    )
    async def ping(request: Request) -> Response:
        await served.check_ready(request)
        return PlainTextResponse("\n")

    @router.get(
        "/health",
        summary=_QUESTION,
        description="Kept for clients of MLflow and of older services. New ones use `/readyz`.",
        tags=[older_services.TAG],
        responses={503: {"model": HealthDocument, "description": "A model does not answer"}},
    )
    async def health(request: Request, response: Response) -> HealthDocument:
        now = datetime.now(UTC)
        try:
            await served.check_ready(request)
        except ModelServerUnavailableError as error:
            response.status_code = 503
            return HealthDocument(status="error", message=str(error), timestamp=now)
        return HealthDocument(status="ok", message="Every model answers.", timestamp=now)

    return router
