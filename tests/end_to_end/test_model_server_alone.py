"""The model server by itself, told to stop: it says so, answers for a while, and ends with 0."""

import http.client
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sepal.contracts import wire
from sepal.contracts.iris import contract as iris
from tests.end_to_end.conftest import Place
from tests.tiers import kill
from tests.waiting import LONG, comes

pytestmark = pytest.mark.end_to_end

DELAY = 3.0
"""Seconds for which it takes connections after SIGTERM: time enough for this test's questions."""


@contextmanager
def started(place: Place) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "sepal.model_server"]
    with subprocess.Popen(command, env=place.environment, text=True) as process:
        try:
            yield process
        finally:
            kill(process)


def ask(port: int, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of an answer over a new connection; 0 if nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    headers = {"Content-Type": wire.MEDIA_TYPE, wire.CONTRACT_HEADER: iris.signature}
    try:
        connection.request("GET" if body is None else "POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except ConnectionError:
        return 0, b""
    finally:
        connection.close()


def test_it_is_not_ready_at_once_takes_connections_for_a_while_and_ends_with_0(trained: Place) -> None:
    place = trained.beside()
    place.environment.update(SEPAL_MODELS="iris", SEPAL_DRAIN_DELAY=str(DELAY))
    port, row = int(place.environment["SEPAL_MODEL_SERVER_PORT"]), struct.pack("<4d", 5, 2, 3, 4)
    with started(place) as process:
        assert comes(lambda: ask(port, "/readyz")[0] == 200)
        before = ask(port, "/iris/score", row)
        assert before[0] == 200
        process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        assert comes(lambda: ask(port, "/readyz") == (503, b"stopping"))
        assert time.monotonic() - told < DELAY, "or the delay is over, and this shows nothing"
        while time.monotonic() - told < DELAY / 2:
            assert ask(port, "/iris/score", row) == before
            assert ask(port, "/livez")[0] == 200
        assert process.wait(LONG) == 0
        assert time.monotonic() - told >= DELAY
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
