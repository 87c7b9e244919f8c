"""Starts the model server in the foreground: `python -m sepal.model_server`."""

import math
import os
import ssl
import sys

from sepal.errors import told_in_one_line
from sepal.ports import check_ports
from sepal.settings import load_settings
from sepal.telemetry import sharing
from sepal.telemetry.logs import SERVES_VARIABLE
from sepal.tls import check_server_files

KEEP_ALIVE = 75
"""Seconds that an idle connection stays open: longer than the gateway keeps it, so that the gateway,
which knows whether it is about to send, is the one to close."""


def main() -> None:
    """Become `bentoml serve` with the address and the environment from the settings."""
    with told_in_one_line():
        settings = load_settings()
        check_server_files(settings, "model_server")
        check_ports(settings, "model_server")
    command = [sys.executable, "-m", "bentoml", "serve", "sepal.model_server.service:ModelServer"]
    command += ["--host", settings.model_server_host, "--port", str(settings.model_server_port)]
    command += ["--timeout-keep-alive", str(KEEP_ALIVE)]
    command += ["--timeout-graceful-shutdown", str(math.ceil(settings.stop_timeout))]
    if settings.model_server_tls_certificate is not None:
        command += ["--ssl-certfile", str(settings.model_server_tls_certificate)]
        command += ["--ssl-keyfile", str(settings.model_server_tls_key)]
    if settings.model_server_tls_client_ca is not None:
        command += ["--ssl-ca-certs", str(settings.model_server_tls_client_ca)]
        command += ["--ssl-cert-reqs", str(ssl.CERT_REQUIRED.value)]
    environment = settings.bentoml_environment | sharing.environment_for(settings.model_server_workers)
    environment[SERVES_VARIABLE] = "yes"
    os.execve(sys.executable, command, {**os.environ, **environment})  # noqa: S606 (no shell)


if __name__ == "__main__":
    main()
