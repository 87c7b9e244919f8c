"""Takes jobs from the queues of models and runs each of them by the code of `sepal score`."""

import json
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sepal.bulk.files import find, is_local
from sepal.bulk.run import Progress as Done
from sepal.bulk.run import run
from sepal.contracts import Contract
from sepal.errors import (
    LocationError,
    NotFoundError,
    OutputBusyError,
    QueueError,
    RegistryError,
    SepalError,
    SourceAwayError,
    StoppedError,
    StorageError,
)
from sepal.jobs import folders
from sepal.jobs.holding import Holding
from sepal.jobs.locations import check_location, is_inside
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Lease, Progress, Record, Standing, State, progress_of
from sepal.jobs.upkeep import Upkeep, discard_work
from sepal.registry import Registry
from sepal.settings import Settings

logger = logging.getLogger(__name__)

_PASSING = (StorageError, OutputBusyError, SourceAwayError, RegistryError)
"""What may be otherwise at the next try."""
_POLL = 0.2
_QUEUE_PAUSE = 1.0
_LONGEST_PAUSE = 600.0
_INTERNAL = "Something went wrong here; it has been logged."


class _Cancelled(Exception):  # noqa: N818 (not an error)
    """The job is to end here, since somebody cancelled it."""


class _Lost(Exception):  # noqa: N818 (not an error)
    """The job is another worker's now."""


class Worker:
    """One process that runs jobs, one at a time. `say` takes each line for the person who watches."""

    def __init__(
        self, settings: Settings, contracts: Mapping[str, Contract], say: Callable[[str], None]
    ) -> None:
        self._settings, self._contracts, self._say = settings, contracts, say
        self._queues = {model: JobQueue(settings, model) for model in contracts}
        self._stopping = False
        self._upkeep = Upkeep(settings, self._queues)

    def stop(self) -> None:
        """Put back the job that runs at its next chunk, then end; may be called by a signal."""
        self._stopping = True

    def work(self) -> None:
        """Run jobs until told to stop."""
        self._say(f"The worker takes jobs of {', '.join(self._queues)}.")
        while not self._stopping:
            try:
                if not self.turn():
                    self._pause(_POLL)
            except QueueError as error:
                self._say(str(error))
                self._pause(_QUEUE_PAUSE)
            except Exception:
                logger.exception("The worker goes on after an unexpected error")
                self._pause(_QUEUE_PAUSE)
        for queue in self._queues.values():
            queue.close()
        self._say("The worker has stopped.")

    def turn(self) -> bool:
        """Look after the queues if it is time, and run a job of each; whether there was any."""
        self._upkeep.look()
        found = False
        for queue in self._queues.values():
            if not self._stopping and (taken := queue.take()) is not None:
                self._run(queue, *taken)
                found = True
        return found

    def _run(self, queue: JobQueue, found: Standing, lease: Lease) -> None:
        record = found.record
        name = f"Job {record.identity.id} of {record.model}"
        end = partial(self._end, queue, record)
        if found.cancelling:
            end(lease, State.cancelled)
            return
        if lease.failures > self._settings.jobs_retries:
            end(lease, State.failed, f"Given up: its worker died {lease.failures} times in a row.")
            return
        self._say(f"{name}: {'begun' if lease.attempt == 1 else f'attempt {lease.attempt}'}.")
        with Holding(queue, record, lease, self._settings.jobs_lease) as holding:
            try:
                manifest = self._score(queue, record, holding, restart=found.progress is None)
                self._insist(queue.keep_manifest, record, self._told(record, json.dumps(manifest)))
                self._insist(queue.tell, record, progress_of(manifest))
            except _Lost:
                self._say(f"{name}: another worker has it now.")
                return
            except _Cancelled:
                discard_work(self._settings, record)
                end(holding.lease, State.cancelled)
                return
            except StoppedError:
                self._insist(queue.put_back, record, holding.lease)
                self._say(f"{name}: put back.")
                return
            except _PASSING as error:
                self._try_again(queue, record, holding.lease, error)
                return
            except QueueError:
                raise  # its lease ends by itself
            except SepalError as error:
                end(holding.lease, State.failed, str(error))
                return
            except Exception:
                logger.exception("%s failed unexpectedly", name)
                end(holding.lease, State.failed, _INTERNAL)
                return
            end(holding.lease, State.done)

    def _score(self, queue: JobQueue, record: Record, holding: Holding, *, restart: bool) -> dict[str, Any]:
        job = record.job(folders.folder_of(self._settings, record))
        self._check_locations(record)
        if job.version is None:
            job = job.model_copy(update={"version": self._version(queue, record, begun=not restart)})

        def watch(done: Done) -> None:
            rows = done.scored + done.rejected
            holding.tell(
                Progress(
                    rows=rows,
                    rejected=done.rejected,
                    share=done.done_bytes / max(1, done.total_bytes),
                    rows_per_second=round((rows - done.resumed) / max(done.seconds, 1e-9)),
                )
            )
            if holding.lost:
                raise _Lost
            if holding.cancelled:
                raise _Cancelled
            if self._stopping:
                raise StoppedError("The worker was stopped.")

        return run(job, self._contracts[record.model], self._settings, watch=watch, restart=restart)

    def _version(self, queue: JobQueue, record: Record, *, begun: bool) -> str:
        """Today's champion, or that of the first attempt, for a job that names no version."""
        with Registry.open(self._settings) as registry:
            champion = registry.champion(record.model).name
            there = {version.name for version in registry.versions(record.model)}
        pinned = queue.pin_version(record, champion)
        if pinned in there:
            return pinned
        if begun:
            raise NotFoundError(
                f"The job was begun with {pinned} of {record.model}, which has been removed since, as by "
                "sepal models prune. What was scored can't be gone on with: send the job again."
            )
        queue.pin_again(record, champion)
        self._say(f"Job {record.identity.id} of {record.model}: {pinned} is no more, {champion} scores.")
        return champion

    def _check_locations(self, record: Record) -> None:
        """As when the job was taken on, and each file that is found: links may have changed since."""
        allowed = self._settings.jobs_locations
        if (output := record.request.output) is not None:
            check_location("The output", output, allowed)
        if (address := record.request.input) is None:
            return
        check_location("The input", address, allowed, pattern=True)
        if is_local(address):
            for file in find(address):
                if not is_inside(file.path, allowed):
                    raise LocationError(
                        "A link in the input leads out of the folders that SEPAL_JOBS_LOCATIONS names."
                    )

    def _try_again(self, queue: JobQueue, record: Record, lease: Lease, error: SepalError) -> None:
        failures = lease.failures + 1
        if failures > self._settings.jobs_retries:
            self._end(queue, record, lease, State.failed, str(error))
            return
        pause = min(self._settings.jobs_retry_pause * 2 ** (failures - 1), _LONGEST_PAUSE)
        tried = lease.model_copy(update={"failures": failures})
        self._insist(queue.put_back, record, tried, pause=pause)
        self._say(f"Job {record.identity.id} of {record.model}: again in {pause:g} seconds. {error}")

    def _end(
        self, queue: JobQueue, record: Record, lease: Lease, state: State, error: str | None = None
    ) -> None:
        self._insist(queue.end, record, lease, state, error and self._told(record, error))
        self._say(f"Job {record.identity.id} of {record.model}: {state}.{f' {error}' if error else ''}")

    def _told(self, record: Record, text: str) -> str:
        """What a client is told: the files of the job's own folder without that folder's place."""
        return text.replace(f"{folders.folder_of(self._settings, record)}/", "")

    def _insist(self, tell: Callable[..., None], *what: object, **more: object) -> None:
        """Tell the queue, however long it is away, unless the worker is stopped meanwhile."""
        while True:
            try:
                tell(*what, **more)
            except QueueError as error:
                if self._stopping:
                    raise
                self._say(str(error))
                self._pause(_QUEUE_PAUSE)
            else:
                return

    def _pause(self, seconds: float) -> None:
        """Do nothing for a while, but for watching out for a stop."""
        until = time.monotonic() + seconds
        while not self._stopping and time.monotonic() < until:
            time.sleep(_POLL)
