"""The answers that the protocol gives itself, to what never becomes a request."""

import json

from sepal.gateway.problems import MEDIA_TYPE

_TITLES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Overloaded",
}


def refusal(status: int, detail: str, request_id: str, retry_after: int, *, close: bool) -> bytes:
    """A whole response, with a problem document; with `close` it says that it is the connection's last."""
    title = _TITLES[status]
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    body = json.dumps({**problem, "request_id": request_id}, separators=(",", ":"))
    head = [
        f"HTTP/1.1 {status} {title}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        f"x-request-id: {request_id}",
    ]
    if status == 503:
        head.append(f"retry-after: {retry_after}")
    if close:
        head.append("connection: close")
    return "\r\n".join((*head, "", body)).encode()
