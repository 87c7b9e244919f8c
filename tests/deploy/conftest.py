"""What the tests of the deployment share: the project's root, and programs that may be missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def program(name: str) -> str:
    """The path of a program; without it the test is skipped, and says so."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's root."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
