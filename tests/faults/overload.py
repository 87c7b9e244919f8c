"""Ten times the load that can be served: the best is still given, and the rest refused at once."""

import shutil
from dataclasses import replace

from tests.faults import slow_model
from tests.faults.clients import percentile
from tests.faults.generator import Generator
from tests.faults.judge import Judge
from tests.faults.results import Form, Result
from tests.faults.tiers import gateway, model_server, running
from tests.faults.watch import MIB, watching
from tests.tiers import Place

ROW = 0.002
"""Seconds that the model takes for a row and each of two questions: which label, and which probabilities.

Sepal serves irises about as fast as any generator on the same machine can ask, so ten times that is
out of reach. A model that takes 4 ms a row, and no CPU while it does, is served 250 times a second at
most, and ten times that leaves the cores free for the gateway to refuse and for the generator.
"""
DEADLINE = 1.0
"""Seconds that clients wait."""
GENERATOR_LATE = 0.05
"""Seconds that the generator's p99 may be late, or else its figures mean nothing."""


async def overloaded(place: Place, form: Form) -> Result:
    """Find the best rate, then offer ten times that."""
    place = _with_a_slow_model(place)
    judge = Judge(place.settings, n_rows=100)
    server = model_server(place)
    front = gateway(place, server.url)
    async with running(server, front), watching(front) as watch:
        generator = Generator(front.port, judge, deadline=DEADLINE)
        best = await generator.closed(connections=64, seconds=form.of(10.0, 2.0))
        before = watch.peak("gateway")
        tally = await generator.open(10 * best.goodput, form.lasts(60, 4))
        after = await generator.closed(connections=64, seconds=form.of(5.0, 1.5))
        await generator.close()
    result = Result("overload")
    refused, right = list(tally.refused), list(tally.right)
    result.none("neither right nor a clean 5xx", tally.faults.elements())
    result.at_least("offered, of the best", tally.offered / best.goodput, 9.5, "×")
    result.at_least("goodput, of the best", tally.goodput / best.goodput, form.of(0.9, 0.5), "×")
    result.at_most("p99 of the served", percentile(right, 99), DEADLINE, "s")
    result.at_most("p99 of the refused", percentile(refused, 99), form.of(0.1, 0.5), "s")
    result.at_most("p99 of the generator's own lag", percentile(list(tally.lag), 99), GENERATOR_LATE, "s")
    result.at_least("afterwards, of the best", after.goodput / best.goodput, form.of(0.9, 0.5), "×")
    result.measured = {
        "best, requests/s": best.goodput,
        "offered, requests/s": tally.offered,
        "served, requests/s": tally.goodput,
        "p50 of the served, s": percentile(right, 50),
        "p50 of the refused, s": percentile(refused, 50),
        "longest refusal, s": max(refused, default=0.0),
        "refused within 100 ms": sum(seconds <= 0.1 for seconds in refused) / max(1, len(refused)),
        "statuses": dict(tally.statuses),
        "gateway grew by, MiB": (watch.peak("gateway") - before) / MIB,
    }
    return result


def _with_a_slow_model(place: Place) -> Place:
    """A place like this one, whose only model is a slow one."""
    folder = place.data_dir.parent / "slow"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    slow = replace(place, data_dir=folder, environment={**place.environment, "SEPAL_DATA_DIR": str(folder)})
    slow_model.register(slow, ROW)
    return slow
