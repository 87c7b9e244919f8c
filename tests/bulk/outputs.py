"""Writes inputs and reads outputs of any format, and holds these against the pipeline itself."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from sepal.contracts.iris import contract as iris
from tests.bulk.command import Place, frame_of, left_over, manifest_of, random_irises

LABELS = iris.target.names  # type: ignore[union-attr]  # it is one of labels


def write(frame: pl.DataFrame, path: Path) -> None:
    """By the file's name."""
    match path.suffixes:
        case [".parquet"]:
            frame.write_parquet(path, row_group_size=7_000)
        case [".jsonl"]:
            frame.write_ndjson(path)
        case [".csv"]:
            frame.write_csv(path)
        case [".csv", ".gz"]:
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        case [".jsonl", ".zst"]:
            path.write_bytes(pa.compress(frame.write_ndjson().encode(), codec="zstd", asbytes=True))
        case [".csv", ".zst"]:
            path.write_bytes(pa.compress(frame.write_csv().encode(), codec="zstd", asbytes=True))


def read(path: Path) -> pl.DataFrame:
    """By the file's name."""
    suffixes = path.suffixes
    if ".parquet" in suffixes:
        return pl.read_parquet(path)
    content = path.read_bytes()
    if ".gz" in suffixes:
        content = gzip.decompress(content)
    if ".zst" in suffixes:
        content = pa.CompressedInputStream(pa.BufferReader(content), "zstd").read()
    return pl.read_ndjson(content) if ".jsonl" in suffixes else pl.read_csv(content)


def check(scored: pl.DataFrame, rows: Any, pipeline: Any) -> None:  # noqa: ANN401
    """Whether labels are the pipeline's own, and probabilities within 1e-12."""
    assert scored["prediction"].cast(pl.String).to_numpy().tolist() == pipeline.predict(rows).tolist()
    wanted = pipeline.predict_proba(rows)
    for label in LABELS:
        found = scored[f"probability_{label}"].to_numpy()
        assert np.abs(found - wanted[:, list(pipeline.classes_).index(label)]).max() <= 1e-12


def check_run(place: Place, source: Path, target: Path, n_rows: int) -> None:
    """Score random rows from a file to another, and hold all that is written against the pipeline."""
    rows = random_irises(n_rows)
    write(frame_of(rows), source)
    place.score("iris", source, target, "--proba")
    scored = read(target)
    assert scored.columns == ["prediction", *(f"probability_{label}" for label in LABELS), "model_version"]
    check(scored, rows, place.pipelines["log_reg_1"])
    assert set(scored["model_version"].cast(pl.String)) == {"log_reg_1"}
    told = manifest_of(target)
    assert told["rows"] == {"read": n_rows, "scored": n_rows, "rejected": 0}
    counts = scored["prediction"].cast(pl.String).value_counts().iter_rows()
    assert {label: count for label, count in told["predictions"].items() if count} == dict(counts)
    assert left_over(target.parent) == []
