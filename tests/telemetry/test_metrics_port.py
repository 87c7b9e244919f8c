"""The metrics' own port: over IPv4 and IPv6, tells nothing of itself, and bounded in clients and time."""

import socket
import threading
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing

import pytest

from sepal.errors import PortTakenError
from sepal.telemetry import exposition, metrics_port
from sepal.telemetry.exposition import Exposition
from sepal.telemetry.metrics import Metrics
from sepal.telemetry.metrics_port import MetricsServer
from tests.waiting import LONG, comes


def counted() -> Exposition:
    metrics = Metrics()
    metrics.counter("sepal_requests_total", "Requests.", "endpoint").add("a", amount=2)
    return Exposition(metrics)


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    server = exposition.serve(counted(), "127.0.0.1", 0, shared=True)
    yield server
    server.shutdown()
    server.server_close()


def exchange(server: MetricsServer, sent: bytes) -> bytes:
    """What comes back to some bytes, until the connection ends."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=LONG) as client:
        client.sendall(sent)
        return b"".join(iter(lambda: client.recv(65536), b""))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_metrics_have_a_port_of_their_own_if_it_is_free(host: str) -> None:
    server = exposition.serve(counted(), host, 0, shared=False)
    with pytest.raises(PortTakenError, match=f"Port {server.server_port} on {host}, for metrics"):
        exposition.serve(counted(), host, server.server_port, shared=False)
    url = f"http://[{host}]" if ":" in host else f"http://{host}"
    with urllib.request.urlopen(f"{url}:{server.server_port}/metrics", timeout=LONG) as response:  # noqa: S310 (our own)
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert b'sepal_requests_total{endpoint="a"} 2.0' in response.read()
    server.shutdown()
    server.server_close()


def test_several_processes_can_share_it(server: MetricsServer) -> None:
    other = exposition.serve(counted(), "127.0.0.1", server.server_port, shared=True)
    other.shutdown()
    other.server_close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /metrics HTTP/1.0\r\n\r\n", b"200"),
        (b"HEAD / HTTP/1.0\r\n\r\n", b"405"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.0\r\n\r\n", b"414"),
        (b"GET / HTTP/1.0\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"431"),
    ],
)
def test_no_answer_tells_what_serves_it(server: MetricsServer, sent: bytes, status: bytes) -> None:
    answer = exchange(server, sent)
    assert answer.split()[1] == status
    for word in (b"Server:", b"WSGI", b"Python", b"html"):
        assert word not in answer


def test_an_answer_that_fails_is_logged_and_its_reason_not_told(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_environ: object, _start: object) -> Iterable[bytes]:
        raise RuntimeError("secret")

    server = metrics_port.serve(fails, "127.0.0.1", 0, shared=False)
    answer = exchange(server, b"GET / HTTP/1.0\r\n\r\n")
    assert answer.split()[1] == b"500"
    assert b"secret" not in answer
    assert comes(lambda: "An answer with metrics failed" in caplog.text)
    server.shutdown()
    server.server_close()


def test_a_client_that_keeps_on_sending_a_little_is_cut_off_all_the_same(
    server: MetricsServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=LONG) as client:
        client.sendall(b"GET / HTTP/1.0\r\na: ")

        def is_cut_off() -> bool:
            try:
                client.sendall(b"x")
            except OSError:
                return True
            return False

        assert comes(is_cut_off)
    assert not capfd.readouterr().err


def test_clients_beyond_the_bound_are_refused_until_there_is_room(server: MetricsServer) -> None:
    address = ("127.0.0.1", server.server_port)
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(metrics_port.MOST_CLIENTS):
            stack.enter_context(closing(socket.create_connection(address)))
        assert comes(lambda: threading.active_count() >= before + metrics_port.MOST_CLIENTS)
        with socket.create_connection(address, timeout=LONG) as refused:
            assert refused.recv(65536).split()[1] == b"503"
        assert threading.active_count() <= before + metrics_port.MOST_CLIENTS
    assert comes(lambda: exchange(server, b"GET / HTTP/1.0\r\n\r\n").split()[1:2] == [b"200"])
