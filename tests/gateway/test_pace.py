"""The pace: how long a call of so many rows will take, from the last ones."""

import pytest

from sepal.gateway.pace import Pace


def learnt(*calls: tuple[int, float]) -> Pace:
    pace = Pace()
    for rows, seconds in calls:
        pace.learn(rows, seconds)
    return pace


def test_knowing_nothing_it_expects_no_time_at_all() -> None:
    assert Pace().expect(1000) == 0.0


def test_calls_of_one_size_say_nothing_of_other_sizes() -> None:
    pace = learnt(*[(1, 0.002)] * 20)
    assert pace.expect(1) == pytest.approx(0.002)
    assert pace.expect(1000) == pytest.approx(0.002)


def test_a_fixed_part_and_one_by_rows_are_told_apart() -> None:
    pace = learnt((1, 0.011), (100, 0.11), (50, 0.06), (10, 0.02))
    assert pace.expect(0) == pytest.approx(0.01)
    assert pace.expect(1000) == pytest.approx(1.01)


def test_the_line_is_not_believed_far_beyond_what_was_seen() -> None:
    pace = learnt((1, 0.001), (2, 0.05))
    assert pace.expect(10_000) < 2


def test_what_was_long_ago_is_forgotten() -> None:
    pace = learnt((100, 5.0), *[(100, 0.01)] * 40)
    assert pace.expect(100) == pytest.approx(0.01, rel=0.1)


def test_more_rows_never_take_less_time() -> None:
    pace = learnt((1, 0.5), (100, 0.01))
    assert 0 < pace.expect(1) <= pace.expect(100)
