"""The routes of all protocols that the settings ask for."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter

from sepal.gateway.protocols import mlflow, older_services
from sepal.gateway.protocols.health import health_routes
from sepal.gateway.protocols.open_inference import documents
from sepal.gateway.protocols.open_inference.routes import open_inference_routes
from sepal.gateway.protocols.quick_route import Handle
from sepal.gateway.protocols.served import Served


def protocol_routes(served: Served, for_callers: Mapping[str, Any]) -> tuple[APIRouter, dict[str, Handle]]:
    """The routes, and by path those that may go around the framework.

    `for_callers` has what routes need that are not for everybody; their errors are told in each
    protocol's own form.
    """
    router = APIRouter()
    quick: dict[str, Handle] = {}
    protocols = [
        (open_inference_routes, documents.InferenceErrorDocument),
        (mlflow.mlflow_routes, mlflow.InvocationErrorDocument),
        (older_services.older_routes, older_services.OlderErrorDocument),
    ]
    for routes_of, error in protocols[: 3 if served.settings.compatibility == "on" else 2]:
        routes, handles = routes_of(served)
        responses = {
            status: {"model": error, "description": HTTPStatus(status).phrase}
            for status in for_callers.get("responses", {})
        }
        router.include_router(routes, **{**for_callers, "responses": responses})
        quick |= handles
    router.include_router(health_routes(served))
    return router, quick
