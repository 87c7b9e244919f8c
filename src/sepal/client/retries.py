"""When a failed request is tried again, and after how long: no I/O, and no clock."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from threading import Lock


@dataclass(frozen=True)
class Retries:
    """How often and how soon. Only what may pass is tried again: 503, 429, a broken connection.

    Pauses are drawn between 0 and a bound that doubles, so that clients that failed
    together do not come back together ("full jitter":
    https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/).
    Of all requests of a client only a `share` may be retries, and a `reserve` of them at
    once, so that a service in trouble does not get several times its load.
    """

    attempts: int = 4
    """Of one request, the first included."""
    first_pause: float = 0.1
    """Seconds; the bound of the first pause."""
    longest_pause: float = 5.0
    """Seconds; no bound is larger. A Retry-After may be."""
    share: float = 0.1
    reserve: int = 10

    def pause(self, failures: int, retry_after: float, chance: Callable[[], float]) -> float:
        """Seconds until the next attempt, after so many failures; `chance` gives numbers in [0, 1)."""
        bound = min(self.longest_pause, self.first_pause * 2.0 ** (failures - 1))
        return retry_after + bound * chance()


RETRIES = Retries()


class Budget:
    """How many retries all requests of one client have left; threads may share it."""

    def __init__(self, retries: Retries) -> None:
        self._share, self._reserve = retries.share, retries.reserve
        self._left = float(retries.reserve)
        self._lock = Lock()

    def earn(self) -> None:
        """A request went well."""
        with self._lock:
            self._left = min(self._reserve, self._left + self._share)

    def spend(self) -> bool:
        """Whether one more retry may be."""
        with self._lock:
            if self._left < 1:
                return False
            self._left -= 1
            return True


def retry_after(value: str | None, now: float) -> float:
    """Seconds that a Retry-After header asks for (RFC 9110, 10.2.3), `now` in seconds since 1970."""
    if not value:
        return 0
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0, parsedate_to_datetime(value).timestamp() - now)
    except ValueError:
        return 0


chance = random.SystemRandom().random
"""Numbers in [0, 1) that two processes with a common ancestor do not have in common."""
