"""Files as answers; of one that a HEAD request asks for only the size is looked at."""

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

_HEAD = "sepal.head"


def as_get(scope: Scope) -> Scope:
    """A HEAD request as the GET request that it is answered like."""
    return {**scope, "method": "GET", _HEAD: True}


class Download(FileResponse):
    """A file, which is not opened if it was a HEAD request."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope.get(_HEAD):
            scope = {**scope, "method": "HEAD"}
        await super().__call__(scope, receive, send)
