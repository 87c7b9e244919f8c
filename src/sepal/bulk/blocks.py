"""Text cut into blocks of whole records, one after the other, in bounded memory."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from sepal.bulk.files import InputFile, Text
from sepal.bulk.records import NEWLINE
from sepal.bulk.rows import LONGEST_TOLD, Done, Position, Rejected
from sepal.errors import ResumeError


@dataclass(frozen=True)
class Block:
    """Whole records of a file, from line `line` to `end`; `data` ends with a line break."""

    data: bytes
    line: int
    end: Position
    rejected: tuple[Rejected, ...] = ()


class BlockReader:
    """Cuts a file's text into blocks of at most `size` bytes.

    `whole` gives the length of the whole records that a text with quotes begins with;
    without quotes, each of its lines is one. Where a block ends depends on where it
    begins and on the text alone, so a run that is resumed finds the same blocks. A record
    that no block can hold is rejected: up to its line break, or, if a quote in it is not
    closed, up to that of its first line.
    """

    def __init__(
        self, file: InputFile, encoding: str | None, size: int, whole: Callable[[bytes], int]
    ) -> None:
        self._file, self._encoding, self._size, self._whole = file, encoding, size, whole
        self._hash = hashlib.sha256()
        self._end = Position(0, 1)
        self.share = 0.0

    def done(self) -> Done:
        """Where the last block ended, and the SHA-256 of the text up to there."""
        return Done(self._end, self._hash.hexdigest())

    def blocks(self, start: Position, digest: str | None = None) -> Iterator[Block]:
        """The blocks from a place on; ResumeError if the text up to there has another digest."""
        self._hash = hashlib.sha256()
        text = Text(self._file, self._encoding)
        try:
            self._skip(text, start.offset)
            if digest is not None and self._hash.hexdigest() != digest:
                raise ResumeError(
                    f"{self._file.path} has changed since the run began. Begin again with --restart."
                )
            for block in self._cut(text, start):
                self._end, self.share = block.end, text.share
                yield block
        finally:
            text.close()

    def seekable(self) -> bool:
        """Whether `span` can be had."""
        text = Text(self._file, self._encoding)
        try:
            return text.seekable
        finally:
            text.close()

    def span(self, start: Position, end: int) -> Iterator[Block]:
        """The blocks between the ends of two others; of what is before them nothing is read."""
        text = Text(self._file, self._encoding)
        try:
            text.seek(start.offset)
            for block in self._cut(text, start):
                yield block
                if block.end.offset >= end:
                    return
        finally:
            text.close()

    def _skip(self, text: Text, size: int) -> None:
        while size > 0:
            data = text.read(min(size, self._size))
            if not data:
                raise ResumeError(f"{self._file.path} is shorter than it was. Begin again with --restart.")
            self._hash.update(data)
            size -= len(data)

    def _cut(self, text: Text, at: Position) -> Iterator[Block]:
        rest = b""
        while len(data := text.read(missing := self._size - len(rest))) == missing:
            whole, rest = self._split(rest, data)
            if whole:
                block = self._block(whole, at)
            else:
                block, rest = self._too_long(text, rest, at)
            yield block
            at = block.end
        if rest or data:
            yield self._block(rest + data, at)

    def _split(self, rest: bytes, data: bytes) -> tuple[bytes, bytes]:
        """The whole records of what was left over before and of new data, and what is left over now."""
        if b'"' in rest or b'"' in data:
            together = rest + data
            length = self._whole(together)
            return together[:length], together[length:]
        if length := data.rfind(b"\n") + 1:
            return b"".join((rest, memoryview(data)[:length])), data[length:]
        length = rest.rfind(b"\n") + 1  # a line that follows one without a near end
        return rest[:length], rest[length:] + data

    def _block(self, data: bytes, at: Position) -> Block:
        self._hash.update(data)
        ended = data if data.endswith(b"\n") else data + b"\n"
        lines = np.count_nonzero(np.frombuffer(ended, np.uint8) == NEWLINE)
        return Block(ended, at.line, Position(at.offset + len(data), at.line + int(lines)))

    def _too_long(self, text: Text, rest: bytes, at: Position) -> tuple[Block, bytes]:
        """Leave out a line that belongs to a record without a near end; what follows it is the new rest."""
        told = rest[:LONGEST_TOLD].partition(b"\n")[0].decode("utf-8", "replace").rstrip("\r")
        reason = (
            f"a quote is opened and not closed within {self._size:,} bytes"
            if b"\n" in rest
            else f"longer than {self._size:,} bytes, the longest that is read"
        )
        offset = at.offset
        while (end := rest.find(b"\n") + 1) == 0 and rest:
            self._hash.update(rest)
            offset, rest = offset + len(rest), text.read(self._size)
        self._hash.update(rest[:end])
        block = Block(
            b"", at.line, Position(offset + end, at.line + 1), (Rejected(at.line, "", reason, told),)
        )
        return block, rest[end:]
