"""The gateway's application, put together from its parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from sepal import garbage
from sepal.access.safety import check
from sepal.contracts.catalogue import load_contracts
from sepal.gateway import problems
from sepal.gateway.access import Access
from sepal.gateway.bounds import BOUNDS, bounds_of
from sepal.gateway.documentation import PAGE, serve_documentation
from sepal.gateway.fast_route import Gateway, fast_routes
from sepal.gateway.hardening import security_headers, with_cors
from sepal.gateway.job_routes import job_routes
from sepal.gateway.limits import Limits
from sepal.gateway.observation import Observation, metrics_routes
from sepal.gateway.openapi import check_names, describe_problems
from sepal.gateway.prediction import make_predictor, prediction_path
from sepal.gateway.prediction_routes import prediction_routes
from sepal.gateway.protocols.all_routes import protocol_routes
from sepal.gateway.protocols.quick_route import QuickRoute
from sepal.gateway.protocols.served import Served
from sepal.gateway.readiness import Readiness
from sepal.gateway.service_routes import service_routes
from sepal.gateway.upstream import open_model_server
from sepal.jobs.queue import JobQueue
from sepal.settings import Settings
from sepal.telemetry.logs import Log

API_VERSION = "1"
"""Of the interface. /docs is there for everybody, so it does not tell which release this is."""


def create_app(settings: Settings, log: Log | None = None) -> FastAPI:
    """The gateway for the models that the settings name, or all. Connects to nothing until it runs.

    Without a `log` no line is written for each request.
    """
    check(settings)
    limits = Limits(settings)
    access = Access(settings, limits)
    contracts = load_contracts(settings.contracts_path, settings.models)
    check_names(contracts.values())
    queues = {name: JobQueue(settings, name) for name in contracts}
    observation = Observation(settings, log)
    bounds = bounds_of(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        with observation.running() as calls:
            async with open_model_server(settings, calls) as model_server:
                app.state.predictors = {
                    name: make_predictor(contract, model_server, settings, observation.metrics)
                    for name, contract in contracts.items()
                }
                app.state.readiness = Readiness(
                    model_server, list(contracts.values()), cache=settings.ready_cache, bounds=bounds
                )
                observation.metrics.watch(bounds, limits, access, model_server)
                watch = asyncio.create_task(bounds.watch())
                garbage.settle()
                yield {BOUNDS: bounds}
                watch.cancel()
                for queue in queues.values():
                    queue.close()
                await limits.close()

    app = Gateway(
        observation.recorder,
        title="Sepal",
        summary="Predictions of scikit-learn models.",
        version=API_VERSION,
        openapi_url="/openapi.json" if settings.docs == "on" else None,
        lifespan=lifespan,
        docs_url=None,  # served below
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,  # it would redirect to whatever host the request names
    )
    app.state.bounds = bounds  # before the lifespan: a process may be told to stop while it starts
    problems.install(app, settings.retry_after)
    app.include_router(
        service_routes(
            contracts,
            lambda: app.state.readiness,
            docs=settings.docs == "on",
            for_callers=access.needs("predict"),
        )
    )
    app.include_router(metrics_routes(settings, observation.text), **access.needs("admin"))
    app.include_router(
        prediction_routes(contracts, lambda model: app.state.predictors[model], settings),
        **access.needs("predict"),
    )
    app.include_router(job_routes(contracts, queues, settings), **access.needs("bulk"))
    served = Served(
        contracts, lambda model: app.state.predictors[model], lambda: app.state.readiness, settings
    )
    protocols, handles = protocol_routes(served, access.needs("predict"))
    app.include_router(protocols)
    observation.recorder.paths = frozenset(handles) | {
        prediction_path(contract, probabilities)
        for contract in contracts.values()
        for probabilities in (False, True)[: 1 + contract.target.has_probabilities]
    }
    if settings.fast_route == "on":
        app.fast_routes = {
            **fast_routes(app, contracts, lambda model: app.state.predictors[model], settings),
            **{path: QuickRoute(path, handle, settings.retry_after) for path, handle in handles.items()},
        }
    if settings.docs == "on":
        serve_documentation(app)
        describe_problems(app)
    protect(app, settings, access)
    return app


def protect(app: Gateway, settings: Settings, access: Access) -> None:
    """Put around all routes who may come in, and onto every answer what browsers are to do with it."""
    if access.is_asked_for:
        app.entrance.surround(access.around)
    if settings.cors_origins:
        app.entrance.surround(lambda inner: with_cors(inner, settings))
    app.entrance.headers = security_headers(settings)
    app.entrance.headers_at = {PAGE: security_headers(settings, page=True)}
