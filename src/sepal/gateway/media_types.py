"""What kind of body a request says that it has."""

from email.message import Message

from fastapi import Request

_PLAIN = ("", "application/json", "application/octet-stream")
"""What mostly is said, and needs no parser."""


def media_type(request: Request) -> str:
    """The body's media type in lower case, without its parameters; nothing if it is not said."""
    said = request.headers.get("content-type", "")
    if said in _PLAIN:
        return said
    given = Message()
    given["content-type"] = said
    return given.get_content_type()


def is_json(kind: str) -> bool:
    """Whether a media type is JSON or one of its kinds."""
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
