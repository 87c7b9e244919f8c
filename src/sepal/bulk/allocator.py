"""Has the C library keep the memory of chunks for the chunks that follow."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 1 << 28


def keep_freed_memory() -> None:
    """Give no block of a chunk's size back to the system: fetching it anew, page by page, takes longer.

    How many chunks there are at once is bounded, and so is what is kept. Where the C
    library is not glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _KEPT)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
