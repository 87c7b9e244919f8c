"""What the counts of a trial tell: shares and means with their intervals, and whether to stop.

The counts, all of them sums, so that those of several workers can be added:

- `seen`: rows that came by; `rows`: those given to the challenger, in `passes`;
- `errors`: rows that it left without an answer, in `failed_passes`;
- `compared`: rows that both answered, `different` those with another label, or a quantity
  more than a tenth away; `shift`, `shift_squares`, `shift_sizes`: the challenger's
  probability of the champion's label minus the champion's, or the difference of their
  quantities; its square; its absolute value;
- `champion_errors`: rows that the champion left without an answer where both were timed;
- `pairs`: passes in which both were timed on the same `pair_rows` rows, `*_time` in
  seconds a pass, with the squares and the product, and `*_bucket_N` a histogram of the
  time a row.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from math import log2, sqrt

Z = 1.96
"""Standard deviations on each side of a 95 % interval."""

DIFFERENT = 0.1
"""Part of the champion's quantity by which the challenger's must differ to count as different."""

_FEWEST_PASSES = 3
"""Passes that must have failed, or been timed, before a challenger is judged by them."""

_LOST = 1.0
"""Seconds more than allowed after which a slow challenger is judged however few the rows."""

_PER_DOUBLING = 4
_SHORTEST = 1e-7
_BUCKETS = 120

Counts = Mapping[str, float]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Latency:
    """Time a row, microseconds: the mean over rows, and quantiles over passes."""

    mean: float
    p50: float
    p90: float
    p99: float


def wilson(count: float, total: float) -> Estimate | None:
    """A share with Wilson's score interval; None of nothing.

    https://en.wikipedia.org/wiki/Binomial_proportion_confidence_interval#Wilson_score_interval
    """
    if total <= 0:
        return None
    share = count / total
    centre = share + Z**2 / (2 * total)
    spread = Z * sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    below = 1 + Z**2 / total
    return Estimate(share, max(0.0, (centre - spread) / below), min(1.0, (centre + spread) / below))


def mean(total: float, squares: float, n: float) -> Estimate | None:
    """A mean with its normal interval, from the sum and the sum of squares; None of nothing."""
    if n <= 0:
        return None
    value = total / n
    spread = Z * sqrt(max(0.0, squares / n - value**2) / n)
    return Estimate(value, value - spread, value + spread)


def errors(counts: Counts) -> Estimate | None:
    """The share of rows that the challenger left without an answer."""
    return wilson(counts.get("errors", 0), counts.get("rows", 0))


def disagreement(counts: Counts) -> Estimate | None:
    """The share of rows on which the two differ, of those that both answered."""
    return wilson(counts.get("different", 0), counts.get("compared", 0))


def shift(counts: Counts) -> Estimate | None:
    """The mean shift of the probability of the champion's label, or of the quantity in its unit."""
    return mean(*(counts.get(name, 0) for name in ("shift", "shift_squares", "compared")))


def shift_size(counts: Counts) -> Estimate | None:
    """The mean size of that shift, whichever its direction."""
    return mean(*(counts.get(name, 0) for name in ("shift_sizes", "shift_squares", "compared")))


def slowness(counts: Counts) -> Estimate | None:
    """The challenger's latency as a multiple of the champion's: a ratio of means, delta method."""
    n, champion, challenger = (counts.get(k, 0.0) for k in ("pairs", "champion_time", "challenger_time"))
    if n < 2 or champion <= 0:
        return None
    ratio = challenger / champion
    squares = (
        counts["challenger_time_squares"]
        - 2 * ratio * counts["time_products"]
        + ratio**2 * counts["champion_time_squares"]
    )
    spread = Z * sqrt(max(0.0, squares)) / champion
    return Estimate(ratio, max(0.0, ratio - spread), ratio + spread)


def latency(counts: Counts, who: str) -> Latency | None:
    """How long `champion` or `challenger` takes, over the passes in which both were timed."""
    if not counts.get("pair_rows"):
        return None
    cuts = (_quantile(counts, who, share) for share in (0.5, 0.9, 0.99))
    return Latency(1e6 * counts[f"{who}_time"] / counts["pair_rows"], *cuts)


def bucket(seconds_a_row: float) -> int:
    """Which bucket of the histogram a time falls into: each is 19 % wider than the one before."""
    place = int(_PER_DOUBLING * log2(max(seconds_a_row, _SHORTEST) / _SHORTEST))
    return min(place, _BUCKETS - 1)


def reason_to_stop(
    counts: Counts, max_errors: float | None, max_latency: float | None, min_rows: int
) -> str | None:
    """Why a challenger has crossed its bounds for certain; None while it has not.

    Judged by the lower end of the interval, so that a few unlucky rows do not stop it. A
    pass of many rows fails as a whole, so the share of failed passes must be above the
    bound too.
    """
    failed = errors(counts)
    passes = wilson(counts.get("failed_passes", 0), counts.get("passes", 0))
    enough = counts.get("rows", 0) >= min_rows and counts.get("failed_passes", 0) >= _FEWEST_PASSES
    if max_errors is not None and failed and passes and enough:
        low = min(failed.low, passes.low)
        if low > max_errors:
            return (
                f"{counts['errors']:,.0f} of {counts['rows']:,.0f} rows got no answer from it, "
                f"{failed.value:.2%}; at least {low:.2%} by the interval; {max_errors:.2%} are allowed"
            )
    slow = slowness(counts)
    if max_latency is not None and slow and counts["pairs"] >= _FEWEST_PASSES and slow.low > max_latency:
        lost = counts["challenger_time"] - max_latency * counts["champion_time"]
        if counts["pair_rows"] >= min_rows or lost > _LOST:
            return (
                f"it takes {slow.value:.1f} times the champion's time on the same rows, at least "
                f"{slow.low:.1f} times by the interval; {max_latency:g} are allowed"
            )
    return None


def _quantile(counts: Counts, who: str, share: float) -> float:
    """The middle of the bucket that holds this quantile, microseconds."""
    buckets = [counts.get(f"{who}_bucket_{place}", 0.0) for place in range(_BUCKETS)]
    reached = list(accumulate(buckets))
    place = next(at for at, count in enumerate(reached) if count >= share * reached[-1])
    return 1e6 * _SHORTEST * 2 ** ((place + 0.5) / _PER_DOUBLING)
