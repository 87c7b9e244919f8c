"""What the counts of a trial tell, and when they are enough to stop it."""

import numpy as np
import pytest

from sepal.model_server.comparison import Tally, timed
from sepal.registry import evidence
from sepal.registry.evidence import reason_to_stop, wilson


def counts(rows: int, errors: int, a_pass: int = 1) -> dict[str, float]:
    return {
        "rows": rows,
        "passes": rows / a_pass,
        "errors": errors,
        "failed_passes": errors / a_pass,
    }


def times(champion: list[float], challenger: list[float], n_rows: int = 1) -> dict[str, float]:
    tally = Tally()
    for one, other in zip(champion, challenger, strict=True):
        tally.add(timed(n_rows, one, other))
    return {**tally.take(), "rows": n_rows * len(champion), "passes": len(champion)}


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = wilson(5, 100)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.05, 0.02154, 0.11175), abs=1e-4)
    none = wilson(0, 10)
    assert none is not None
    assert (none.low, none.high) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(0, 0) is None


def test_the_interval_of_a_mean_holds_it_in_nineteen_of_twenty_cases() -> None:
    draw = np.random.default_rng(3)
    hits = 0
    for _ in range(1000):
        sample = draw.normal(0.2, 0.1, 100)
        found = evidence.mean(sample.sum(), np.square(sample).sum(), 100)
        hits += found is not None and found.low < 0.2 < found.high
    assert 920 < hits < 975


def test_how_much_slower_it_is_has_an_interval_that_holds_the_truth() -> None:
    draw = np.random.default_rng(3)
    hits = 0
    for _ in range(500):
        hiccups = draw.exponential(1.0, (2, 100))  # noise that hits both alike
        found = evidence.slowness(times(list(hiccups[0]), list(2 * hiccups[1])))
        hits += found is not None and found.low < 2 < found.high
    assert 450 < hits < 490


def test_the_quantiles_of_a_latency_are_right_within_a_bucket() -> None:
    seconds = np.random.default_rng(1).exponential(1e-4, 2000)
    found = evidence.latency(times(list(seconds), list(seconds / 10), n_rows=10), "champion")
    assert found is not None
    assert found.mean == pytest.approx(1e5 * seconds.mean())
    for share, value in ((50, found.p50), (90, found.p90), (99, found.p99)):
        assert value == pytest.approx(1e5 * np.percentile(seconds, share), rel=0.2)
    assert evidence.latency({}, "champion") is None


@pytest.mark.parametrize(
    ("found", "stops"),
    [
        (counts(19, 19), False),
        (counts(20, 20), True),
        (counts(20, 1), False),
        (counts(1000, 10), False),
        (counts(1000, 30), True),
        (counts(500, 500, a_pass=500), False),
        (counts(1500, 1500, a_pass=500), True),
        (counts(10_000, 500, a_pass=500), False),
    ],
    ids=[
        *("too few rows", "always", "one early error", "at the bound", "well above it"),
        *("one bad pass", "every pass", "one bad pass of many"),
    ],
)
def test_a_challenger_is_stopped_for_errors_once_it_is_certain(
    found: dict[str, float], stops: bool
) -> None:
    assert (reason_to_stop(found, 0.01, None, 20) is not None) is stops
    assert reason_to_stop(found, None, None, 20) is None, "no bound was set"


def test_the_reason_has_the_figures() -> None:
    assert reason_to_stop(counts(40, 20), 0.01, None, 20) == (
        "20 of 40 rows got no answer from it, 50.00%; at least 35.20% by the interval; 1.00% are allowed"
    )
    slow = times([0.001] * 30, [0.004] * 30)
    assert reason_to_stop(slow, None, 2.0, 20) == (
        "it takes 4.0 times the champion's time on the same rows, at least 4.0 times by the interval; "
        "2 are allowed"
    )


@pytest.mark.parametrize(
    ("found", "stops"),
    [
        (times([0.001] * 10, [0.004] * 10), False),
        (times([0.001] * 20, [0.0019] * 20), False),
        (times([0.001] * 100, [0.001] * 99 + [1.0]), False),
        (times([0.001] * 3, [2.0] * 3), True),
    ],
    ids=["too few rows", "within", "one hiccup", "so slow that nobody waits for more"],
)
def test_a_challenger_is_stopped_for_its_latency_once_it_is_certain(
    found: dict[str, float], stops: bool
) -> None:
    assert (reason_to_stop(found, None, 2.0, 20) is not None) is stops
