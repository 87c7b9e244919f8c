"""The folders of jobs in the data folder: uploads, and results that are there to download."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from sepal.bulk.places import REJECTED, beside
from sepal.bulk.places import folder_of as work_folder_of
from sepal.jobs.records import Record
from sepal.settings import Settings

logger = logging.getLogger(__name__)

_INCOMING = ".incoming"
_LEFT_AFTER = 3600.0
"""Seconds after which nobody is still writing to what belongs to no job."""


def folder_of(settings: Settings, record: Record) -> Path:
    """The folder of one job; it need not be there."""
    return settings.jobs_folder / f"{record.model}-{record.identity.id}"


def output_of(settings: Settings, record: Record) -> Path | None:
    """The output of a job, if it is kept in its folder."""
    return None if record.stored is None else folder_of(settings, record) / record.stored


def rejected_of(output: Path) -> Path | None:
    """The rejected rows beside an output, or of a run that ended without one; None if there are none."""
    places = (beside(output, REJECTED), work_folder_of(output) / REJECTED)
    return next((place for place in places if place.is_file()), None)


def incoming(settings: Settings, name: str) -> Path:
    """A new folder for an upload that is being received."""
    folder = settings.jobs_folder / _INCOMING / name
    folder.mkdir(parents=True)
    return folder


def remove(folder: Path) -> None:
    """Remove a folder, if it is there, with all that is in it."""
    shutil.rmtree(folder, ignore_errors=True)


def left_behind(settings: Settings) -> Iterator[Path]:
    """Uploads that broke off, and folders that may belong to no job: nothing newer than an hour.

    What is no folder is nobody's upload, and stays.
    """
    for folder in (*settings.jobs_folder.glob(f"{_INCOMING}/*"), *settings.jobs_folder.glob("[!.]*-*-*")):
        try:
            if folder.is_dir() and time.time() - _newest(folder) > _LEFT_AFTER:
                yield folder
        except FileNotFoundError:
            continue
        except OSError as error:
            logger.warning("%s can't be looked at: %s", folder, error.strerror)


def _newest(folder: Path) -> float:
    """When a folder, or what is in it, was changed last."""
    return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
