"""The good case of a prediction route, without the framework's machinery around it.

FastAPI's handling of a request costs more than all else here. So a body that Pydantic
takes at once is answered right away, and anything else goes on to the declared route,
which is the one that says what is wrong. Both must answer alike: a test holds them
against each other.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field, TypeAdapter, ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sepal.asgi import replay
from sepal.contracts import Contract, Features
from sepal.errors import SepalError
from sepal.gateway import problems
from sepal.gateway.answers import Formatter, formatter
from sepal.gateway.deadline import patience
from sepal.gateway.downloads import as_get
from sepal.gateway.entrance import Entrance
from sepal.gateway.prediction import Predictor, prediction_path
from sepal.gateway.recorder import Recorder
from sepal.gateway.request_context import context_of
from sepal.gateway.strict_json import has_too_many_names, is_strict
from sepal.gateway.trial_key import trial_key
from sepal.settings import Settings


class Gateway(FastAPI):
    """FastAPI with a way around it for the paths in `fast_routes`."""

    fast_routes: Mapping[str, ASGIApp] = {}

    def __init__(self, recorder: Recorder, **more: Any) -> None:  # noqa: ANN401 (FastAPI's)
        super().__init__(**more)
        self.entrance = Entrance(self._route, recorder)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection, or the application's life."""
        if scope["type"] == "http":
            await self.entrance(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        fast = self.fast_routes.get(scope["path"]) if scope["method"] == "POST" else None
        if fast is not None and context_of(scope).may("predict"):
            await fast(scope, receive, send)
        elif scope["method"] == "HEAD":
            await self._as_get(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _as_get(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as to a GET; uvicorn, which knows that it is none, leaves the body out."""
        inner = as_get(scope)
        await super().__call__(inner, receive, send)
        scope["route"] = inner.get("route")


def fast_routes(
    app: FastAPI,
    contracts: Mapping[str, Contract],
    predictor: Callable[[str], Predictor],
    settings: Settings,
) -> dict[str, ASGIApp]:
    """The way around `app` for each prediction route that it declares."""
    declared: ASGIApp = partial(FastAPI.__call__, app)
    return {
        prediction_path(contract, probabilities): FastRoute(
            declared,
            prediction_path(contract, probabilities),
            contract,
            partial(predictor, contract.name),
            formatter(contract, probabilities=probabilities),
            settings,
        )
        for contract in contracts.values()
        for probabilities in (False, True)[: 1 + contract.target.has_probabilities]
    }


class FastRoute:
    """One prediction route: JSON in, JSON out, or else the declared route."""

    def __init__(
        self,
        declared: ASGIApp,
        path: str,
        contract: Contract,
        predictor: Callable[[], Predictor],
        format_answers: Formatter,
        settings: Settings,
    ) -> None:
        self._declared = declared
        self._contract = contract
        self._path = path
        self._predictor = predictor
        self._format = format_answers
        self._settings = settings
        self._one = contract.features.__pydantic_validator__.validate_json
        rows: Any = Annotated[list[contract.features], Field(min_length=1, max_length=settings.max_rows)]  # type: ignore[name-defined]  # made at run time
        self._many: Callable[[bytes], list[Features]] = TypeAdapter(rows).validator.validate_json

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        predictor = self._predictor()
        try:
            seconds = patience(scope, self._settings.request_timeout)
            predictor.admit(seconds)
        except SepalError as error:
            await problems.known(scope, error, self._settings.retry_after)(scope, receive, send)
            return
        received: list[Message] = []
        body = await self._read(scope, receive, received)
        if body is None:
            await self._declared(scope, replay(received, receive), send)
            return
        many = body.startswith(b"[")
        context = context_of(scope)
        context.endpoint, context.validating = self._path, time.perf_counter()
        rows = self._rows(body, many)
        if rows is None:
            await self._declared(scope, replay(received, receive), send)
            return
        try:
            deadline = time.monotonic() + seconds
            found = await predictor.predict(rows, context_of(scope).gone, trial_key(scope), deadline)
            answers = self._format(found)
        except SepalError as error:
            await problems.known(scope, error, self._settings.retry_after)(scope, receive, send)
            return
        except Exception as error:  # noqa: BLE001 (as the declared route does it)
            await problems.unexpected(scope, error)(scope, receive, send)
            return
        content = b"[" + b",".join(answers) + b"]" if many else answers[0]
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    (b"content-length", b"%d" % len(content)),
                    (b"content-type", b"application/json"),
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})

    def _rows(self, body: bytes, many: bool) -> Sequence[Features] | None:
        """The rows of a body; None if it is not certain that it is sound."""
        if has_too_many_names(body, self._contract, self._settings.max_rows):
            return None
        try:
            rows: Sequence[Features] = self._many(body) if many else (self._one(body),)
        except ValidationError:
            return None
        # As many colons as features: so no name came twice, of which the validator takes the last.
        if body.count(b":") == sum([len(row.__pydantic_fields_set__) for row in rows]) or is_strict(body):
            return rows
        return None

    async def _read(self, scope: Scope, receive: Receive, received: list[Message]) -> bytes | None:
        """The body; None if it is not plainly called JSON, compressed, too large, or broken off."""
        if (b"content-type", b"application/json") not in scope["headers"]:
            return None
        context = context_of(scope)
        if context.encoding or context.body_bytes > self._settings.max_body_bytes:
            return None
        size = 0
        while True:
            message = await receive()
            received.append(message)
            size += len(message.get("body", b""))
            if message["type"] != "http.request" or size > self._settings.max_body_bytes:
                return None
            if not message.get("more_body"):
                break
        if len(received) == 1:
            return bytes(received[0]["body"])
        return b"".join(message["body"] for message in received)
