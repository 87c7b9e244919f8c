"""Makes each peer's own environment under `.bench/`, and says which versions it holds."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

from loadtest.bench.systems import ROOT, System, own_python

_FOLDER = ROOT / ".bench"
_VERSIONS = (
    "import json, sys, importlib.metadata as m; print(json.dumps({p: m.version(p) for p in sys.argv[1:]}))"
)


class InstallError(Exception):
    """A peer could not be installed."""


def python_of(system: System) -> Path:
    """The Python that has what the system needs."""
    return own_python() if system.requirements is None else python_with(system.requirements)


def python_with(name: str) -> Path:
    """The Python that has what `loadtest/systems/NAME.txt` says, installed first where it is missing.

    A mark in the environment names the requirements it was made from; others make it anew.
    """
    requirements = ROOT / "loadtest" / "systems" / f"{name}.txt"
    folder = _FOLDER / name
    mark = folder / "installed"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not mark.is_file() or mark.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([str(folder / "bin" / "pip"), "install", "--quiet", "--requirement", str(requirements)])
        mark.write_text(wanted)
    return folder / "bin" / "python"


def versions(system: System, python: Path) -> dict[str, str]:
    """The installed version of each package that the system names."""
    asked = subprocess.run(
        [str(python), "-c", _VERSIONS, *system.packages], capture_output=True, text=True, check=True
    )
    said: dict[str, str] = json.loads(asked.stdout)
    return said


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        last = next((line for line in done.stdout.splitlines() if "ERROR" in line), done.stdout[-300:])
        raise InstallError(last[:300])
