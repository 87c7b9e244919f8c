"""Parquet is read in bounded memory, however large its texts are and however the file holds them."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sepal.bulk.files import find
from sepal.bulk.parquet_reader import ParquetChunk, ParquetReader
from sepal.bulk.plan import Sizes
from sepal.bulk.rows import Done, Position
from sepal.settings import Settings

LONG = 50_000
SIZES = Sizes.of(Settings(bulk_memory=300_000_000))


def text(seed: int, length: int = LONG) -> str:
    return np.random.default_rng(seed).integers(97, 123, length, dtype=np.uint8).tobytes().decode()


def different() -> pa.Table:
    return pa.table({"x": np.arange(600.0), "note": [text(at) for at in range(600)]})


def repeated() -> pa.Table:
    notes = [text(at) for at in range(15)]
    return pa.table({"x": np.arange(5_000.0), "note": [notes[at % 15] for at in range(5_000)]})


def uneven() -> pa.Table:
    notes = [f"note {at}" for at in range(20_000)] + [text(at) for at in range(500)]
    return pa.table({"x": np.arange(float(len(notes))), "note": notes})


def large() -> pa.Table:
    made = repeated()
    return made.set_column(1, "note", made["note"].cast(pa.large_string()))


def nested() -> pa.Table:
    return pa.table({"x": np.arange(600.0), "note": [[text(at)] for at in range(600)]})


def missing() -> pa.Table:
    notes = [None if at % 3 else text(at % 2) for at in range(5_000)]
    return pa.table({"x": np.arange(5_000.0), "note": pa.array(notes, pa.string())})


def reader_of(path: Path) -> ParquetReader:
    reader = ParquetReader(find(str(path))[0], n_values=SIZES.values, n_bytes=SIZES.block, most_columns=100)
    reader.select(["x"], ["note"])
    return reader


@pytest.mark.parametrize(
    "table", [different, repeated, uneven, large, nested, missing], ids=lambda t: t.__name__
)
@pytest.mark.parametrize("group", [100, 1 << 20])
def test_a_chunk_has_no_more_text_than_the_memory_allows(
    table: Callable[[], pa.Table], group: int, tmp_path: Path
) -> None:
    made = table()
    pq.write_table(made, tmp_path / "in.parquet", row_group_size=group)
    chunks = [*reader_of(tmp_path / "in.parquet").chunks()]
    assert all(isinstance(chunk, ParquetChunk) for chunk in chunks)
    assert max(chunk.table.nbytes for chunk in chunks) < 3 * SIZES.block
    assert len(chunks) > 2
    rows = [chunk.parse() for chunk in chunks]
    assert pl.concat(row.frame for row in rows).equals(pl.DataFrame(pl.from_arrow(made)))
    assert np.concatenate([row.lines for row in rows]).tolist() == [*range(1, len(made) + 1)]


def test_small_texts_and_numbers_are_read_many_at_a_time(tmp_path: Path) -> None:
    n_rows = 2 * SIZES.values // 10
    table = pa.table({"x": np.arange(float(n_rows)), "note": np.resize(["red", "blue"], n_rows)})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=1000)
    assert [len(chunk.parse().frame) for chunk in reader_of(tmp_path / "in.parquet").chunks()] == [
        n_rows // 2
    ] * 2


@pytest.mark.parametrize("begin", [1, 7, 49, 4_999])
def test_a_run_that_was_begun_with_other_chunks_goes_on_at_the_very_row(begin: int, tmp_path: Path) -> None:
    made = repeated()
    pq.write_table(made, tmp_path / "in.parquet")
    reader = reader_of(tmp_path / "in.parquet")
    done = Done(Position(begin, begin + 1), reader.done().digest)
    rows = [chunk.parse() for chunk in reader.chunks(done)]
    assert pl.concat(row.frame for row in rows)["x"].to_list() == [*map(float, range(begin, 5_000))]
    assert np.concatenate([row.lines for row in rows]).tolist() == [*range(begin + 1, 5_001)]


PEAK = """
import json, re, sys
from pathlib import Path
from tests.bulk.test_parquet_reader import reader_of

def peak():  # getrusage's would be the parent's, if that is more
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])

reader, before = reader_of(Path(sys.argv[1])), peak()
rows = sum(len(chunk.parse().frame) for chunk in reader.chunks())
print(json.dumps([rows, peak() - before]))
"""


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_gigabyte_of_text_in_one_row_group_is_read_in_the_memory_that_is_allowed(
    dictionary: bool, tmp_path: Path
) -> None:
    notes = pa.DictionaryArray.from_arrays(
        pa.array(np.arange(20_000, dtype=np.int32) % 20), [text(at) for at in range(20)]
    )
    path = tmp_path / "in.parquet"
    columns = {"x": np.arange(20_000.0), "note": notes.dictionary_decode()}
    pq.write_table(pa.table(columns), path, use_dictionary=dictionary, compression="zstd")
    assert pq.ParquetFile(path).num_row_groups == 1
    process = subprocess.run([sys.executable, "-c", PEAK, str(path)], capture_output=True, check=True)
    rows, peak = json.loads(process.stdout)
    assert rows == 20_000
    assert peak < 300_000_000
