"""A FastAPI route for predictions: it takes JSON of a bounded size, and nothing else."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive, Scope

from sepal.contracts import Contract
from sepal.gateway.access import require
from sepal.gateway.media_types import is_json, media_type
from sepal.gateway.request_context import context_of
from sepal.gateway.strict_json import has_too_many_names, strict_json, too_many_names


def json_route(max_body_bytes: int, contract: Contract | None = None, max_rows: int = 1) -> type[APIRoute]:
    """A route class that says 415 to other media types and to compression, and 413 to too much.

    Too much is more bytes, or many more names than the rows of a contract can have.
    """

    class JsonRequest(Request):
        async def json(self) -> Any:  # noqa: ANN401 (any JSON value)
            body = await self.body()
            if contract is not None and has_too_many_names(body, contract, max_rows):
                raise too_many_names(contract)
            return strict_json(body)

    class JsonRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_json(request: Request) -> Response:
                require(request.scope, "predict")  # before anything of the body is read
                if not is_json(media_type(request)):
                    raise HTTPException(415, "Send JSON, with the header Content-Type: application/json.")
                check_length(request.scope, max_body_bytes)
                return await handle(JsonRequest(request.scope, bounded(request.receive, max_body_bytes)))

            return handle_json

    return JsonRoute


def check_length(scope: Scope, most: int) -> None:
    """Refuse a body that says of itself that it is compressed or too long, before it is read."""
    context = context_of(scope)
    if context.encoding not in (b"", b"identity"):
        raise HTTPException(415, "Send the body as it is, without Content-Encoding.")
    if context.body_bytes > most:
        raise _too_large(most)


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"The body is too large: send at most {most} bytes.")


def bounded(receive: Receive, most: int) -> Receive:
    """Receive a body only as long as it is within its bound, whatever it says of its length."""
    received = 0

    async def receive_bounded() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _too_large(most)
        return message

    return receive_bounded
