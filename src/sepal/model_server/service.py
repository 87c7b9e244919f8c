"""The BentoML service, its APIs built from the contracts that it is told to serve."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import bentoml
from bentoml.exceptions import ServiceUnavailable
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from sepal import garbage
from sepal.contracts import Contract
from sepal.contracts.catalogue import load_contracts
from sepal.draining import drain_on_sigterm
from sepal.lifeline import end_with_parent
from sepal.model_server.descriptors import answers_descriptor, rows_descriptor
from sepal.model_server.express_lane import ExpressLane
from sepal.model_server.follower import Follower
from sepal.model_server.metrics import Score
from sepal.model_server.models import ModelNotReadyError, Models
from sepal.model_server.observation import Observation
from sepal.model_server.warm_up import WarmUp, warm_up
from sepal.scoring.matrix import Matrix
from sepal.settings import Settings, load_settings
from sepal.telemetry.logs import SERVES_VARIABLE, Log, log_of_process


def build_service(settings: Settings, log: Log | None = None) -> Any:  # noqa: ANN401 (bentoml.Service of a class made here)
    """One service: `POST /{model}/score`, batchable, for each model; what is served, and metrics."""
    contracts = list(load_contracts(settings.contracts_path, settings.models).values())
    models = Models(contracts)
    follower = Follower(models, settings)
    observation = Observation(settings, models, log)
    score = observation.metrics.timed(models.score)

    def load(_self: object) -> None:
        # Imported late, since BentoML's parent process imports this module too, and never scores.
        from sepal.registry import Registry

        with Registry.open(settings) as registry:
            follower.look(registry)

    def finish(app: Starlette) -> None:
        """Put the express lane before everything else, where a service's middleware can't be put."""
        assert app.middleware_stack is not None  # noqa: S101 (it has started)
        follower.start(_warmer(app.middleware_stack))
        garbage.settle()
        lane = ExpressLane(
            app.middleware_stack,
            contracts,
            score,
            models.version_names,
            observation.metrics.timed(models.score_keyed),
            lone=settings.express_lane == "on",
        )
        app.middleware_stack = observation.start(lane, contracts)
        follower.trials.waiting = lane.waiting
        drain_on_sigterm(settings.drain_delay, lane.close, alone=False)

    def stop(_self: object) -> None:
        follower.stop()
        observation.stop()

    apis = {f"score_{contract.name}": _api(contract, models, score, settings) for contract in contracts}
    hooks = {
        "__init__": load,
        "lifeline": bentoml.on_startup(_lifeline),
        "stop": bentoml.on_shutdown(stop),
    }
    service = bentoml.service(
        name="sepal",
        workers=settings.model_server_workers,
        logging={"access": {"enabled": False}},
        metrics={"enabled": False},
        traffic={"timeout": settings.max_batch_wait},
    )(type("ModelServer", (), {**hooks, **apis}))
    service.add_asgi_middleware(WarmUp, ready=models.ready, finish=finish)
    service.mount_asgi_app(_status_app(models, settings), path="/")
    return service


def _api(contract: Contract, models: Models, score_rows: Score, settings: Settings) -> Any:  # noqa: ANN401 (bentoml.api's)
    async def score(_self: object, rows: Matrix) -> Matrix:
        try:
            return score_rows(contract.name, rows)
        except ModelNotReadyError as error:
            raise ServiceUnavailable(str(error)) from error

    score.__name__ = f"score_{contract.name}"
    score.__doc__ = contract.description
    decorate: Callable[[Any], Any] = bentoml.api(
        batchable=True,
        route=f"/{contract.name}/score",
        max_batch_size=settings.max_batch_rows,
        max_latency_ms=int(settings.max_batch_wait * 1000),
        input_spec=rows_descriptor(contract),
        output_spec=answers_descriptor(models.version_names(contract.name)),
    )
    return decorate(score)


def _lifeline(_self: object) -> None:
    end_with_parent()


def _warmer(app: ASGIApp) -> Callable[[Contract], None]:
    """Warms up the API of a model whose first version came after the start; called from another thread."""
    loop = asyncio.get_running_loop()

    def warm(contract: Contract) -> None:
        asyncio.run_coroutine_threadsafe(warm_up(app, contract), loop)

    return warm


def _status_app(models: Models, settings: Settings) -> Starlette:
    def read_versions() -> dict[str, list[dict[str, Any]]]:
        from sepal.registry import Registry  # late, as above

        with Registry.open(settings) as registry:
            return {
                name: [{"name": v.name, "state": v.state} for v in registry.versions(name)]
                for name in models.contracts
            }

    async def status(_request: Request) -> JSONResponse:
        return JSONResponse(models.status())

    async def versions(_request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(read_versions))

    async def startup(_request: Request) -> JSONResponse:
        """Whether a version of every model is loaded, for who waits for that."""
        loaded = all(models.loaded(model) is not None for model in models.contracts)
        return JSONResponse(models.status(), 200 if loaded else 503)

    routes = [Route("/models", status), Route("/versions", versions), Route("/startupz", startup)]
    return Starlette(routes=routes)


def _told() -> tuple[Settings, Log | None]:
    """The settings, and the log if this process is one of the model server's."""
    settings = load_settings()
    return settings, log_of_process(settings) if SERVES_VARIABLE in os.environ else None


ModelServer = build_service(*_told())
"""What `bentoml serve sepal.model_server.service:ModelServer` runs."""
