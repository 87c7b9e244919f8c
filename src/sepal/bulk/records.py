"""Where the records of CSV text begin and end, when values may be quoted and hold line breaks.

The rules are those of RFC 4180 (https://www.rfc-editor.org/rfc/rfc4180): a quote opens a
value only at the value's start, two quotes inside are one, and after the closing quote the
value ends. A record that breaks them is broken alone: reading goes on with the next line.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sepal.bulk.rows import Indices

NEWLINE, RETURN, QUOTE = b'\n\r"'

_FEWEST = 1 << 9
"""Quotes that are looked at together, even; twice as many each time that all are sound."""


@dataclass(frozen=True)
class Records:
    """The records of a text whose every record ends with a line break, all arrays of shape (n_records,).

    `starts` and `ends` are offsets, without the line break; `lines` the lines before each
    one; `broken` those whose quotes are not sound. `separators` are the offsets of the
    separators between values, in order, those inside quotes left out. `length` is the
    length of the text that the records take; what is left of it is not complete.
    """

    starts: Indices
    ends: Indices
    lines: Indices
    broken: NDArray[np.bool_]
    separators: Indices
    length: int

    def values(self) -> Indices:
        """How many values each record has."""
        before = np.searchsorted(self.separators, np.append(self.starts, self.length))
        return np.diff(before) + 1


def split(text: bytes, separator: bytes, *, final: bool = True) -> Records:
    """The records of a text; unless it is `final`, one that may go on in the next text is left over."""
    array = np.frombuffer(text, np.uint8)
    newlines, quotes = np.flatnonzero(array == NEWLINE), np.flatnonzero(array == QUOTE)
    sound, broken = _sound_quotes(array, quotes, newlines, ord(separator), final=final)
    separators = np.flatnonzero(array == ord(separator))
    breaks = newlines
    if len(sound):
        marks = np.zeros(len(array), np.uint8)
        marks[sound] = 1
        open_quotes = np.add.accumulate(marks, out=marks)  # modulo 256, which is even
        breaks, separators = (at[open_quotes[at] & 1 == 0] for at in (breaks, separators))
    if broken:
        breaks = breaks[~_inside(breaks, broken)]
    starts = np.concatenate(([0], breaks + 1))[: len(breaks)]
    ends = breaks - ((breaks > starts) & (array[breaks - 1] == RETURN)) if len(breaks) else breaks
    return Records(
        starts=starts,
        ends=ends,
        lines=np.searchsorted(newlines, starts),
        broken=np.isin(starts, [start for start, _ in broken]),
        separators=separators,
        length=int(breaks[-1]) + 1 if len(breaks) else 0,
    )


def _inside(offsets: Indices, broken: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Which offsets lie in a broken record, its last line break excepted."""
    edges = np.array(broken).ravel()
    return (np.searchsorted(edges, offsets, side="right") & 1).astype(np.bool_)


def _sound_quotes(
    array: NDArray[np.uint8], quotes: Indices, newlines: Indices, separator: int, *, final: bool
) -> tuple[Indices, list[tuple[int, int]]]:
    """The quotes that open and close in turn, and the broken records, from start to last line break."""
    sound, count = np.empty_like(quotes), 0
    broken: list[tuple[int, int]] = []
    at, width = 0, _FEWEST
    while at < len(quotes):
        window = quotes[at : at + width]
        sound[count : count + len(window)] = window
        bad = _first_bad_pair(array, window, int(sound[count - 1]) if count else -2, separator)
        if bad is None:
            count, at, width = count + len(window), at + len(window), 2 * width
            continue
        if 2 * bad + 1 == len(window) and not final:
            count += len(window)  # opened, and perhaps closed in the next text
            break
        culprit = count + 2 * bad
        while culprit and sound[culprit] == sound[culprit - 1] + 1:
            culprit -= 2  # the second of two quotes inside a value, which was opened before them
        start = _record_start(newlines, sound[:culprit], int(sound[culprit]))
        end = _line_end(array, newlines, int(sound[culprit]))
        broken.append((start, end))
        count = int(np.searchsorted(sound[:culprit], start))
        at, width = int(np.searchsorted(quotes, end)), _FEWEST
    return sound[:count], broken


def _first_bad_pair(array: NDArray[np.uint8], quotes: Indices, previous: int, separator: int) -> int | None:
    """The first pair of quotes that does not open at a value's start and close at its end.

    `previous` is the closing quote before them.
    """
    openers, closers = quotes[0::2], quotes[1::2]
    doubled = openers == np.concatenate(([previous], closers))[: len(openers)] + 1
    before = np.where(openers > 0, array[openers - 1], NEWLINE)
    good = (before == separator) | (before == NEWLINE) | doubled
    last = len(array) - 1
    after = np.where(closers < last, array[np.minimum(closers + 1, last)], NEWLINE)
    closed = (after == separator) | (after == NEWLINE) | (after == RETURN) | (after == QUOTE)
    good[: len(closers)] &= closed
    good[len(closers) :] = False  # never closed
    return None if good.all() else int(good.argmin())


def _record_start(newlines: Indices, sound: Indices, offset: int) -> int:
    """Where the record begins that holds the offset, with the quotes before it sound."""
    before = newlines[: np.searchsorted(newlines, offset)]
    for newline in before[::-1]:
        if not np.searchsorted(sound, newline) & 1:
            return int(newline) + 1
    return 0


def _line_end(array: NDArray[np.uint8], newlines: Indices, offset: int) -> int:
    """The line break of the line that holds the offset."""
    at = np.searchsorted(newlines, offset)
    return int(newlines[at]) if at < len(newlines) else len(array) - 1
