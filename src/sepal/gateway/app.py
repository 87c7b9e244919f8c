"""The gateway's application, put together from its parts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from sepal import garbage
from sepal.contracts.catalogue import load_contracts
from sepal.gateway import problems
from sepal.gateway.documentation import serve_documentation
from sepal.gateway.fast_route import Gateway, fast_routes
from sepal.gateway.job_routes import job_routes
from sepal.gateway.limits import LIMITS, limits_of
from sepal.gateway.openapi import describe_problems
from sepal.gateway.prediction import make_predictor
from sepal.gateway.prediction_routes import prediction_routes
from sepal.gateway.readiness import Readiness
from sepal.gateway.service_routes import service_routes
from sepal.gateway.upstream import open_model_server
from sepal.jobs.queue import JobQueue
from sepal.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The gateway for the models that the settings name, or all. Connects to nothing until it runs."""
    contracts = load_contracts(settings.contracts_path, settings.models)
    queues = {name: JobQueue(settings, name) for name in contracts}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, object]]:
        async with open_model_server(settings) as model_server:
            app.state.predictors = {
                name: make_predictor(contract, model_server, settings)
                for name, contract in contracts.items()
            }
            app.state.readiness = Readiness(
                model_server, list(contracts.values()), cache=settings.ready_cache
            )
            app.state.limits = limits = limits_of(settings)
            watch = asyncio.create_task(limits.watch())
            garbage.settle()
            yield {LIMITS: limits}
            watch.cancel()
            for queue in queues.values():
                queue.close()

    app = Gateway(
        title="Sepal",
        summary="Predictions of scikit-learn models.",
        version=version("sepal"),
        lifespan=lifespan,
        docs_url=None,  # served below
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    problems.install(app, settings.retry_after)
    app.include_router(service_routes(contracts, lambda: app.state.readiness))
    app.include_router(prediction_routes(contracts, lambda model: app.state.predictors[model], settings))
    app.include_router(job_routes(contracts, queues, settings))
    if settings.fast_route == "on":
        app.fast_routes = fast_routes(app, contracts, lambda model: app.state.predictors[model], settings)
    serve_documentation(app)
    describe_problems(app)
    return app
