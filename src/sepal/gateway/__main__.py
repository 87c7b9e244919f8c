"""Starts the gateway in the foreground: `python -m sepal.gateway`."""

import os

import uvicorn
from fastapi import FastAPI

from sepal.errors import told_in_one_line
from sepal.gateway.app import create_app
from sepal.gateway.joined_writes import JoinedWrites
from sepal.settings import load_settings
from sepal.telemetry import sharing
from sepal.telemetry.logs import log_of_process


def app() -> FastAPI:
    """The application of one worker."""
    settings = load_settings()
    return create_app(settings, log_of_process(settings))


def main() -> None:
    """Serve until a signal says stop; then finish the requests in flight."""
    with told_in_one_line():
        settings = load_settings()
        create_app(settings)  # what is wrong is told here, and not by each worker
    log_of_process(settings)
    os.environ |= sharing.environment_for(settings.gateway_workers)
    uvicorn.run(
        f"{__package__}.__main__:app",
        factory=True,
        workers=settings.gateway_workers,
        host=settings.gateway_host,
        port=settings.gateway_port,
        http=JoinedWrites,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here asks who the client is
        timeout_graceful_shutdown=round(settings.stop_timeout),
    )


if __name__ == "__main__":
    main()
