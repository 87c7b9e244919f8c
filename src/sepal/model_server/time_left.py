"""What keeps a worker from working for nobody: a call's time runs out, or the worker is about to stop."""

import asyncio
from collections.abc import Awaitable, Callable

from starlette.types import Message, Scope, Send

from sepal.contracts import wire

_NAME = wire.TIME_LEFT_HEADER.lower().encode()


def time_left(scope: Scope) -> float | None:
    """Seconds for which somebody waits for the answer, if that is told."""
    for name, value in scope["headers"]:
        if name == _NAME:
            try:
                return float(value)
            except ValueError:
                return None
    return None


async def within(seconds: float, answer: Callable[[Send], Awaitable[None]], send: Send) -> None:
    """Answer in time, or else say 504; what has not been scored by then is not."""
    started = False

    async def send_on(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        async with asyncio.timeout(seconds):
            await answer(send_on)
    except TimeoutError:
        if not started:
            await say(send, 504, b"too late")


def closing(send: Send) -> Send:
    """Send answers that say of themselves that they are their connection's last."""

    async def send_last(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        await send(message)

    return send_last


async def say(send: Send, status: int, text: bytes) -> None:
    """A short answer."""
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
