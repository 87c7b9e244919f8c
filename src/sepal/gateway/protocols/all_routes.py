"""The routes of all protocols that the settings ask for."""

from fastapi import APIRouter

from sepal.gateway.protocols.health import health_routes
from sepal.gateway.protocols.mlflow import mlflow_routes
from sepal.gateway.protocols.older_services import older_routes
from sepal.gateway.protocols.open_inference.routes import open_inference_routes
from sepal.gateway.protocols.quick_route import Handle
from sepal.gateway.protocols.served import Served


def protocol_routes(served: Served) -> tuple[APIRouter, dict[str, Handle]]:
    """The routes, and by path those that may go around the framework."""
    router = APIRouter()
    quick: dict[str, Handle] = {}
    older = [older_routes] if served.settings.compatibility == "on" else []
    for routes_of in (open_inference_routes, mlflow_routes, *older):
        routes, handles = routes_of(served)
        router.include_router(routes)
        quick |= handles
    router.include_router(health_routes(served))
    return router, quick
