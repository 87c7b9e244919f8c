"""A port of its own for metrics: tells nothing of what serves it, and is bounded in clients and time."""

import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.handlers import SimpleHandler
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from sepal.errors import PortTakenError

logger = logging.getLogger(__name__)

MOST_CLIENTS = 32
"""Connections at once; a further one gets 503."""
LONGEST = 5.0
"""Seconds from a connection to the end of its answer; it is cut off within half a second after that."""

_TOO_MANY = b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

Application = Callable[..., Iterable[bytes]]
"""As WSGI has it."""


class MetricsServer(ThreadingMixIn, WSGIServer):
    """One thread for each connection, of which each has one request."""

    daemon_threads = True
    request_queue_size = 4 * MOST_CLIENTS

    def __init__(self, host: str, port: int, application: Application, *, shared: bool) -> None:
        (self.address_family, *_, address), *_ = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        self.allow_reuse_port = shared
        self._since: dict[socket.socket, float] = {}
        self._lock = threading.Lock()
        super().__init__(address, _Handler)  # type: ignore[arg-type]  # an address of IPv6 has four parts
        self.set_app(application)

    def server_bind(self) -> None:
        """Take the port, without asking the DNS for this machine's name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (as it is there)
        """Begin to answer a connection, if there is room for one more."""
        with self._lock:
            has_room = len(self._since) < MOST_CLIENTS
            if has_room:
                self._since[request] = time.monotonic()
        if has_room:
            super().process_request(request, client_address)
        else:
            request.setblocking(False)
            request.send(_TOO_MANY)
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Cut off, now and then, who takes too long."""
        late = time.monotonic() - LONGEST
        with self._lock:
            for request, since in self._since.items():
                if since < late:
                    _cut_off(request)

    def close_request(self, request: Any) -> None:  # noqa: ANN401 (as it is there)
        """Have done with a connection."""
        with self._lock:
            self._since.pop(request, None)
            super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (as it is there)
        """Say what went wrong, unless it is that the client has gone."""
        del request, client_address
        if not isinstance(sys.exc_info()[1], OSError):
            logger.exception("An answer with metrics failed")


class _Handler(WSGIRequestHandler):
    timeout = LONGEST

    def handle(self) -> None:
        """Answer the one request."""
        self.raw_requestline = self.rfile.readline(65537)
        if len(self.raw_requestline) > 65536:
            self.requestline = self.request_version = self.command = ""
            self.send_error(HTTPStatus.REQUEST_URI_TOO_LONG)
        elif self.parse_request():
            answer = _Answer(self.rfile, self.wfile, sys.stderr, self.get_environ(), multithread=False)  # type: ignore[arg-type]  # as WSGIRequestHandler has it
            answer.run(self.server.get_app())  # type: ignore[attr-defined]  # it is a WSGIServer

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, without a word of who does."""
        del message, explain
        self.wfile.write(f"HTTP/1.0 {code} {HTTPStatus(code).phrase}\r\nContent-Length: 0\r\n\r\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (its name there)
        """Say nothing."""


class _Answer(SimpleHandler):
    server_software = None

    def log_exception(self, exc_info: Any) -> None:  # noqa: ANN401 (as it is there)
        logger.error("An answer with metrics failed", exc_info=exc_info)


def serve(application: Application, host: str, port: int, *, shared: bool) -> MetricsServer:
    """Serve metrics at a port of their own, from a thread; `shared` if other processes do so too.

    PortTakenError if it is in use.
    """
    try:
        server = MetricsServer(host, port, application, shared=shared)
    except OSError as error:
        raise PortTakenError(
            f"Port {port} on {host}, for metrics, can't be used ({error.strerror}): set another."
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics-port", daemon=True).start()
    return server


def _cut_off(request: socket.socket) -> None:
    with suppress(OSError):  # it has gone by itself
        request.shutdown(socket.SHUT_RDWR)
