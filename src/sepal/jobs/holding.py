"""Holds on to a job while it runs: renews its lease, keeps its progress, and notices what ends it."""

import logging
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from sepal.errors import QueueError
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Lease, Progress, Record

logger = logging.getLogger(__name__)

_LONGEST_PAUSE = 1.0
"""Seconds between two looks at the queue, at most."""
_RENEWALS = 3
"""How often a lease is renewed before it would end."""


class Holding:
    """A lease that a thread renews for as long as this is entered.

    The thread lives as long as the process does, however long one chunk takes. A queue
    that is away for less than the lease does no harm.
    """

    def __init__(
        self,
        queue: JobQueue,
        record: Record,
        lease: Lease,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lease = lease
        self.progress: Progress | None = None
        self.cancelled = False
        self._taken = False
        self._queue, self._record, self._seconds, self._clock = queue, record, seconds, clock
        self._told: Progress | None = None
        self._renewed = self._clock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._hold, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def lost(self) -> bool:
        """Whether another worker has the job, or may have."""
        return self._taken or self._clock() - self._renewed > self._seconds

    def tell(self, progress: Progress) -> None:
        """Take note of how far the job is. An attempt that gets further counts as no failure."""
        self.progress = progress
        self.lease = self.lease.model_copy(update={"failures": 0})

    def _hold(self) -> None:
        while not self._stop.wait(min(_LONGEST_PAUSE, self._seconds / _RENEWALS)):
            try:
                self._look()
            except QueueError as error:
                logger.warning("job %s: %s", self._record.identity.id, error)

    def _look(self) -> None:
        progress = self.progress
        if progress is not None and progress is not self._told:
            self._queue.tell(self._record, progress)
            self._told = progress
        self.cancelled = self.cancelled or self._queue.is_cancelled(self._record)
        began = self._clock()
        if began - self._renewed >= self._seconds / _RENEWALS:
            if self._queue.renew(self._record, self.lease) is None:
                self._taken = True
            else:
                self._renewed = began
