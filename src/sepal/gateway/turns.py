"""Answers in the order of their requests, as HTTP/1.1 has it, and then the end of the connection."""

import asyncio

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from sepal.gateway.joined_writes import JoinedWrites
from sepal.gateway.pipelining import WaitingTurns


class AnswersInTurn(JoinedWrites):
    """uvicorn's HTTP protocol, whose connection can come to an end that waits for its turn.

    First goes the answer to `answering`, then those to uvicorn's `pipeline`; and once it is `ending`,
    the last words and the close.
    """

    def __init__(self, *given: object, **more: object) -> None:
        super().__init__(*given, **more)  # type: ignore[arg-type]  # uvicorn's
        self.answering: RequestResponseCycle | None = None
        self.ending = False
        self._last_words = b""

    @property
    def is_answering(self) -> bool:
        """Whether an answer is under way."""
        return self.answering is not None and not self.answering.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a new connection."""
        super().connection_made(transport)
        self.flow = WaitingTurns(self.transport, self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what is under way that its client has gone, and forget what waits."""
        super().connection_lost(exc)
        self.pipeline.clear()
        self._leave_unanswered()

    def on_response_complete(self) -> None:
        """Go on with the next request that waits; or with the end, if that has come."""
        if self.ending and not self.pipeline:
            self.server_state.total_requests += 1
            self._close()
        else:
            super().on_response_complete()
            if self.joined.ended_at is not None:
                self.flow.resume_reading()  # as `_close` does, of a body that was too large to be read

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def end(self, last_words: bytes = b"") -> None:
        """Close once all is answered that came before, after saying this; nothing more is to be taken."""
        self.ending = True
        self._last_words = last_words
        if self.is_answering:
            self.flow.pause_reading()
        else:
            self._close()

    def dismiss(self) -> bool:
        """Leave the request unanswered that came last; False if its answer has begun."""
        if self.cycle.response_started:
            return False
        if self.pipeline:
            self.pipeline.popleft()
        else:
            self._leave_unanswered()
        return True

    def _leave_unanswered(self) -> None:
        """Have what is under way end as it does if its client has gone."""
        if self.answering is not None:
            self.answering.disconnected = not self.answering.response_complete
            self.answering.message_event.set()
            self.answering = None

    def _close(self) -> None:
        self.flow.resume_reading()  # to drop what still comes, and to see when the client closes
        if self._last_words:
            self.transport.write(self._last_words)
        self.transport.close()
