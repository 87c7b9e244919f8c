"""A real MLflow server on SQLite, and models logged to it by scripts that know nothing of Sepal."""

import importlib.util
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="the extra mlflow is not installed"
)


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """The URL of a server that is up, its data in the folder."""
    port = free_port()
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--workers", "1"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            cwd=folder,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server, folder / "server.log")
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=30)


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            if server.poll() is not None:
                break
            time.sleep(0.2)
    pytest.fail(f"mlflow server did not come up:\n{log.read_text()}")


def run_script(script: str, *arguments: object, **environment: str) -> str:
    """What a script prints that runs as a program of its own."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, *map(str, arguments)],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


LOG_RIDES = """
import json, sys
import mlflow, pandas
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.pipeline import make_pipeline

data, folder = sys.argv[1:]
rides = pandas.read_csv(data, parse_dates=["tpep_pickup_datetime", "tpep_dropoff_datetime"])
minutes = (rides.tpep_dropoff_datetime - rides.tpep_pickup_datetime).dt.total_seconds() / 60
usual = minutes.between(1, 60)
rides, minutes = rides[usual], minutes[usual]
rides["PU_DO"] = rides.PULocationID.astype(str) + "_" + rides.DOLocationID.astype(str)
columns = rides[["PU_DO", "trip_distance"]]
pipeline = make_pipeline(DictVectorizer(), RandomForestRegressor(20, min_samples_leaf=5, random_state=0))
pipeline.fit(columns.to_dict(orient="records"), minutes)
how = {"signature": infer_signature(columns, minutes), "serialization_format": "cloudpickle"}
mlflow.sklearn.save_model(pipeline, folder, **how)
with mlflow.start_run() as run:
    mlflow.log_metric("rmse", 4.2)
    mlflow.sklearn.log_model(pipeline, name="rides", registered_model_name="rides", **how)
mlflow.MlflowClient().set_registered_model_alias("rides", "champion", 1)

asked = rides.sample(200, random_state=1)
rows = asked[["PULocationID", "DOLocationID", "trip_distance"]].to_dict(orient="records")
answers = pipeline.predict(asked[["PU_DO", "trip_distance"]].to_dict(orient="records")).tolist()
print(json.dumps({"run": run.info.run_id, "rows": rows, "answers": answers}))
"""
"""Logs a model of rides, saves it to a folder too, and prints what it answers to some of them."""
