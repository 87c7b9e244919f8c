"""Sketches: quantiles within one per cent, the same from parts as from the whole, and kept as JSON."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepal.bulk.sketch import Sketch

NUMBERS = st.lists(st.floats(-1e300, 1e300, allow_nan=False), min_size=1, max_size=200)


def exact(values: np.ndarray, share: float) -> float:
    return float(np.quantile(values, share, method="lower"))


@settings(deadline=None, max_examples=300)
@given(NUMBERS)
def test_quantiles_are_within_one_per_cent(numbers: list[float]) -> None:
    values = np.array(numbers)
    sketch = Sketch.of(values)
    for share in (0, 0.05, 0.25, 0.5, 0.75, 0.95, 1):
        wanted = exact(values, share)
        assert math.isclose(sketch.quantile(share), wanted, rel_tol=0.0101, abs_tol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_quantiles_of_many_numbers_are_within_one_per_cent(seed: int) -> None:
    values = np.random.default_rng(seed).lognormal(2, 1, 100_000) - 5
    described = Sketch.of(values).describe()
    assert described["min"] == values.min()
    assert described["max"] == values.max()
    assert math.isclose(described["mean"], values.mean(), rel_tol=1e-12)
    for name in ("p5", "p25", "p50", "p75", "p95"):
        wanted = np.quantile(values, float(name[1:]) / 100)
        assert math.isclose(described[name], wanted, rel_tol=0.011, abs_tol=1e-3)


@settings(deadline=None, max_examples=200)
@given(NUMBERS, st.integers(0, 200))
def test_parts_add_up_to_the_whole(numbers: list[float], cut: int) -> None:
    values = np.array(numbers)
    parts = Sketch()
    for part in (values[:cut], values[cut:]):
        parts.add(Sketch.of(part))
    whole = Sketch.of(values)
    assert (parts.buckets, parts.smallest, parts.largest) == (whole.buckets, whole.smallest, whole.largest)
    assert math.isclose(parts.total, whole.total, rel_tol=1e-9, abs_tol=1e-9 * np.abs(values).sum())


@settings(deadline=None, max_examples=100)
@given(NUMBERS | st.just([]))
def test_a_sketch_survives_being_kept_as_json(numbers: list[float]) -> None:
    sketch = Sketch.of(np.array(numbers))
    assert Sketch.load(json.loads(json.dumps(sketch.dump()))) == sketch


def test_the_largest_numbers_have_quantiles_too() -> None:
    values = np.array([-1.7e308, 1.7e308, 1.79e308])
    assert Sketch.of(values).quantile(1) == pytest.approx(1.79e308, rel=0.011)


def test_nothing_is_described_by_nothing() -> None:
    assert Sketch().describe() == {}
    with pytest.raises(ValueError, match="no quantiles"):
        Sketch().quantile(0.5)
