"""The notebooks: they run from top to bottom in a fresh clone, and are kept without what they print."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import model_training

NOTEBOOKS = sorted((Path(model_training.__file__).parent / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_there_are_two() -> None:
    assert [path.name for path in NOTEBOOKS] == ["data.ipynb", "model_development.ipynb"]


@each
def test_a_notebook_is_kept_without_outputs_and_counts(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


# No folders of kernels: then there is one, ipykernel's own, which is the running interpreter.
EXECUTE = """
import sys
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
kernel = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
NotebookClient(notebook, km=kernel, timeout=120).execute()
nbformat.write(notebook, sys.argv[2])
"""


@each
def test_a_notebook_runs_and_warns_of_nothing(path: Path, tmp_path: Path) -> None:
    places = ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "SEPAL_DATA_DIR")
    environment = {**os.environ, **{name: str(tmp_path / name) for name in places}}
    executed = tmp_path / "executed.ipynb"
    run = subprocess.run(
        [sys.executable, "-c", EXECUTE, path, executed],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    outputs = [
        output for cell in nbformat.read(executed, as_version=4).cells for output in cell.get("outputs", [])
    ]
    assert [output.text for output in outputs if output.output_type == "stream"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs) is (path.stem == "data")
    assert not (tmp_path / "SEPAL_DATA_DIR").exists()
