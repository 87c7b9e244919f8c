"""A Redis server of a test's own, really running."""

import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.waiting import comes


def start_redis(port: int, folder: Path) -> "subprocess.Popen[bytes]":
    """A server that takes connections; the test is skipped if there is no program for it."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("there is no redis-server on this machine: install Debian's package redis-server")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    if not comes(lambda: server.poll() is not None or _listens(port)) or server.poll() is not None:
        server.kill()
        pytest.fail(f"redis-server does not start: it has ended with {server.wait()}")
    return server


@contextmanager
def redis(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The same, until it is no longer needed."""
    with start_redis(port, folder) as server:
        try:
            yield server
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
