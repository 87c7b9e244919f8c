"""Starts the gateway in the foreground: `python -m sepal.gateway`."""

import uvicorn

from sepal.errors import told_in_one_line
from sepal.gateway.app import create_app
from sepal.settings import load_settings


def main() -> None:
    """Serve until a signal says stop; then finish the requests in flight."""
    with told_in_one_line():
        settings = load_settings()
        app = create_app(settings)
    uvicorn.run(
        app,
        host=settings.gateway_host,
        port=settings.gateway_port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.stop_timeout),
    )


if __name__ == "__main__":
    main()
