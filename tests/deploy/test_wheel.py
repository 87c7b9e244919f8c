"""The wheel, installed with each extra in an empty environment: the help, and what the extra is for."""

import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.deploy.conftest import ROOT
from tests.ports import free_port

# What an extra is for, as code that runs where nothing else is installed.
PURPOSE = {
    "client": "import httpx",
    "redis": "import redis",
    "postgres": "import psycopg",
    "otel": "import opentelemetry.sdk, opentelemetry.exporter.otlp.proto.http",
    "skops": "import skops.io",
    "onnx": "import skl2onnx, onnxruntime",
    "mlflow": "import mlflow.sklearn",
    "bulk,spark": "import pyspark.sql.pandas.types, sepal.bulk.spark.run",
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what is in it, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("src", "model_training"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "."],
        cwd=folder,
        check=True,
    )
    [wheel] = (folder / "dist").glob("*.whl")
    return wheel


class Installed:
    """An environment with the wheel, one extra, and nothing else."""

    def __init__(self, folder: Path, wheel: Path, extra: str) -> None:
        self.bin = folder / "environment" / "bin"
        self.folder = folder
        unset = ("PYTHONPATH", "SEPAL_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(unset)} | {
            "SEPAL_DATA_DIR": str(folder / "data"),
            "HOME": str(folder),
        }
        subprocess.run([sys.executable, "-m", "venv", self.bin.parent], check=True)
        wanted = f"{wheel}[{extra}]" if extra else str(wheel)
        self("python", "-m", "pip", "install", "--quiet", wanted, environment=dict(os.environ))

    def __call__(self, program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
        """What a program of the environment prints."""
        ended = subprocess.run(
            [self.bin / program, *arguments],
            cwd=self.folder,
            env=environment or self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def distributions(self) -> set[str]:
        code = "from importlib.metadata import distributions as d; print(*(x.name.lower() for x in d()))"
        return set(self("python", "-c", code).split())

    def answers(self, module: str, path: str, **settings: str) -> str:
        """Start a tier, and the body of its first answer."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        tier = module.partition(".")[2].upper()
        environment = {**self.environment, **settings, f"SEPAL_{tier}_PORT": str(port)}
        process = subprocess.Popen([self.bin / "python", "-m", module], env=environment, cwd=self.folder)
        try:
            for _ in range(300):
                assert process.poll() is None
                try:
                    with urllib.request.urlopen(url + path, timeout=5) as response:  # noqa: S310 (our own tier)
                        return str(response.read(), "utf-8")
                except OSError:
                    time.sleep(0.1)
            pytest.fail(f"{module} does not answer")
        finally:
            process.terminate()
            process.wait(30)


def test_without_extras_there_is_help_for_every_command(tmp_path: Path, wheel: Path) -> None:
    installed = Installed(tmp_path, wheel, "")
    assert "score" in installed("sepal", "--help")
    for command in ("train", "serve", "score", "worker", "models", "bento"):
        assert "Example" in installed("sepal", command, "--help"), command


def test_what_an_extra_is_missing_for_is_told_in_one_line(tmp_path: Path, wheel: Path) -> None:
    installed = Installed(tmp_path, wheel, "")
    for command in (["train", "iris"], ["score", "iris", "in.csv", "out.csv"], ["models", "list"]):
        ended = subprocess.run(
            [installed.bin / "sepal", *command],
            env=installed.environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 3, ended.stderr
        assert len(ended.stderr.splitlines()) == 1
        assert "Install the extra" in ended.stderr


def test_the_gateway_starts_without_scikit_learn_pandas_numpy_bentoml_or_a_database(
    tmp_path: Path, wheel: Path
) -> None:
    installed = Installed(tmp_path, wheel, "gateway")
    assert installed.distributions().isdisjoint(
        {"scikit-learn", "pandas", "numpy", "polars", "pyarrow", "bentoml", "sqlalchemy", "alembic"}
    )
    assert "help" in installed("sepal", "--help")
    said = installed.answers("sepal.gateway", "/livez")
    assert '"alive"' in said


def test_a_model_trained_by_one_extra_is_served_and_scored_by_others(tmp_path: Path, wheel: Path) -> None:
    (tmp_path / "training").mkdir()
    training = Installed(tmp_path / "training", wheel, "training")
    data = tmp_path / "training" / "data"
    data.mkdir()
    shutil.copy(ROOT / "data" / "Iris.csv", data)
    assert "log_reg_1" in training("sepal", "train", "iris")
    for extra in ("server", "bulk"):
        (tmp_path / extra).mkdir()
        shutil.copytree(data, tmp_path / extra / "data")
    server = Installed(tmp_path / "server", wheel, "server")
    assert server.distributions().isdisjoint(
        {"fastapi", "fastapi-swagger", "pandas", "matplotlib", "alembic", "mlflow", "pytest", "ruff"}
    )
    said = server.answers("sepal.model_server", "/models", SEPAL_MODELS="iris")
    assert '"log_reg_1"' in said
    assert "log_reg_1" in server("sepal", "models", "list")
    bulk = Installed(tmp_path / "bulk", wheel, "bulk")
    bulk("sepal", "score", "iris", "data/Iris.csv", "scored.csv")
    assert len((tmp_path / "bulk" / "scored.csv").read_text().splitlines()) == 151


@pytest.mark.parametrize("extra", sorted(PURPOSE))
def test_an_extra_brings_what_it_is_for(tmp_path: Path, wheel: Path, extra: str) -> None:
    installed = Installed(tmp_path, wheel, extra)
    assert "help" in installed("sepal", "--help")
    installed("python", "-c", PURPOSE[extra])


def test_all_brings_both_tiers_training_and_bulk_scoring(tmp_path: Path, wheel: Path) -> None:
    installed = Installed(tmp_path, wheel, "all")
    assert {"fastapi", "bentoml", "scikit-learn", "pandas", "polars"} <= installed.distributions()
    assert "help" in installed("sepal", "serve", "--help")
