"""One way to score a file, as a program: `contender.py WAY SOURCE TARGET MODEL.json|MODEL.pkl [--proba]`.

None of these checks a row, sets one aside, or survives being killed.
"""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

IRIS = ["SepalLengthCm", "SepalWidthCm", "PetalLengthCm", "PetalWidthCm"]
RIDES = ["PULocationID", "DOLocationID", "trip_distance", "tpep_pickup_datetime"]


def _pipeline(path: str) -> Any:
    return pickle.loads(Path(path).read_bytes())  # the benchmark wrote it a moment ago


def _score_frame(frame: Any, pipeline: Any, proba: bool) -> Any:
    import pandas as pd

    rides = "trip_distance" in frame.columns
    X = frame[RIDES if rides else IRIS].copy()
    if rides:
        X["tpep_pickup_datetime"] = (
            pd.to_datetime(X["tpep_pickup_datetime"]).astype("datetime64[us]").astype("int64") / 1e6
        )
    X = X.to_numpy(dtype=float)
    scored = pd.DataFrame({"prediction": pipeline.predict(X)})
    if proba:
        scored[[f"probability_{label}" for label in pipeline.classes_]] = pipeline.predict_proba(X)
    scored["model_version"] = "log_reg_1"
    return scored


def pandas_whole(source: str, target: str, model: str, proba: bool) -> None:
    """As the older batch script: all at once."""
    import pandas as pd

    read = pd.read_csv if source.endswith(".csv") else pd.read_parquet
    scored = _score_frame(read(source), _pipeline(model), proba)
    if target.endswith(".csv"):
        scored.to_csv(target, index=False)
    else:
        scored.to_parquet(target, index=False)


def pandas_chunks(source: str, target: str, model: str, proba: bool) -> None:
    """The same in pieces of 200,000 rows."""
    import pandas as pd

    pipeline = _pipeline(model)
    with Path(target).open("w") as file:
        for number, frame in enumerate(pd.read_csv(source, chunksize=200_000)):
            _score_frame(frame, pipeline, proba).to_csv(file, index=False, header=number == 0)


def polars_lazy(source: str, target: str, model: str, proba: bool) -> None:
    """The linear model as expressions of polars, streamed."""
    import polars as pl

    linear = json.loads(Path(model).read_text())
    scan = pl.scan_csv(source) if source.endswith(".csv") else pl.scan_parquet(source)
    labels, weights, intercepts = linear["labels"], linear["weights"], linear["intercepts"]
    scores = [
        sum((pl.col(column) * w for column, w in zip(IRIS, each, strict=True)), pl.lit(b)).alias(f"z{k}")
        for k, (each, b) in enumerate(zip(weights, intercepts, strict=True))
    ]
    best = pl.max_horizontal("z0", "z1", "z2")
    label = (
        pl.when(pl.col("z0") >= best)
        .then(pl.lit(labels[0]))
        .when(pl.col("z1") >= best)
        .then(pl.lit(labels[1]))
        .otherwise(pl.lit(labels[2]))
        .alias("prediction")
    )
    if proba:
        shares = [(pl.col(f"z{k}") - best).exp().alias(f"e{k}") for k in range(3)]
        total = pl.col("e0") + pl.col("e1") + pl.col("e2")
        scored = (
            scan.select(*scores)
            .select(label, *shares)
            .select(
                "prediction",
                *[(pl.col(f"e{k}") / total).alias(f"probability_{labels[k]}") for k in range(3)],
            )
        )
    else:
        scored = scan.select(*scores).select(label)
    scored = scored.with_columns(pl.lit("log_reg_1").alias("model_version"))
    (scored.sink_csv if target.endswith(".csv") else scored.sink_parquet)(target)


def duckdb_sql(source: str, target: str, model: str, proba: bool) -> None:
    """The linear model as SQL."""
    import duckdb

    linear = json.loads(Path(model).read_text())
    scores = ", ".join(
        " + ".join([repr(b), *(f"{column} * {w!r}" for column, w in zip(IRIS, each, strict=True))])
        + f" AS z{k}"
        for k, (each, b) in enumerate(zip(linear["weights"], linear["intercepts"], strict=True))
    )
    first, second, third = linear["labels"]
    label = (
        f"CASE WHEN z0 >= z1 AND z0 >= z2 THEN '{first}' WHEN z1 >= z2 THEN '{second}' ELSE '{third}' END"
        " AS prediction"
    )
    if proba:
        inner = "SELECT *, greatest(z0, z1, z2) AS m FROM scored"
        shares = f"SELECT {label}, exp(z0 - m) AS e0, exp(z1 - m) AS e1, exp(z2 - m) AS e2 FROM ({inner})"
        query = (
            "SELECT prediction, "
            + ", ".join(f"e{k} / (e0 + e1 + e2) AS p{k}" for k in range(3))
            + f", 'log_reg_1' AS model_version FROM ({shares})"
        )
    else:
        query = f"SELECT {label}, 'log_reg_1' AS model_version FROM scored"
    form = "(FORMAT csv, HEADER)" if target.endswith(".csv") else "(FORMAT parquet, COMPRESSION zstd)"
    duckdb.sql(f"COPY (WITH scored AS (SELECT {scores} FROM '{source}') {query}) TO '{target}' {form}")


def floor(source: str, target: str, model: str, proba: bool) -> None:
    """Read, parse and write as many columns as Sepal does, with the same library, and score nothing."""
    import polars as pl

    scan = pl.scan_csv(source) if source.endswith(".csv") else pl.scan_parquet(source)
    checked = pl.sum_horizontal(IRIS).alias("sum")
    columns = [pl.col(column) for column in IRIS[:3]] if proba else []
    label = pl.when(checked > 15).then(pl.lit("Iris-setosa")).otherwise(pl.lit("Iris-virginica"))
    read = scan.select(label.alias("prediction"), *columns, pl.lit("log_reg_1").alias("model_version"))
    (read.sink_csv if target.endswith(".csv") else read.sink_parquet)(target)


def predict_only(source: str, target: str, model: str, proba: bool) -> None:
    """scikit-learn's predict on rows in memory, in two threads, and nothing else: seconds to the target."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import pandas as pd

    pipeline = _pipeline(model)
    X = pd.read_csv(source)[IRIS].to_numpy(dtype=float)
    parts = np.array_split(X, max(1, len(X) // 160_000))
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(pipeline.predict, parts))
    Path(target).write_text(str(time.perf_counter() - started))


if __name__ == "__main__":
    way, source, target, model, *options = sys.argv[1:]
    globals()[way](source, target, model, "--proba" in options)
