"""The routes about the gateway itself: welcome, health, and what it serves."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from sepal.contracts import Contract
from sepal.gateway.readiness import ModelReadiness, Readiness
from sepal.gateway.request_context import context_of


class Welcome(BaseModel):
    """Where to go from here."""

    message: str


class Life(BaseModel):
    """That this process runs."""

    status: Literal["alive"] = "alive"


class Health(BaseModel):
    """Whether every model answers, and which does not."""

    status: Literal["ready", "not ready"]
    models: dict[str, ModelReadiness] | None = Field(
        None,
        description="Each model. Left out for those who need a key and have not sent one.",
        exclude_if=lambda models: models is None,
    )


class FeatureDescription(BaseModel):
    """One feature of a model, in the order in which the model takes them."""

    name: str
    aliases: list[str]
    kind: str
    optional: bool
    unit: str | None = None
    description: str


class ModelDescription(BaseModel):
    """One model: what it takes, what it gives, and whether it answers."""

    name: str
    description: str
    features: list[FeatureDescription]
    target: dict[str, Any] = Field(examples=[{"labels": ["Iris-setosa", "Iris-versicolor"]}])
    readiness: ModelReadiness


def service_routes(
    contracts: dict[str, Contract],
    readiness: Callable[[], Readiness],
    *,
    docs: bool = True,
    for_callers: Mapping[str, Any] | None = None,
) -> APIRouter:
    """`/`, `/livez`, `/readyz`, `/healthz` and `/models`; `for_callers` has what the last one needs."""
    router = APIRouter(tags=["service"])

    @router.get("/", summary="Welcome")
    async def welcome() -> Welcome:
        if not docs:
            return Welcome(message="This is Sepal.")
        return Welcome(message=f"Sepal serves {', '.join(contracts)}. Visit /docs to try.")

    @router.get("/livez", summary="Is this process alive?")
    async def livez() -> Life:
        return Life()

    async def health(request: Request, response: Response) -> Health:
        models = await readiness().check()
        told = None if context_of(request.scope).is_from_a_stranger else models
        if all(model.ready for model in models.values()):
            return Health(status="ready", models=told)
        response.status_code = 503
        return Health(status="not ready", models=told)

    not_ready: dict[int | str, dict[str, Any]] = {
        503: {"model": Health, "description": "A model does not answer"}
    }
    for path in ("/readyz", "/healthz"):
        router.get(path, summary="Does every model answer?", responses=not_ready, name=path.strip("/"))(
            health
        )

    @router.get("/models", summary="The models that are served", **(for_callers or {}))
    async def models() -> list[ModelDescription]:
        ready = await readiness().check()
        return [describe(contract, ready[contract.name]) for contract in contracts.values()]

    return router


def describe(contract: Contract, readiness: ModelReadiness) -> ModelDescription:
    """What `/models` says of one model."""
    return ModelDescription(
        name=contract.name,
        description=contract.description,
        features=[
            FeatureDescription.model_validate(column, from_attributes=True) for column in contract.columns
        ],
        target=contract.target.describe(),
        readiness=readiness,
    )
