"""Rates: what their text means, with and without a burst."""

import pytest

from sepal.access.rates import Rate
from sepal.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "burst", "rate"),
    [
        ("100/s", 0, Rate(100, 1)),
        ("1000/m", 0, Rate(1000, 60)),
        ("5/h", 0, Rate(5, 3600)),
        ("7/d", 0, Rate(7, 86_400)),
        ("100/s", 500, Rate(500, 5)),
        ("1000/h", 10, Rate(10, 36)),
        ("100/s", 150, Rate(200, 2)),  # a window has whole seconds, and the rate stays
        ("100/s", 10, Rate(100, 1)),
        ("5/h", 1, Rate(1, 720)),
        ("none", 0, None),
    ],
)
def test_a_burst_sets_the_window_and_leaves_the_rate(text: str, burst: int, rate: Rate | None) -> None:
    assert Rate.parse(text, burst) == rate


@pytest.mark.parametrize("text", ["", "100", "0/s", "1.5/s", "100/w", "-1/s", "100/s ", "100/s\n"])
def test_what_is_no_rate_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Write it like 100/s"):
        Rate.parse(text)


def test_a_rate_tells_itself_to_people() -> None:
    assert str(Rate(1000, 1)) == "1,000 requests a second"
    assert str(Rate(5, 3600)) == "5 requests in 3,600 seconds"
