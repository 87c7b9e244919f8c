"""Watches the memory and the descriptors of a tier's processes while something else goes on."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from statistics import median

import psutil

from tests.faults.tiers import Tier

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one moment of the monotonic clock: RSS in bytes, open descriptors."""

    at: float
    rss: int
    fds: int


@dataclass
class Watch:
    """What was seen of each process, by tier and process id."""

    seen: dict[tuple[str, int], list[Look]] = field(default_factory=lambda: defaultdict(list))

    def look(self, tiers: Iterable[Tier]) -> None:
        """Note what all processes hold now."""
        now = time.monotonic()
        for tier in tiers:
            for process in tier.processes():
                with suppress(psutil.Error):
                    look = Look(now, process.memory_info().rss, process.num_fds())
                    self.seen[tier.module.removeprefix("sepal."), process.pid].append(look)

    def peak(self, module: str) -> int:
        """The most that a process of a tier held, bytes."""
        return max((look.rss for (name, _), looks in self.seen.items() if name == module for look in looks))

    def between(self, start: float, end: float) -> dict[tuple[str, int], tuple[float, float]]:
        """The medians of RSS, in bytes, and of descriptors of each process that was there all the time."""
        found = {}
        for process, looks in self.seen.items():
            then = [look for look in looks if start <= look.at <= end]
            if then:
                found[process] = median(look.rss for look in then), median(look.fds for look in then)
        return found


@asynccontextmanager
async def watching(*tiers: Tier, every: float = 0.5) -> AsyncIterator[Watch]:
    """Look at all processes of some tiers every so many seconds."""
    watch = Watch()

    async def go_on() -> None:
        while True:
            watch.look(tiers)
            await asyncio.sleep(every)

    task = asyncio.create_task(go_on())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        watch.look(tiers)
