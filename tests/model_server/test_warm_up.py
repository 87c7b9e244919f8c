"""Warming up: every ready model answers its example before the worker takes connections."""

from starlette.types import Message, Receive, Scope, Send

from sepal.contracts import wire
from sepal.contracts.iris import contract as iris
from sepal.model_server.warm_up import REQUESTS, WarmUp


async def test_start_up_ends_only_after_the_ready_models_have_answered() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            return
        assert iris.decode((await receive())["body"]) == [iris.features.model_validate(iris.example)]
        assert dict(scope["headers"])[b"content-type"] == wire.MEDIA_TYPE.encode()
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Message) -> None:
        seen.append(message["type"])

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    await WarmUp(app, ready=lambda: [iris], finish=seen.append)(
        {"type": "lifespan", "app": "app"}, receive, send
    )
    assert seen == ["/iris/score"] * REQUESTS + ["app", "lifespan.startup.complete"]
