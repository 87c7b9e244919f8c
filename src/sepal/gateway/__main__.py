"""Starts the gateway in the foreground: `python -m sepal.gateway`."""

import logging

import uvicorn
from fastapi import FastAPI

from sepal.access.safety import remarks
from sepal.errors import told_in_one_line
from sepal.gateway.app import create_app
from sepal.gateway.joined_writes import JoinedWrites
from sepal.settings import load_settings

logger = logging.getLogger(__name__)


def app() -> FastAPI:
    """The application of one worker."""
    return create_app(load_settings())


def main() -> None:
    """Serve until a signal says stop; then finish the requests in flight."""
    with told_in_one_line():
        settings = load_settings()
        app()  # what is wrong is told here, and not by each worker
    for remark in remarks(settings):
        logger.warning(remark)
    uvicorn.run(
        f"{__package__}.__main__:app",
        factory=True,
        workers=settings.gateway_workers,
        host=settings.gateway_host,
        port=settings.gateway_port,
        http=JoinedWrites,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=round(settings.stop_timeout),
    )


if __name__ == "__main__":
    main()
