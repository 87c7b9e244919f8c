"""Writes scored rows: as bytes to append to files, so that what is written once is never touched again."""

import gzip
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import PurePosixPath
from typing import Literal, NamedTuple
from urllib.parse import quote

import polars as pl

from sepal.bulk.formats import COMPRESSIONS, Format, name_of
from sepal.bulk.parquet_footer import MAGIC, RowGroup, joined_footer
from sepal.bulk.places import REJECTED as REJECTED
from sepal.bulk.rows import Rejected

OUTPUT = "output"
"""The name in the work folder of what will be the output: a file, or a folder if it is partitioned."""

PART = "part-0.parquet"
"""The name of the one file in each folder of a partitioned output."""

NULL = "__HIVE_DEFAULT_PARTITION__"

_LINES_AT_ONCE = 8192
"""Lines of CSV that are laid out before they are copied; polars' own number is smaller, and slower."""

_SPECIAL = re.compile('[",\r\n]')


class Segment(NamedTuple):
    """Bytes to append to a file of the work folder; of Parquet, with the footer that tells of them."""

    path: str
    data: bytes
    footer: bytes = b""


@dataclass(frozen=True)
class Output:
    """How rows are written; `partition_by` names columns that become folders."""

    format: Format
    compression: str | None = None
    partition_by: Sequence[str] = field(default=())

    @classmethod
    def of(cls, path: str, form: Format, partition_by: Sequence[str]) -> "Output":
        """The output of a path."""
        compression = COMPRESSIONS.get(name_of(path).suffix.lower()) if form != "parquet" else None
        return cls(form, compression, partition_by)

    def segments(self, frame: pl.DataFrame, *, first: bool) -> Iterator[Segment]:
        """The rows as bytes; `first` says that nothing is written before them."""
        if not self.partition_by:
            yield self._segment(OUTPUT, frame, first=first)
            return
        for keys, part in frame.partition_by(
            self.partition_by, as_dict=True, maintain_order=True, include_key=False
        ).items():
            folders = "/".join(
                f"{name}={NULL if key is None else quote(str(key), safe='')}"
                for name, key in zip(self.partition_by, keys, strict=True)
            )
            yield self._segment(f"{OUTPUT}/{folders}/{PART}", part, first=False)

    def can_write(self, kind: pl.DataType) -> bool:
        """Whether its format has such values."""
        if self.format == "csv" and (kind.is_nested() or kind == pl.Duration):
            return False
        return self.format == "parquet" or kind not in (pl.Binary, pl.Object)

    def may_own(self, path: str) -> bool:
        """Whether a file in the folder of a partitioned output can be its own, from an earlier run."""
        *folders, name = PurePosixPath(path).parts
        return (
            name == PART
            and len(folders) == len(self.partition_by)
            and all(map(str.startswith, folders, (f"{key}=" for key in self.partition_by)))
        )

    def start(self) -> bytes:
        """What a file begins with before its first segment."""
        return MAGIC if self.format == "parquet" else b""

    def end(self, groups: Sequence[tuple[bytes, int]]) -> bytes:
        """What a file ends with: of Parquet, the footer that tells where its row groups are."""
        return joined_footer(groups) if self.format == "parquet" else b""

    def _segment(self, path: str, frame: pl.DataFrame, *, first: bool) -> Segment:
        file = BytesIO()
        if self.format == "parquet":
            # Probabilities hardly shrink: zstd takes twice the time for 6 % less.
            frame.write_parquet(file, compression="snappy", row_group_size=max(1, len(frame)))
            group = RowGroup.of_file(file.getvalue())
            return Segment(path, group.pages, group.footer)
        if self.format == "csv":
            frame.write_csv(
                file, include_header=first, quote_style=_quotes(frame), batch_size=_LINES_AT_ONCE
            )
        else:
            frame.write_ndjson(file)
        return Segment(path, _compressed(file.getvalue(), self.compression))


def _quotes(frame: pl.DataFrame) -> Literal["never", "necessary"]:
    """How values are quoted: looking at each is half of what writing costs, and often none can need it."""
    names = frame.columns
    for kind in frame.dtypes:
        if isinstance(kind, pl.Enum):
            names += kind.categories.to_list()
        elif not kind.is_numeric():
            return "necessary"
    return "never" if all(name and not _SPECIAL.search(name) for name in names) else "necessary"


def rejected_segment(file: str, rows: Sequence[Rejected], *, first: bool) -> Segment:
    """Rejected rows of a file, as lines of the quarantine."""
    frame = pl.DataFrame(
        {
            "file": [file] * len(rows),
            "line": [row.line for row in rows],
            "column": [row.column for row in rows],
            "reason": [row.reason for row in rows],
            "values": [row.values for row in rows],
        }
    )
    written = BytesIO()
    frame.write_csv(written, include_header=first)
    return Segment(REJECTED, written.getvalue())


def _gzip(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)


def _zstd(data: bytes) -> bytes:
    import pyarrow as pa  # late: its import takes a while, and most outputs don't need it

    return bytes(pa.compress(data, codec="zstd", asbytes=True))


_COMPRESS: dict[str | None, Callable[[bytes], bytes]] = {
    None: lambda data: data,
    "gzip": _gzip,  # members and frames one after the other are one file
    "zstd": _zstd,
}


def _compressed(data: bytes, compression: str | None) -> bytes:
    return _COMPRESS[compression](data) if data else data
