"""The report's file: beside the artefact, so that it goes where that goes, and away with it."""

import os
from pathlib import Path

from model_training.pipelines.findings import Findings
from sepal.registry.artefacts import REPORT
from sepal.registry.versions import Version


def write_report(version: Version, findings: Findings, folder: Path) -> Path:
    """Write the report of a version into its artefact's folder, whole or not at all.

    Raises OSError if it can't be written, as when the version was pruned meanwhile.
    """
    from model_training.pipelines.report.page import page  # matplotlib takes half a second

    path = folder / REPORT
    unfinished = path.with_suffix(".part")
    # A name from a file system may hold half a character; a report with a ? in it is better than none.
    with unfinished.open("w", encoding="utf-8", errors="replace") as file:
        file.write(page(version, findings))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return path
