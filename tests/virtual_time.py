"""Runs tests on a clock of their own, which jumps to whatever comes next: quick and exact."""

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

START = 1000.0
"""Seconds that the clock shows when a test begins; a round number, so that sums of them are exact."""


class _Selector(selectors.DefaultSelector):  # type: ignore[valid-type, misc]  # whichever the system has
    """Does not wait: it moves the clock on instead."""

    now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing will ever come"
        self.now += max(timeout, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    """Has its time from its selector."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)
        self._clock_resolution = 1e-9

    def time(self) -> float:
        return self._clock.now


def now() -> float:
    """Seconds on the clock of the test that runs."""
    return asyncio.get_running_loop().time()


def in_virtual_time(
    *modules: ModuleType,
) -> Callable[[Callable[..., Awaitable[None]]], Callable[..., None]]:
    """Decorates a test that sleeps on that clock, which these modules have for their `time` then."""

    def decorate(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(*args: Any, **more: Any) -> None:  # noqa: ANN401 (the test's own)
            async def begin() -> None:
                await test(*args, **more)

            with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=_Loop) as runner:
                for module in modules:
                    patch.setattr(module, "time", SimpleNamespace(monotonic=now, perf_counter=now))
                runner.run(begin())

        return run

    return decorate
