"""Looks after the queues: puts back what was lost, and removes what is past its time."""

import logging
import time
from collections.abc import Mapping

from sepal.bulk import remote
from sepal.bulk.locking import discard
from sepal.bulk.places import folder_of as work_folder_of
from sepal.errors import SepalError, reason_of
from sepal.jobs import folders
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Record
from sepal.settings import Settings

logger = logging.getLogger(__name__)

_SWEEP_EVERY = 5.0
_TIDY_EVERY = 300.0
"""Seconds, after which what could not be removed is tried again, too."""


class Upkeep:
    """What one worker does for the queues of its models, now and then."""

    def __init__(self, settings: Settings, queues: Mapping[str, JobQueue]) -> None:
        self._settings, self._queues = settings, queues
        self._swept = self._tidied = float("-inf")
        self._unremoved: dict[str, float] = {}
        """When the work of these jobs could not be removed, by their ids."""

    def look(self) -> None:
        """Do what it is time for."""
        now = time.monotonic()
        if now - self._swept < min(_SWEEP_EVERY, self._settings.jobs_lease):
            return
        self._swept = now
        self.sweep()
        if now - self._tidied > _TIDY_EVERY:
            self._tidied = now
            self.tidy()

    def sweep(self) -> None:
        """Put back what was lost, and remove the jobs that are past their time, each by itself."""
        now = time.monotonic()
        for queue in self._queues.values():
            for record in queue.sweep():
                job = record.identity.id
                if now - self._unremoved.get(job, float("-inf")) < _TIDY_EVERY:
                    continue
                if record.request.output is not None and not discard_work(self._settings, record):
                    self._unremoved[job] = now
                    continue
                folders.remove(folders.folder_of(self._settings, record))
                queue.remove(record)
                self._unremoved.pop(job, None)

    def tidy(self) -> None:
        """Remove uploads that broke off, and folders of no job."""
        for folder in folders.left_behind(self._settings):
            if folder.parent == self._settings.jobs_folder:
                model, _, job_id = folder.name.partition("-")
                if model not in self._queues or self._queues[model].has(job_id):
                    continue
            folders.remove(folder)


def discard_work(settings: Settings, record: Record) -> bool:
    """Remove what a job's run left beside its output; False, and logged, if that can't be done."""
    try:
        address = record.job(folders.folder_of(settings, record)).output
        discard(work_folder_of(remote.local_output(address, settings)))
    except (OSError, SepalError) as error:
        logger.warning("job %s: what it left can't be removed: %s", record.identity.id, reason_of(error))
        return False
    return True
