"""uvicorn's HTTP protocol with bounds: what a client may send, how slowly, and how many there may be.

All this happens before a request becomes one. So it costs next to nothing, and what is
over a bound is answered without a task, a body or a route.
"""

import asyncio
import re
import time
from enum import Enum, auto
from typing import Any

import httptools

from sepal.gateway import heads, upgrades
from sepal.gateway.bounds import BOUNDS, Bounds
from sepal.gateway.pipelining import PIPELINED
from sepal.gateway.refusals import refusal
from sepal.gateway.request_context import request_id_of
from sepal.gateway.turns import AnswersInTurn

LINGER = 5.0
"""Seconds after the last word, and after the last byte of a refused client, when it is cut off.

Many clients send all that they have before they read why they are refused; cut off, they never do.
"""
LONGEST_LINGER = 30.0
"""Seconds after which it is cut off all the same."""

_BYTES_PER_SECOND = 10_000
_MOST_OF_REFUSED = 2**16
"""Bytes of a refused request's body that are read to keep its connection; with more it is closed."""

_ALWAYS = re.compile(rb"/(livez|readyz|healthz|metrics)(\?|$)")


class Taking(Enum):
    """What the next bytes of a connection are. NEXT, HEAD, then BODY or REFUSED, then NEXT again."""

    NEXT = auto()
    """The first ones of a request, of which none has come yet."""
    HEAD = auto()
    BODY = auto()
    """Of a request that is being answered, was answered already, or waits for its turn."""
    REFUSED = auto()
    """The body of a request that is refused once it has come."""


class _StopReadingError(Exception):
    """Raised in a callback of the parser, to have it leave alone what else has come."""


class BoundedHttp(AnswersInTurn):
    """One connection of a client.

    What comes in goes by `Taking`, until the connection is `ending`: then it is dropped unread.
    `began` is since when a request is on its way in, in monotonic seconds: from the connection's
    first moment, or a request's first byte, to the request's end. Else, and when ending, it is None.
    """

    def __init__(self, *given: Any, **more: Any) -> None:  # noqa: ANN401 (uvicorn's)
        super().__init__(*given, **more)
        self.bounds: Bounds = self.app_state[BOUNDS]
        self.began: float | None = time.monotonic()
        self._taking = Taking.NEXT
        self._head_bytes = 0
        self._body_bytes = 0
        self._dropped_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection, if there is room for one."""
        super().connection_made(transport)
        self.joined.lingers = lambda: self.ending or self.began is not None
        self.bounds.connections = self.connections  # type: ignore[assignment]  # they are all of this class
        self.bounds.handshakes.discard(self)
        if self.bounds.open > self.bounds.max_connections:
            if self.bounds.too_many_to_tell:
                self.bounds.refuse("connections")
                self.transport.abort()
            else:
                self._refuse("connections", 503, "Too many connections are open. Try again shortly.")

    def data_received(self, data: bytes) -> None:
        """Take what has come in."""
        if self.ending:
            self._dropped_at = time.monotonic()
            return
        taking = self._taking
        if taking is Taking.NEXT or taking is Taking.HEAD:
            self._head_bytes += len(data)
            if self.began is None:
                self.began = time.monotonic()
        else:
            self._body_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            upgrades.feed(self, data)
        except httptools.HttpParserError:
            self._refuse("no HTTP", 400, "This is no valid HTTP request.")
            return
        if self._head_bytes > self.bounds.max_header_bytes and self._taking in (Taking.NEXT, Taking.HEAD):
            self._refuse_head()
        elif self._taking is Taking.REFUSED and self._body_bytes > _MOST_OF_REFUSED:
            self._refuse_request()

    def on_message_begin(self) -> None:
        """Begin a request, unless the one before was to be the last."""
        last = self.cycle
        if last is not None and not last.keep_alive and not self.ending:
            self.end()
        if self.ending:
            raise _StopReadingError
        super().on_message_begin()
        self._taking = Taking.HEAD
        if self.began is None:
            self.began = time.monotonic()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after a chunked body is none."""
        if self._taking is Taking.HEAD:  # and then as uvicorn does, which it costs less to say than to call
            name = name.lower()
            if name == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Take a whole head; begin to answer, unless too much is under way already."""
        if self.parser.should_upgrade():
            return  # it comes once more, without that
        self._check_head()
        if len(self.tasks) >= self.bounds.max_requests and self._may_be_refused():
            self._taking = Taking.REFUSED
            if self.expect_100_continue:  # it sends no body until it has heard
                self._refuse_request()
        else:
            super().on_headers_complete()
            self._taking = Taking.BODY
            if self.bounds.closing:
                self.cycle.keep_alive = False
        if self.ending:
            raise _StopReadingError

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        if self._taking is Taking.BODY:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Take the end of a request."""
        if self.parser.should_upgrade():
            return
        refused = self._taking is Taking.REFUSED
        self._taking = Taking.NEXT
        self.began = None
        self._head_bytes = self._body_bytes = 0
        if refused:
            self._refuse_request()
        elif self.bounds.closing and self.cycle.response_complete:
            self.transport.close()
        else:
            super().on_message_complete()

    def end(self, last_words: bytes = b"") -> None:
        """Take nothing more, and close once all is answered that came before."""
        self.began = None
        super().end(last_words)

    def shutdown(self) -> None:
        """Close the connection, or have it closed after the answer to what is on its way in."""
        self.bounds.closing = True
        if not self.is_answering:
            if self.ending or self._taking is not Taking.NEXT:
                return
            self.began = None
        super().shutdown()

    def close_after_answer(self) -> None:
        """Have the answer that is under way say that it is the connection's last."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def look(self, now: float) -> None:
        """Cut the connection off if its client is too slow: at going, at reading, or at sending."""
        if self.joined.stalled(now) > self.bounds.client_timeout:
            self.bounds.refuse("slow client")
            self.transport.abort()
        elif self.joined.ended_at is not None:
            if self.transport.get_write_buffer_size():
                self.joined.ended_at = now  # it has not been told yet
            elif (
                now > max(self.joined.ended_at, self._dropped_at) + LINGER
                or now > self.joined.ended_at + LONGEST_LINGER
            ):
                self.transport.abort()
        elif self.began is not None:
            if self.flow.read_paused:
                self.began = now  # it is not the client that is slow
            elif now - self.began > self.bounds.client_timeout + self._body_bytes / _BYTES_PER_SECOND:
                self._give_up()

    def _give_up(self) -> None:
        """End a connection whose client is too slow at sending."""
        if self._taking is Taking.NEXT:  # it has said nothing, or blank lines
            self.began = None
            if not self.is_answering:
                self.transport.close()
        elif self._taking is Taking.HEAD:
            self._refuse("slow client", 408, "The request did not come in time.")
        else:
            self.bounds.refuse("slow client")
            self.transport.abort()

    def _check_head(self) -> None:
        """Refuse what no request may be, and stop reading there."""
        most = self.bounds.max_header_bytes
        hosts, codings = heads.hosts_and_codings(self.headers)
        if self._head_bytes > most and heads.size(self.url, self.headers) > most:
            self._refuse_head()
        elif codings:
            self._refuse("no HTTP", 501, "The only transfer coding that is taken is chunked.")
        elif hosts != 1 and (hosts or self.parser.get_http_version() == "1.1"):
            self._refuse("no HTTP", 400, "This is no valid HTTP request.")
        elif len(self.pipeline) >= PIPELINED:
            self.bounds.refuse("pipelined")
            self.cycle.keep_alive = False
            self.end()
        if self.ending:
            raise _StopReadingError

    def _may_be_refused(self) -> bool:
        """Not while others on this connection are to be answered first, nor if it asks how things are."""
        free = not self.is_answering
        return free and self.parser.get_method() != b"HEAD" and not _ALWAYS.match(self.url)

    def _refuse_head(self) -> None:
        most = self.bounds.max_header_bytes
        self._refuse("head", 431, f"The head is too large: send at most {most} bytes.")

    def _refuse_request(self) -> None:
        """Refuse what is one too many; if all of it has come, the connection stays."""
        detail = "Too many requests are under way. Try again shortly."
        whole = self._taking is Taking.NEXT
        if whole and self.parser.should_keep_alive() and not self.bounds.closing:
            self.bounds.refuse("requests")
            self.transport.write(self._refusal(503, detail, close=False))
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            self._refuse("requests", 503, detail)

    def _refuse(self, reason: str, status: int, detail: str) -> None:
        """Take nothing more, answer when it is this one's turn, and close."""
        if self.ending or self.transport.is_closing():
            return
        self.bounds.refuse(reason)
        answered = self._taking is Taking.BODY and not self.dismiss()
        self.end(b"" if answered else self._refusal(status, detail, close=True))

    def _refusal(self, status: int, detail: str, *, close: bool) -> bytes:
        request_id = request_id_of(self.headers or ())
        return refusal(status, detail, request_id, self.bounds.retry_after, close=close)
