"""The page at /docs: Swagger UI, from files that come with a package, not from elsewhere."""

import base64
import hashlib
import re
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PAGE = "/docs"
_FILES: dict[str, Any] = {
    "swagger_js_url": "swagger/swagger-ui-bundle.js",
    "swagger_css_url": "swagger/swagger-ui.css",
    "swagger_favicon_url": "swagger/favicon-32x32.png",
}
DOCUMENTATION_PATHS = frozenset({PAGE, "/openapi.json", *(f"/{file}" for file in _FILES.values())})
"""What a browser asks for to show the page. Whole paths: a model could be called swagger."""


def serve_documentation(app: FastAPI) -> None:
    """Add the page and its files. Its addresses are relative, so that it works behind any proxy."""
    app.mount("/swagger", StaticFiles(packages=[("fastapi_swagger", "resources")]))
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=app.title,
        swagger_ui_parameters={"tryItOutEnabled": True, "displayRequestDuration": True},
        **_FILES,
    )
    page.headers["Content-Security-Policy"] = _policy(bytes(page.body).decode())

    @app.get(PAGE, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page.body, headers=dict(page.headers))


def _policy(page: str) -> str:
    """What the page may do: run its own script and no other, and call where it comes from."""
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
