"""How many calls may be sent again: a small part of all.

Else retries would double the load on a model server that is in trouble already.
"""

_MOST = 10.0


class RetryBudget:
    """A bucket of tokens: each call puts the `share` of one in, each retry takes one out."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = _MOST if share else 0.0

    def earn(self) -> None:
        """Note a call."""
        self._tokens = min(self._tokens + self._share, _MOST)

    def spend(self) -> bool:
        """Whether a call may be sent again; if so, it is noted."""
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
