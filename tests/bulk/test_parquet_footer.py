"""Parquet files joined by their footers: every reader finds in the whole what was in the parts."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from sepal.bulk.parquet_footer import MAGIC, RowGroup, joined_footer


def joined(frames: Sequence[pl.DataFrame]) -> bytes:
    """Each frame written alone, and the row groups joined."""
    body, groups = MAGIC, []
    for frame in frames:
        file = BytesIO()
        frame.write_parquet(file, row_group_size=max(1, len(frame)))
        group = RowGroup.of_file(file.getvalue())
        groups.append((group.footer, len(body)))
        body += group.pages
    return body + joined_footer(groups)


def frame_of(n_rows: int, seed: int = 0) -> pl.DataFrame:
    """Rows of many types, with nulls."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, n_rows).astype(np.uint32)
    return pl.DataFrame(
        {
            "double": generator.normal(size=n_rows),
            "whole": generator.integers(-(2**60), 2**60, n_rows),
            "flag": generator.random(n_rows) < 0.5,
            "text": [None if at % 5 == 0 else f"text {at} é" for at in range(n_rows)],
            "label": pl.Series(labels).cat.to(pl.Enum(["a", "b", "c"])),
            "day": [date(2019, 1, 1) + timedelta(at) for at in range(n_rows)],
            "moment": [datetime(2019, 1, 1) + timedelta(hours=at) for at in range(n_rows)],
            "money": [Decimal(at) / 4 for at in range(n_rows)],
            "list": [[at] * (at % 3) for at in range(n_rows)],
            "nothing": [None] * n_rows,
            "clock": [time(at % 24) for at in range(n_rows)],
        },
        schema_overrides={
            "text": pl.String,
            "nothing": pl.Float64,
            "money": pl.Decimal(20, 4),
            "day": pl.Date,
            "moment": pl.Datetime("us"),
            "list": pl.List(pl.Int64),
            "clock": pl.Time,
        },
    )


@pytest.mark.parametrize("sizes", [[5], [1000, 1, 37], [0, 10, 0], [0], [3] * 50])
def test_the_whole_is_its_parts_one_after_the_other_to_every_reader(
    tmp_path: Path, sizes: list[int]
) -> None:
    frames = [frame_of(size, seed) for seed, size in enumerate(sizes)]
    path = tmp_path / "whole.parquet"
    path.write_bytes(joined(frames))
    wanted = pl.concat(frames)
    assert_frame_equal(pl.read_parquet(path), wanted)
    assert_frame_equal(
        pl.scan_parquet(path).filter(pl.col("double") > 0).collect(), wanted.filter(pl.col("double") > 0)
    )
    assert_frame_equal(pl.DataFrame(pl.from_arrow(pq.read_table(path))), wanted)
    simple = ["double", "whole", "flag", "text"]
    found = pd.read_parquet(path, columns=simple, engine="pyarrow")
    assert_frame_equal(pl.from_pandas(found, schema_overrides={"text": pl.String}), wanted.select(simple))


def test_the_footer_tells_where_every_row_group_is_and_how_large(tmp_path: Path) -> None:
    path = tmp_path / "whole.parquet"
    path.write_bytes(joined([frame_of(7), frame_of(5, 1)]))
    file = pq.ParquetFile(path)
    assert file.metadata.num_rows == 12
    assert [file.metadata.row_group(at).num_rows for at in (0, 1)] == [7, 5]
    assert file.read_row_group(1).column("whole").to_pylist() == frame_of(5, 1)["whole"].to_list()
    statistics = file.metadata.row_group(1).column(0).statistics
    assert statistics.max == frame_of(5, 1)["double"].max()


def test_many_columns_and_many_row_groups_are_joined(tmp_path: Path) -> None:
    frames = [pl.DataFrame({f"c{at}": [float(at + n)] for at in range(300)}) for n in range(20)]
    path = tmp_path / "whole.parquet"
    path.write_bytes(joined(frames))
    assert_frame_equal(pl.read_parquet(path), pl.concat(frames))
    assert pq.read_table(path).num_columns == 300


def test_more_row_groups_than_an_ordinal_can_number_are_read(tmp_path: Path) -> None:
    file = BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(file)
    group = RowGroup.of_file(file.getvalue())
    n_groups = 2**15 + 2
    offsets = range(len(MAGIC), len(MAGIC) + n_groups * len(group.pages), len(group.pages))
    path = tmp_path / "whole.parquet"
    path.write_bytes(MAGIC + group.pages * n_groups + joined_footer([(group.footer, at) for at in offsets]))
    assert pq.ParquetFile(path).read_row_group(n_groups - 1).column("a").to_pylist() == [1]
    assert pq.ParquetFile(path).metadata.num_rows == n_groups


def test_a_file_of_no_row_group_is_refused() -> None:
    with pytest.raises(ValueError, match="needs one row group"):
        joined_footer([])
