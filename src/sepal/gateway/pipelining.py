"""Pipelining: requests that a client sends before those ahead of them on its connection are answered."""

import asyncio
from collections.abc import Sized

from uvicorn.protocols.http.flow_control import FlowControl

PIPELINED = 32
"""Requests of a connection that may wait for their turn.

Hardly any client sends ahead at all, and benchmarks that do send 16; but 9,000 fit into what is
read at once, and each takes kilobytes here until it is answered.
"""


class WaitingTurns(FlowControl):
    """uvicorn's control of the flow, which reads on only once no request waits for its turn."""

    def __init__(self, transport: asyncio.Transport, waiting: Sized) -> None:
        super().__init__(transport)
        self._waiting = waiting

    def resume_reading(self) -> None:
        """Read on, unless enough has come already."""
        if self.read_paused and not self._waiting:
            super().resume_reading()
