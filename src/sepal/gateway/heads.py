"""What the head of a request must be, beyond what the parser sees to."""

from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]


def hosts_and_codings(headers: Headers) -> tuple[int, int]:
    """How many Host headers there are, and how many transfer codings other than chunked alone."""
    hosts = codings = 0
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings += value.lower() != b"chunked"
    return hosts, codings


def size(url: bytes, headers: Headers) -> int:
    """About how many bytes a head has."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
