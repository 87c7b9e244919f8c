"""Python's garbage collector, set for a server: what start-up made is never looked at again."""

import gc

THRESHOLD = 50_000
"""Objects more made than freed between two looks; Python's own 700 or 2,000 is for small programs."""


def settle() -> None:
    """Call it once a process has started. It takes most of the collector's part of the p99 away."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 100)
