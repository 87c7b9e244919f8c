"""The counts of one process: how often each has called, kept in its memory."""

import time

from limits import RateLimitItem
from limits.storage import MemoryStorage

_SWEEP_PAUSE = 1.0
"""Seconds at least between two times that all counts are looked at because there is no room."""


class Counts(MemoryStorage):
    """The storage of `limits` without its thread, for one event loop.

    That thread looks at every count a hundred times a second while requests come. Here a count
    whose time is over is dropped when it is asked for, and all such ones now and then.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._sweep_at = room
        self._swept = float("-inf")

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Add to a count, which ends `expiry` seconds after it has begun; what it is then."""
        count = self.get(key) + amount
        self.storage[key] = count
        if count == amount:
            self.expirations[key] = time.time() + expiry
            if len(self.storage) > self._sweep_at:
                self.sweep()
        return count

    def has_room(self) -> bool:
        """Whether there are fewer counts than there should be at most."""
        if len(self.storage) >= self._room and time.monotonic() - self._swept > _SWEEP_PAUSE:
            self.sweep()
        return len(self.storage) < self._room

    def has(self, item: RateLimitItem, *who: str) -> bool:
        """Whether there is a count of somebody's in the window of now, or in the one before."""
        keys = self.sliding_window_keys(item.key_for(*who), item.get_expiry(), time.time())
        return any(key in self.storage for key in keys)

    def sweep(self) -> None:
        """Drop the counts whose time is over."""
        self._swept, now = time.monotonic(), time.time()
        for key in [key for key, end in self.expirations.items() if end <= now]:
            del self.storage[key], self.expirations[key]
        self._sweep_at = max(self._room, 2 * len(self.storage))
