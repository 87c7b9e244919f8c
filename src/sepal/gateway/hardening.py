"""What every answer tells a browser, and which pages of elsewhere may read it."""

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from sepal.settings import Settings

Headers = list[tuple[bytes, bytes]]

_ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
"""As https://cheatsheetseries.owasp.org/cheatsheets/REST_Security_Cheat_Sheet.html advises."""
_NO_PAGE = {"content-security-policy": "default-src 'none'; frame-ancestors 'none'"}


def security_headers(settings: Settings, *, page: bool = False) -> Headers:
    """The headers of every answer; a page says itself what it may do."""
    headers = _ALWAYS if page else {**_ALWAYS, **_NO_PAGE}
    if settings.hsts:
        headers = {**headers, "strict-transport-security": f"max-age={settings.hsts}; includeSubDomains"}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def with_cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """An application that pages of the origins in the settings may call. No cookies: there are none."""
    return CORSMiddleware(
        app,
        allow_origins=settings.cors_origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=(
            *("Authorization", "X-API-Key", "X-Request-ID", "X-Request-Deadline"),
            *("X-Trial-Key", "Idempotency-Key", "Inference-Header-Content-Length"),
        ),
        expose_headers=(
            *("X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy", "Location"),
            "Inference-Header-Content-Length",
        ),
    )
