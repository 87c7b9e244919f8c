"""`GET /health`, which both MLflow's clients and those of older services ask."""

from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from sepal.errors import ModelServerUnavailableError
from sepal.gateway.protocols.served import Served


class HealthDocument(BaseModel):
    """Whether every model answers, with the fields of all older services."""

    status: Literal["ok", "error"]
    message: str
    timestamp: datetime = Field(description="When this was answered.")
    service: Literal["sepal"] = "sepal"


def health_routes(served: Served) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["Compatibility with older services"])

    @router.get(
        "/health",
        summary="Does every model answer?",
        description="Kept for clients of MLflow and of older services. New ones use `/readyz`.",
        responses={503: {"model": HealthDocument, "description": "A model does not answer"}},
    )
    async def health(response: Response) -> HealthDocument:
        now = datetime.now(UTC)
        try:
            await served.check_ready()
        except ModelServerUnavailableError as error:
            response.status_code = 503
            return HealthDocument(status="error", message=str(error), timestamp=now)
        return HealthDocument(
            status="ok", message=f"Every model answers: {', '.join(served.contracts)}.", timestamp=now
        )

    return router
