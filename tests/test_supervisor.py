"""What the supervisor makes of tiers that answer nonsense: `tests/end_to_end` has the whole of it."""

import socket
import ssl
import threading

import pytest

from sepal.supervisor import _get


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b'HTTP/1.0 200 OK\r\n\r\n{"iris": {}}', (200, {"iris": {}})),
        (b"HTTP/1.0 503 Busy\r\n\r\n", (503, {})),
        (b"", (0, {})),
        (b"HTT", (0, {})),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 99\r\n\r\n{", (0, {})),
        (b"HTTP/1.0 200 OK\r\n\r\n[1]", (200, {})),
    ],
    ids=["well", "not ready", "gone at once", "gone in the head", "gone in the body", "no object"],
)
def test_a_tier_that_dies_while_it_answers_has_not_answered(
    answer: bytes, found: tuple[int, dict[str, object]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/models"
        assert _get(url, ssl.create_default_context()) == found
        thread.join()
