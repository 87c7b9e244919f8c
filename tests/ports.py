"""Ports for the servers that tests start."""

import os
import socket
from itertools import count

_FIRST, _LAST = 20_000, 32_000
"""Below those that the system gives to outgoing connections, of which tests make very many."""

_numbers = count(os.getpid() * 997)
"""Each process of the tests begins elsewhere, so that two of them do not find the same port free."""


def free_port() -> int:
    """A port that nobody has, and that this process has not given before."""
    while True:
        port = _FIRST + next(_numbers) % (_LAST - _FIRST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
