"""A FastAPI route for predictions: it takes JSON of a bounded size, and nothing else."""

from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message as AsgiMessage
from starlette.types import Receive

from sepal.gateway.access import require
from sepal.gateway.request_context import context_of


def json_route(max_body_bytes: int) -> type[APIRoute]:
    """A route class that says 415 to other media types and to compression, and 413 to more bytes."""

    class JsonRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_json(request: Request) -> Response:
                require(request.scope, "predict")  # before anything of the body is read
                if not _is_json(request.headers.get("content-type", "")):
                    raise HTTPException(415, "Send JSON, with the header Content-Type: application/json.")
                context = context_of(request.scope)
                if context.encoding not in (b"", b"identity"):
                    raise HTTPException(415, "Send the body as it is, without Content-Encoding.")
                if context.body_bytes > max_body_bytes:
                    raise _too_large(max_body_bytes)
                return await handle(Request(request.scope, _bounded(request.receive, max_body_bytes)))

            return handle_json

    return JsonRoute


def _is_json(content_type: str) -> bool:
    given = Message()
    given["content-type"] = content_type
    return given.get_content_maintype() == "application" and f"+{given.get_content_subtype()}".endswith(
        "+json"
    )


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, f"The body is too large: send at most {most} bytes.")


def _bounded(receive: Receive, most: int) -> Receive:
    """Receive a body only as long as it is within its bound, whatever it says of its length."""
    received = 0

    async def receive_bounded() -> AsgiMessage:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise _too_large(most)
        return message

    return receive_bounded
