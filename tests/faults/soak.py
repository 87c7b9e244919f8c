"""Twenty minutes at half load while versions are promoted: nothing grows. Ctrl-C reports what there is."""

import asyncio
import signal
import time
from collections.abc import Iterator
from itertools import cycle

from tests.faults.clients import percentile
from tests.faults.generator import Generator, Tally
from tests.faults.judge import Judge
from tests.faults.results import Form, Result
from tests.faults.tiers import gateway, model_server, running
from tests.faults.watch import MIB, Watch, watching
from tests.tiers import Place

SECONDS = 20 * 60.0
CONNECTIONS = 64
"""Always the same: more or fewer of them would be growth that is the clients'."""
EVERY = 30.0
"""Seconds between two promotions."""
SETTLED, WINDOW = 1 / 4, 1 / 20
"""The part of the time after which memory is looked at first, minute 5 of 20, and for how long."""
GROWTH, GROWTH_AT_FIRST = 5.0, 15.0
"""Percent; the short form looks when caches and pools still fill."""
DESCRIPTORS = 3.0
"""More of them are growth; fewer may be a look that fell into a promotion's file or a connection's end."""


async def soaked(place: Place, form: Form) -> Result:
    """Half of the best rate, with a promotion now and then."""
    judge = Judge(place.settings)
    server = model_server(place)
    front = gateway(place, server.url)
    seconds = form.lasts(SECONDS, 10)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    async with running(server, front):
        generator = Generator(front.port, judge)
        best = await generator.closed(connections=64, seconds=form.of(5.0, 1.0))
        begun = time.monotonic()
        async with watching(server, front, every=max(0.5, seconds / 600)) as watch:
            moves: list[str] = []
            promoting = asyncio.create_task(_promote(place, form.of(EVERY, 3.0), moves))
            tally = await generator.pooled(best.goodput / 2, CONNECTIONS, seconds, stopped.is_set)
            promoting.cancel()
            await asyncio.gather(promoting, return_exceptions=True)
        await generator.close()
    loop.remove_signal_handler(signal.SIGINT)
    return _judged(form, watch, begun, tally, best.goodput, moves)


def _judged(form: Form, watch: Watch, begun: float, tally: Tally, best: float, moves: list[str]) -> Result:
    result = Result("soak")
    window = max(1.0, tally.seconds * WINDOW)
    settled, end = begun + tally.seconds * SETTLED, begun + tally.seconds
    early, late = watch.between(settled, settled + window), watch.between(end - window, end)
    result.none("neither right nor a clean 5xx", tally.faults.elements())
    result.none("refused", [f"{status}" for status in tally.statuses.elements() if status != 200])
    result.none("promotions that failed", (said for said in moves if said.startswith("failed")))
    result.equal("the processes are the same", sorted(late), sorted(early))
    for process in sorted(early.keys() & late.keys()):
        (rss, fds), (rss_late, fds_late) = early[process], late[process]
        name = f"{process[0]} {process[1]}"
        grown, most = 100 * (rss_late / rss - 1), form.of(GROWTH, GROWTH_AT_FIRST)
        result.at_most(f"{name}: RSS, {rss / MIB:.0f} MiB, grows by", grown, most, "%")
        result.at_most(f"{name}: descriptors, {fds:.0f}, grow by", fds_late - fds, DESCRIPTORS)
    result.measured = {
        "seconds": tally.seconds,
        "requests": tally.sent,
        "right": len(tally.right),
        "offered, requests/s": tally.offered,
        "best, requests/s": best,
        "moves of the champion": len(moves),
        "p50, ms": 1000 * percentile(list(tally.right), 50),
        "p99, ms": 1000 * percentile(list(tally.right), 99),
        "longest, ms": 1000 * max(tally.right, default=0.0),
    }
    return result


async def _promote(place: Place, every: float, moves: list[str]) -> None:
    """Promote, roll back, and so on, until cancelled, and note what each has said."""
    for command in _commands():
        await asyncio.sleep(every)
        run = await asyncio.to_thread(place.sepal, "models", *command, "--why", "soak", check=False)
        moves.append(run.stdout.strip() if run.returncode == 0 else f"failed: {run.stderr.strip()}")


def _commands() -> Iterator[tuple[str, ...]]:
    return cycle([("promote", "iris", "log_reg_2"), ("rollback", "iris")])
