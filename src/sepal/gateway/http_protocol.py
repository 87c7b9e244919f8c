"""uvicorn's HTTP protocol with bounds: what a client may send, how slowly, and how many there may be.

All this happens before a request becomes one. So it costs next to nothing, and what is
over a bound is answered without a task, a body or a route.
"""

import asyncio
import json
import re
import time
from typing import Any

from sepal.gateway.bounds import BOUNDS, Bounds
from sepal.gateway.joined_writes import JoinedWrites
from sepal.gateway.problems import MEDIA_TYPE
from sepal.gateway.request_context import request_id_of
from sepal.gateway.upgrades import PatientParser

LINGER = 2.0
"""Seconds for which a refused client may go on sending before it is cut off, to let it read why."""

_BYTES_PER_SECOND = 10_000
_ALWAYS = re.compile(rb"/(livez|readyz|healthz|metrics)(\?|$)")
_TITLES = {
    400: "Bad Request",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Overloaded",
}


class BoundedHttp(JoinedWrites):
    """One connection of a client.

    `began` is since when a request is on its way in, in monotonic seconds; None between two.
    """

    def __init__(self, *given: Any, **more: Any) -> None:  # noqa: ANN401 (uvicorn's)
        super().__init__(*given, **more)
        self.parser = PatientParser(self)
        self.bounds: Bounds = self.app_state[BOUNDS]
        self.began: float | None = time.monotonic()
        self._in_head = True
        self._head_bytes = 0
        self._body_bytes = 0
        self._refused = False
        self._cut_at: float | None = None
        self._unread = (0, 0.0)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection, if there is room for one."""
        super().connection_made(transport)
        self.joined.lingers = self._lingers
        self.bounds.connections = self.connections  # type: ignore[assignment]  # they are all of this class
        most = self.bounds.max_connections
        if len(self.connections) > most:
            self.bounds.refuse("connections")
            if len(self.connections) > most + most // 4 + 1:
                self.transport.abort()  # those that are told of it are too many, too
            else:
                self._refuse(503, "Too many connections are open. Try again shortly.")

    def data_received(self, data: bytes) -> None:
        """Take what has come in."""
        if self._cut_at is not None:
            return  # it was refused, and whatever else it sends is dropped
        if self._in_head:
            self._head_bytes += len(data)
        else:
            self._body_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > self.bounds.max_header_bytes and self._cut_at is None:
            self._refuse_head()

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if self.began is None:
            self.began = time.monotonic()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a chunked body is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Take a whole head; begin to answer, unless too much is under way already."""
        if self.parser.should_upgrade():
            return  # it comes once more, without that
        self._in_head = False
        if self._cut_at is not None:
            return
        most = self.bounds.max_header_bytes
        if self._head_bytes > most and self._head_size() > most:
            self._refuse_head()
        elif len(self.tasks) >= self.bounds.max_requests and self._may_be_refused():
            self._refused = True
        else:
            super().on_headers_complete()
            if self.bounds.closing:
                self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if not self._refused and self._cut_at is None:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        if self.parser.should_upgrade():
            return
        self.began = None
        self._in_head = True
        self._head_bytes = self._body_bytes = 0
        if self._cut_at is not None:
            return
        if self._refused:
            self._refused = False
            self.bounds.refuse("requests")
            self._answer(503, "Too many requests are under way. Try again shortly.")
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Say that this is no HTTP."""
        del msg
        self.bounds.refuse("no HTTP")
        self._refuse(400, "This is no valid HTTP request.")

    def shutdown(self) -> None:
        """Close the connection, or have it closed after the answer to what is on its way in."""
        self.bounds.closing = True
        if self.cycle is None or self.cycle.response_complete:
            if self._head_bytes or self._cut_at is not None:
                return
            self.began = None
        super().shutdown()

    def close_after_answer(self) -> None:
        """Have the answer that is under way say that it is the connection's last."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def look(self, now: float) -> None:
        """Cut the connection off if its client is too slow: at going, at reading, or at sending."""
        if self._cut_at is not None:
            if now > self._cut_at:
                self.transport.abort()
        elif self._reads_nothing(now):
            self.bounds.refuse("slow client")
            self.transport.abort()
        elif self.began is not None:
            if self.flow.read_paused:
                self.began = now  # it is not the client that is slow
            elif now - self.began > self.bounds.client_timeout + self._body_bytes / _BYTES_PER_SECOND:
                self._give_up()

    def _reads_nothing(self, now: float) -> bool:
        size = self.transport.get_write_buffer_size()
        before, since = self._unread
        if not size or size != before:
            self._unread = (size, now)
            return False
        return now - since > self.bounds.client_timeout

    def _give_up(self) -> None:
        if not self._head_bytes:
            self.began = None
            self.transport.close()  # it has never said anything
            return
        self.bounds.refuse("slow client")
        if self._in_head and (self.cycle is None or self.cycle.response_complete):
            self._refuse(408, "The request did not come in time.")
        else:
            self.transport.abort()

    def _may_be_refused(self) -> bool:
        """Not while others on this connection are to be answered first, nor if it asks how things are."""
        free = self.cycle is None or self.cycle.response_complete
        return free and self.parser.get_method() != b"HEAD" and not _ALWAYS.match(self.url)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        self.bounds.refuse("head")
        self._refuse(431, f"The head is too large: send at most {self.bounds.max_header_bytes} bytes.")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer, take nothing more, and close once the client has had time to read it."""
        if self._cut_at is None and not self.transport.is_closing():
            self._cut_at = time.monotonic() + LINGER
            self._answer(status, detail)

    def _answer(self, status: int, detail: str) -> None:
        title, request_id = _TITLES[status], request_id_of(self.headers or ())
        problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
        body = json.dumps({**problem, "request_id": request_id}, separators=(",", ":"))
        close = self._cut_at is not None or self.bounds.closing or not self.parser.should_keep_alive()
        head = [
            f"HTTP/1.1 {status} {title}",
            f"content-type: {MEDIA_TYPE}",
            f"content-length: {len(body)}",
            f"x-request-id: {request_id}",
        ]
        if status == 503:
            head.append(f"retry-after: {self.bounds.retry_after}")
        if close:
            head.append("connection: close")
        self.transport.write("\r\n".join((*head, "", body)).encode())
        if close:
            self.transport.close()

    def _lingers(self) -> bool:
        """Whether the connection, which is to be closed, is still being sent to."""
        if self.began is None:
            return False
        if self._cut_at is None:
            self._cut_at = time.monotonic() + LINGER
        return True
