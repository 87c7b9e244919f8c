"""Python's garbage collector, set for a server or for a command: what start-up made is left alone."""

import atexit
import gc

THRESHOLD = 50_000
"""Objects more made than freed between two looks; Python's own 700 or 2,000 is for small programs."""

_SECOND, _THIRD = 20, 5
"""So many looks at the youngest for one at those that survived one, and of these for one at all.

What is under way at a look survives it, and becomes garbage that only the next wider look
finds: some 10 kB for each request. At 100, the gateway grew by 3 bytes a request for ten
million requests. A look at all costs little, since what start-up made is not looked at.
"""


def settle() -> None:
    """Call it once a server has started. It takes most of the collector's part of the p99 away."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(THRESHOLD, _SECOND, _THIRD)


def look_seldom() -> None:
    """Call it as a command starts: most of what its imports make stays until its end.

    At the end there is no last look for cycles, which takes 0.1 s: the memory goes back
    anyway, and whoever has something to do before the end says so by `with` or `atexit`.
    """
    gc.set_threshold(THRESHOLD)
    atexit.register(gc.freeze)
