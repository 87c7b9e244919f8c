"""Python's garbage collector, set for a server or for a command: what start-up made is left alone."""

import atexit
import gc

THRESHOLD = 50_000
"""Objects more made than freed between two looks; Python's own 700 or 2,000 is for small programs."""


def settle() -> None:
    """Call it once a server has started. It takes most of the collector's part of the p99 away."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, 20, 100)


def look_seldom() -> None:
    """Call it as a command starts: most of what its imports make stays until its end.

    At the end there is no last look for cycles, which takes 0.1 s: the memory goes back
    anyway, and whoever has something to do before the end says so by `with` or `atexit`.
    """
    gc.set_threshold(THRESHOLD)
    atexit.register(gc.freeze)
