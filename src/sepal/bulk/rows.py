"""What every reader gives: chunks of rows with the places that they come from."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Indices: TypeAlias = NDArray[np.int64]

LONGEST_TOLD = 4096
"""Characters of a rejected row's values that are kept."""


class Position(NamedTuple):
    """A place in a file at which reading can begin: bytes of its text, or rows, before it; and its line."""

    offset: int
    line: int


class Done(NamedTuple):
    """The part of a file that is read: up to where, and a digest that tells its content from another."""

    end: Position
    digest: str


class Rejected(NamedTuple):
    """A row that is not scored: its line (from 1, or the number of the row), and what is wrong with it."""

    line: int
    column: str
    reason: str
    values: str


@dataclass(frozen=True)
class Rows:
    """Rows of one file that have the right shape, as columns.

    `frame` has them by column name, `lines` each one's line, (n_rows,). `rejected` are
    those that had not even the shape. `told` gives the values of some rows as a person
    would look for them in the file. `as_text` gives some rows again with all their values
    as text, where `frame` may have lost what could not be read as a number.
    """

    frame: pl.DataFrame
    lines: Indices
    rejected: Sequence[Rejected]
    told: Callable[[Indices], list[str]]
    as_text: Callable[[Indices], pl.DataFrame] | None = None

    def head(self, n_rows: int) -> "Rows":
        """The first rows alone, rejected ones among them."""
        lines = np.sort(np.concatenate((self.lines, [row.line for row in self.rejected])))[:n_rows]
        last = lines[-1] if len(lines) else 0
        return replace(
            self,
            frame=self.frame.filter(self.lines <= last),
            lines=self.lines[self.lines <= last],
            rejected=[row for row in self.rejected if row.line <= last],
        )


class Chunk(Protocol):
    """A part of a file, read but not parsed."""

    def parse(self) -> Rows:
        """Its rows; for any thread."""
        ...


class Reader(Protocol):
    """Reads one file."""

    @property
    def columns(self) -> list[str]:
        """The names of its columns, in its order, doubles included."""
        ...

    def types(self, columns: Sequence[str]) -> dict[str, pl.DataType]:
        """The types that some columns are carried over with."""
        ...

    def select(self, numbers: Sequence[str], others: Sequence[str]) -> None:
        """Want some columns as numbers and others as they are; before the first chunk."""
        ...

    def chunks(self, after: "Done | None" = None) -> Iterator[Chunk]:
        """Its chunks, all of them or those after what is done: always the same ones.

        ResumeError if what is done is not what the file has there.
        """
        ...

    @property
    def seekable(self) -> bool:
        """Whether `span` can be had."""
        ...

    @property
    def start(self) -> Position:
        """Where its first chunk begins."""
        ...

    def ends(self) -> Iterator[Position]:
        """Where its chunks end, each known before anything is parsed."""
        ...

    def span(self, start: Position, end: Position) -> Iterator[Chunk]:
        """Its chunks between the `ends` of two others; of what is before them nothing is read."""
        ...

    def done(self) -> "Done":
        """What the chunks so far have taken."""
        ...

    @property
    def share(self) -> float:
        """How much of the file is read, from 0 to 1."""
        ...
