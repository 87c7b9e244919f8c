"""Starts the gateway in the foreground: `python -m sepal.gateway`."""

import logging
import math
import multiprocessing
import os
import signal
import ssl
import sys
from contextlib import suppress

import uvicorn
from fastapi import FastAPI
from uvicorn.config import STARTUP_FAILURE

from sepal.access.safety import remarks
from sepal.draining import HURRY, DrainingWorkers, drain_on_sigterm
from sepal.errors import SepalError, told_in_one_line
from sepal.gateway.app import create_app
from sepal.gateway.bounds import raise_descriptor_limit
from sepal.gateway.http_protocol import BoundedHttp
from sepal.lifeline import end_with_parent
from sepal.ports import check_ports
from sepal.settings import Settings, load_settings, misspelt
from sepal.telemetry import sharing
from sepal.telemetry.logs import log_of_process
from sepal.tls import check_server_files, upstream_context

logger = logging.getLogger(__name__)


def app() -> FastAPI:
    """The application of one worker, which is made in the worker's event loop."""
    settings = load_settings()
    raise_descriptor_limit(settings)
    application = create_app(settings, log_of_process(settings))
    parent = multiprocessing.parent_process()
    drain_on_sigterm(settings.drain_delay, application.state.bounds.close, alone=parent is None)
    if parent is not None:
        end_with_parent(parent.pid, by=HURRY)
    return application


def main() -> None:
    """Serve until a signal says stop; then finish the requests in flight.

    Ends with 3 only if it can't work as it is set; with 1 if it can't start for a reason that may pass.
    """
    with told_in_one_line():
        settings = load_settings()
        check_server_files(settings, "gateway")
        upstream_context(settings)
        check_ports(settings, "gateway")
        create_app(settings)  # what is wrong is told here, and not by each worker
    log_of_process(settings)
    for remark in (*misspelt(), *remarks(settings)):
        logger.warning(remark)
    os.environ |= sharing.environment_for(settings.gateway_workers)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again once it has stopped
    config = uvicorn.Config(
        f"{__package__}.__main__:app",
        factory=True,
        workers=settings.gateway_workers,
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="sepal.gateway.loops:GatewayLoop",
        http=BoundedHttp,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=settings.keep_alive,  # type: ignore[arg-type]  # it takes parts of a second
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=math.ceil(settings.stop_timeout),
        ssl_certfile=settings.gateway_tls_certificate,
        ssl_keyfile=settings.gateway_tls_key,
        ssl_ca_certs=settings.gateway_tls_client_ca and str(settings.gateway_tls_client_ca),
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.gateway_tls_client_ca else ssl.CERT_NONE,
    )
    try:
        _serve(config, settings)
    except SystemExit as end:
        sys.exit(SepalError.exit_code if end.code == STARTUP_FAILURE else end.code)


def _serve(config: uvicorn.Config, settings: Settings) -> None:
    with suppress(KeyboardInterrupt):  # raised again once it has stopped
        if settings.gateway_workers > 1:
            workers = DrainingWorkers(config, [config.bind_socket()])
            workers.drain_delay = settings.drain_delay
            workers.run()
            if workers.failed:
                sys.exit(STARTUP_FAILURE)
        else:
            uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
