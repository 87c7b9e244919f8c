"""How often each may call: counted in this process, or in Redis for several gateways together.

A sliding window, by the library `limits`. Where Redis has failed, it is left alone for a second:
meanwhile each process counts its own, or refuses, as the settings say.
"""

import logging
import math
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter as SharedLimiter
from limits.errors import StorageError
from limits.strategies import SlidingWindowCounterRateLimiter as OwnLimiter
from limits.util import WindowStats

from sepal.access.rates import Rate
from sepal.errors import AccessUnavailableError, ConfigurationError, RateLimitedError
from sepal.extras import need
from sepal.gateway.counts import Counts
from sepal.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import BlockingConnectionPool

logger = logging.getLogger(__name__)

_LEAVE_ALONE = 1.0
"""Seconds for which Redis is not asked after it has failed."""
_CONNECTIONS = 32
_MOST_NAMES = 20_000
"""Counts in one process. New addresses beyond them share one count, so that memory is bounded."""
_OTHERS = "others"


class Limits:
    """The counts. `failures` counts questions that Redis did not answer."""

    failures = 0

    def __init__(self, settings: Settings) -> None:
        self._closed = settings.limits_failure == "closed"
        self._counts = Counts(_MOST_NAMES)
        self._own = OwnLimiter(self._counts)
        self._pool = _pool(settings) if settings.limits_url else None
        self._shared = _shared(settings, self._pool) if self._pool is not None else None
        self._asked_again = float("-inf")
        self._away = False

    async def hit(self, rate: Rate | None, *who: str) -> None:
        """Count a request. RateLimitedError if it is one too many, AccessUnavailableError if closed."""
        if rate is None:
            return
        item = _item(rate)
        if self._shared is not None:
            try:
                if time.monotonic() >= self._asked_again:
                    let_in = await self._shared.hit(item, *who)
                    self._note_answer()
                    if not let_in:
                        raise _too_many(rate, await self._shared.get_window_stats(item, *who), who)
                    return
            except (StorageError, OSError) as error:
                self._fail(error)
            self._refuse_if_closed()
        who = self._room_for(item, who)
        if not self._own.hit(item, *who):
            raise _too_many(rate, self._own.get_window_stats(item, *who), who)

    async def check(self, rate: Rate | None, *who: str) -> None:
        """As `hit`, but nothing is counted."""
        if rate is None:
            return
        item = _item(rate)
        stats: WindowStats | None = None
        if self._shared is not None:
            try:
                if time.monotonic() >= self._asked_again:
                    stats = await self._shared.get_window_stats(item, *who)
                    self._note_answer()
            except (StorageError, OSError) as error:
                self._fail(error)
            if stats is None:
                self._refuse_if_closed()
        if stats is None:
            stats = self._own.get_window_stats(item, *self._room_for(item, who))
        if stats.remaining <= 0:
            raise _too_many(rate, stats, who)

    async def close(self) -> None:
        """Let go of Redis."""
        if self._pool is not None:
            await self._pool.disconnect()

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        if not self._away:
            self._away = True
            does = "refuses requests" if self._closed else "counts its own requests"
            logger.warning("Redis does not answer, so this process %s: %s", does, error)
        self._asked_again = time.monotonic() + _LEAVE_ALONE

    def _note_answer(self) -> None:
        if self._away:
            self._away = False
            logger.warning("Redis answers again.")

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise AccessUnavailableError("How often you have called can't be told just now. Try again.")

    def _room_for(self, item: RateLimitItem, who: tuple[str, ...]) -> tuple[str, ...]:
        """Who is counted: all who have a key or a count, and others as long as there is room."""
        if who[0] == "key" or self._counts.has_room() or self._counts.has(item, *who):
            return who
        return who[0], _OTHERS


@lru_cache(maxsize=10_000)
def _item(rate: Rate) -> RateLimitItemPerSecond:
    return RateLimitItemPerSecond(rate.amount, rate.seconds, "sepal")


def _too_many(rate: Rate, stats: WindowStats, who: tuple[str, ...]) -> RateLimitedError:
    """The refusal, with the headers of draft-ietf-httpapi-ratelimit-headers-10 and RFC 9110."""
    wait = max(1, math.ceil(stats.reset_time - time.time()))
    return RateLimitedError(
        f"Too many requests: the limit is {rate}. Try again in {wait} second{'s' if wait > 1 else ''}.",
        {
            "Retry-After": str(wait),
            "RateLimit-Policy": f'"{who[0]}";q={rate.amount};w={rate.seconds}',
            "RateLimit": f'"{who[0]}";r={max(0, stats.remaining)};t={wait}',
        },
    )


def _pool(settings: Settings) -> "BlockingConnectionPool":
    """Connections to Redis that are given up soon, and never tried twice for one request."""
    redis = need("redis.asyncio", "redis")
    try:
        pool: BlockingConnectionPool = redis.BlockingConnectionPool.from_url(
            settings.limits_url,
            max_connections=_CONNECTIONS,
            timeout=settings.limits_timeout,
            socket_timeout=settings.limits_timeout,
            socket_connect_timeout=settings.limits_timeout,
            retry=need("redis.asyncio.retry", "redis").Retry(need("redis.backoff", "redis").NoBackoff(), 0),
        )
        # It connects to nothing yet, and takes only options that there are.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"SEPAL_LIMITS_URL can't be used: {error}. Write it as redis://HOST:PORT/DB."
        ) from error
    return pool


def _shared(settings: Settings, pool: "BlockingConnectionPool") -> SharedLimiter:
    storage = RedisStorage(
        settings.limits_url,
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="sepal",
        connection_pool=pool,  # type: ignore[arg-type]  # it is documented, its type is not
    )
    return SharedLimiter(storage)
