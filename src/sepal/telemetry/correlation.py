"""Which requests the running code works for, so that every line of the log can name them."""

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Protocol


class Correlated(Protocol):
    """A request, or an upstream call that carries several."""

    @property
    def request_ids(self) -> Sequence[str]:
        """Their ids."""


CURRENT: ContextVar[Correlated | None] = ContextVar("sepal_current", default=None)

REQUESTS_HEADER = "Sepal-Requests"
"""Of an upstream call: the ids of the requests whose rows it carries, by commas."""

MOST_BYTES = 8000
"""Length of that header; what does not fit is counted, as in `+12`."""


def join_ids(request_ids: Sequence[str]) -> str:
    """The header's value."""
    joined = ",".join(request_ids)
    if len(joined) <= MOST_BYTES:
        return joined
    room = MOST_BYTES - 8
    fitting = joined[: joined.rindex(",", 0, room)]
    return f"{fitting},+{len(request_ids) - fitting.count(',') - 1}"
