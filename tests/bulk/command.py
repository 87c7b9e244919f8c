"""What the tests of the command share: a place with models in it, and the command as a real process."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from sepal.cli.commands import main
from sepal.contracts.iris import contract as iris

MAIN = "from sepal.cli import main; main()"
HEADER = ",".join(column.name for column in iris.columns)


@dataclass
class Place:
    """A data folder with trained models, the environment that names it, and the pipelines themselves."""

    environment: dict[str, str]
    pipelines: dict[str, Any] = field(default_factory=dict)

    def start(
        self,
        *arguments: object,
        program: Sequence[str] = (sys.executable, "-c", MAIN),
        **more: Any,  # noqa: ANN401
    ) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [*program, *map(str, arguments)],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, *arguments: object, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """Run a command to its end, which must have this exit code and no traceback."""
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=250)
        assert process.returncode == code, f"{process.returncode}: {out}\n{err}"
        assert "Traceback" not in err, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def score(self, *arguments: object, code: int = 0, **more: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401
        """Run `sepal score`."""
        return self.run("score", *arguments, code=code, **more)

    def fails(self, *arguments: object, code: int, **more: Any) -> str:  # noqa: ANN401
        """What `sepal score` says when it fails with this exit code: of Sepal's own errors one line."""
        return _checked(self.score(*arguments, code=code, **more).stderr, code)

    def fails_here(self, *arguments: object, code: int, cwd: Path | None = None) -> str:
        """What `fails` gives, without the second that a process of its own takes to start."""
        err, argv = StringIO(), ["-c", "score", *map(str, arguments)]
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", argv),
            chdir(cwd or Path.cwd()),
            redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        assert ended.value.code == code, err.getvalue()
        return _checked(err.getvalue(), code)

    def with_settings(self, **settings: object) -> "Place":
        """The same place under other settings."""
        changes = {f"SEPAL_{name.upper()}": str(value) for name, value in settings.items()}
        return Place({**self.environment, **changes}, self.pipelines)


def _checked(told: str, code: int) -> str:
    """What was told on standard error, which of Sepal's own errors is one line."""
    if code != 2:
        assert told.startswith("Error: ")
        assert told.count("\n") == 1
    return " ".join(told.replace("│", " ").split())


def manifest_of(output: Path) -> dict[str, Any]:
    """An output's manifest."""
    told: dict[str, Any] = json.loads(output.with_name(f"{output.name}.manifest.json").read_text())
    return told


def quarantine_of(output: Path) -> list[dict[str, str]]:
    """The rows of an output's quarantine."""
    with output.with_name(f"{output.name}.rejected.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def random_irises(n_rows: int, seed: int = 0) -> NDArray[np.float64]:
    """Rows of irises, (n_rows, 4)."""
    return np.random.default_rng(seed).uniform(0.1, 30, (n_rows, 4))


def frame_of(rows: NDArray[np.float64]) -> pl.DataFrame:
    """Rows as a table with the contract's column names."""
    return pl.DataFrame(rows, schema=[column.name for column in iris.columns])


def left_over(folder: Path) -> list[str]:
    """Hidden files and folders of a folder."""
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]
