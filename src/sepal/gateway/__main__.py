"""Starts the gateway in the foreground: `python -m sepal.gateway`."""

import uvicorn

from sepal.gateway.app import create_app
from sepal.settings import load_settings


def main() -> None:
    """Serve until a signal says stop; then finish the requests in flight."""
    settings = load_settings()
    uvicorn.run(
        create_app(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.stop_timeout),
    )


if __name__ == "__main__":
    main()
