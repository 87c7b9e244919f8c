"""Has BentoML build the bento."""

import os
import subprocess
import sys
from pathlib import Path

from sepal.errors import ConfigurationError
from sepal.settings import Settings

NAME = "sepal-model-server"
"""Of the bento, as its bentofile has it."""


def tag_of(version: str) -> str:
    """The tag of the bento of that version."""
    return f"{NAME}:{version}"


def is_there(settings: Settings, version: str) -> bool:
    """Whether BENTOML_HOME has this bento."""
    return (settings.bentoml_home / "bentos" / NAME / version / "bento.yaml").is_file()


def build(settings: Settings, stage: Path, bentofile: str, version: str, models: list[str]) -> None:
    """Build the bento from the folder that `lay_out` filled."""
    _run_bentoml(
        settings,
        *("build", ".", "--bentofile", bentofile, "--version", version, "--output", "tag"),
        folder=stage,
        SEPAL_MODELS=",".join(models),
        SEPAL_CONTRACTS_PATH=os.pathsep.join(str(folder.resolve()) for folder in settings.contracts_path),
        SEPAL_DATA_DIR=str(settings.data_dir.resolve()),
        PYTHONPATH=str(stage / "src"),
    )


def export(settings: Settings, version: str, file: Path) -> None:
    """Write the bento, its models included, to one file."""
    _run_bentoml(settings, "export", tag_of(version), str(file.resolve()))


def _run_bentoml(
    settings: Settings, *arguments: str, folder: Path | None = None, **environment: str
) -> None:
    """Run BentoML's command. ConfigurationError with what it says if it fails."""
    ended = subprocess.run(  # noqa: S603 (BentoML's own command)
        [sys.executable, "-m", "bentoml", *arguments],
        cwd=folder,
        env={**os.environ, **settings.bentoml_environment, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        said = (ended.stderr or ended.stdout).strip().splitlines() or ["nothing"]
        raise ConfigurationError(f"`bentoml {arguments[0]}` failed: {said[-1]}")
