"""All scenarios by name."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from tests.faults import bodies, fuzz, overload, slow_clients, soak, stopping, upstream
from tests.faults.results import Form, Result
from tests.tiers import Place, place_in

Scenario = Callable[[Place, Form], Awaitable[Result]]

SCENARIOS: dict[str, Scenario] = {
    **{name: partial(upstream.one, name) for name in upstream.SCENARIOS},
    "overload": overload.overloaded,
    "sigterm": stopping.stopped_under_load,
    "slow-clients": slow_clients.crowded,
    "bodies": bodies.hostile,
    "fuzz": fuzz.fuzzed,
    "soak": soak.soaked,
}


def trained_place(folder: Path) -> Place:
    """Data of its own, with two versions of iris; the settings that are tried are the defaults."""
    place = place_in(folder / "data", connect_timeout=None, ready_cache=None)
    place.sepal("train", "iris")
    place.sepal("train", "iris", "--seed", "1")
    return place
