"""Waits for what is to come, for as long as a busy machine may need."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LONG = 60.0
"""Seconds: far more than anything takes, so that only what never comes fails."""


def comes(condition: Callable[[], bool], within: float = LONG) -> bool:
    """Whether a condition comes true."""
    end = time.monotonic() + within
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


async def comes_async(condition: Callable[[], Awaitable[bool]], within: float = LONG) -> bool:
    """Whether a condition that must be awaited comes true."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if await condition():
            return True
        await asyncio.sleep(0.01)
    return await condition()
