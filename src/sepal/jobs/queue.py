"""The durable queue of one model's jobs: what the gateway and workers do with them.

`keys.py` says what is stored, under which keys, and who writes each.
"""

import os
import secrets
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sepal.errors import JobEndedError, NotFoundError, OverloadedError
from sepal.jobs.claims import SETTLED, Claims
from sepal.jobs.keys import JobKeys
from sepal.jobs.records import (
    Claim,
    End,
    Lease,
    Progress,
    Record,
    Standing,
    State,
    fingerprint,
)
from sepal.jobs.storage import told
from sepal.settings import Settings


class JobQueue:
    """The jobs of one model. Connects when it is first used; every method raises QueueError."""

    def __init__(self, settings: Settings, model: str, clock: Callable[[], float] = time.time) -> None:
        self._settings, self._model, self._clock = settings, model, clock
        self._keys = JobKeys(settings.jobs_queue, f"sepal_{model}", clock)
        self._claims = Claims(self._keys)

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        self._keys.close()

    # What the gateway does.

    def check_room(self, key: str | None = None) -> None:
        """OverloadedError if no further job can be queued; the job of a known Idempotency-Key is none."""
        with told():
            waiting = self._keys.storage.queue_size()
            is_full = waiting >= self._settings.jobs_queued
            if is_full and (key is None or not self._claims.has_job(key)):
                raise OverloadedError(
                    f"{waiting} jobs of {self._model} are queued already. Try again later."
                )

    def claim(self, key: str | None, sent: str) -> Claim:
        """An identity for a new job, or that of the job which this Idempotency-Key stands for.

        `sent` is a fingerprint of what was sent; KeyReusedError if another came with the key.
        """
        with told():
            return self._claims.claim(key, sent, self._now())

    def put(self, record: Record) -> Standing:
        """Take on a job, unless it was taken on before."""
        number = record.identity.number
        with told():
            is_new = self._keys.write_once(f"job:{number}", record)
            if number < self._keys.oldest:
                self._keys.oldest = number
            if is_new:
                self._keys.enqueue(number)
            return self._keys.standings([number])[0]

    def get(self, job_id: str) -> Standing:
        """All that is known of a job. NotFoundError."""
        number = job_id.partition("-")[0]
        if number.isascii() and number.isdigit() and len(number) < 16:
            with told():
                found = self._keys.standings([int(number)])
            if found and found[0].record.identity.id == job_id:
                return found[0]
        raise NotFoundError(f"There is no job {job_id!r} of {self._model}, or it is no longer kept.")

    def has(self, job_id: str) -> bool:
        """Whether a job is kept."""
        try:
            self.get(job_id)
        except NotFoundError:
            return False
        return True

    def manifest(self, record: Record) -> bytes | None:
        """What a job that is done did, as JSON."""
        with told():
            return self._keys.read(f"manifest:{record.identity.number}")

    def page(self, limit: int, before: int | None) -> tuple[list[Standing], int | None]:
        """So many jobs, the newest first, of those with lower numbers; and where the next page begins."""
        found: list[Standing] = []
        with told():
            for numbers in self._keys.pages(before):
                found += self._keys.standings(numbers)
                if len(found) > limit:
                    break
        more = len(found) > limit
        found = found[:limit]
        return found, found[-1].record.identity.number if more else None

    def cancel(self, job_id: str) -> Standing:
        """Cancel a job: at once if nobody runs it, else its worker will. NotFoundError, JobEndedError."""
        found = self.get(job_id)
        if found.state is State.cancelled:
            return found
        if found.end is not None:
            raise JobEndedError(f"Job {job_id} is {found.state} already: it can't be cancelled.")
        with told():
            self._keys.storage.put_if_empty(f"cancel:{found.record.identity.number}", b"1")
            if (lease := self._claim_lease(found)) is not None:
                self.end(found.record, lease, State.cancelled)
        return self.get(job_id)

    # What workers do.

    def take(self) -> tuple[Standing, Lease] | None:
        """A job to run, with its lease; None if there is none, or none that is free."""
        with told():
            hint = self._keys.storage.dequeue()
            if hint is None:
                return None
            for found in self._keys.standings([int(bytes(hint))]):
                if found.is_due and (lease := self._claim_lease(found)) is not None:
                    return found, lease
        return None

    def renew(self, record: Record, lease: Lease) -> Lease | None:
        """Hold on to a lease; None if another has taken the job."""
        number = record.identity.number
        with told():
            if self._keys.has(f"lease:{number}:{lease.attempt + 1}"):
                return None
            renewed = lease.model_copy(update={"until": self._clock() + self._settings.jobs_lease})
            self._keys.write(f"lease:{number}:{lease.attempt}", renewed)
            return renewed

    def is_cancelled(self, record: Record) -> bool:
        """Whether somebody asked for a job to be cancelled."""
        with told():
            return self._keys.has(f"cancel:{record.identity.number}")

    def pin_version(self, record: Record, champion: str) -> str:
        """The version that scores a job: the champion of its first attempt in every later one."""
        key = f"version:{record.identity.number}"
        with told():
            self._keys.storage.put_if_empty(key, champion.encode())
            return (self._keys.read(key) or b"").decode() or champion

    def pin_again(self, record: Record, champion: str) -> None:
        """Another version for a job that has written nothing, since the first is no more."""
        with told():
            self._keys.storage.put_data(f"version:{record.identity.number}", champion.encode())

    def tell(self, record: Record, progress: Progress) -> None:
        """Keep how far a job is."""
        with told():
            self._keys.write(f"progress:{record.identity.number}", progress)

    def keep_manifest(self, record: Record, manifest: str) -> None:
        """Keep what a job did, as JSON."""
        with told():
            self._keys.storage.put_data(f"manifest:{record.identity.number}", manifest.encode())

    def put_back(self, record: Record, lease: Lease, *, pause: float = 0) -> None:
        """Let go of a job that has not ended, to be taken again, after a pause by `sweep`."""
        number = record.identity.number
        released = lease.model_copy(update={"released": True, "until": self._clock() + pause})
        with told():
            self._keys.write(f"lease:{number}:{lease.attempt}", released)
            if not pause:
                self._keys.enqueue(number)

    def end(self, record: Record, lease: Lease, state: State, error: str | None = None) -> None:
        """End a job, unless it has ended already, and let go of it."""
        number = record.identity.number
        with told():
            self._keys.write_once(f"end:{number}", End(state=state, error=error, at=self._now()))
            released = lease.model_copy(update={"released": True})
            self._keys.write(f"lease:{number}:{lease.attempt}", released)

    def sweep(self) -> list[Record]:
        """Put back what is due and in no queue; the jobs that are to be removed.

        These are past their time, or more than are kept. Whoever gets them removes their
        files, then calls `remove`.
        """
        now = self._now()
        with told():
            queued = self._keys.queued()
            ended: list[tuple[Record, End]] = []
            first: tuple[int, datetime] | None = None
            for numbers in reversed([*self._keys.pages()]):
                found = {each.record.identity.number: each for each in self._keys.standings(numbers[::-1])}
                missing = [number for number in numbers if number not in found]
                for number in self._keys.ends_alone(missing):
                    self._keys.delete(f"end:{number}")
                begun = self._claims.clear(missing, now) | {
                    number: each.record.submitted_at for number, each in found.items()
                }
                first = first or min(begun.items(), default=None)
                for number, standing in found.items():
                    if standing.end is not None:
                        ended.append((standing.record, standing.end))
                    elif standing.is_due and number not in queued:
                        self._keys.enqueue(number)
            if first is not None and first[1] < now - SETTLED and first[0] > self._keys.oldest:
                self._keys.oldest = first[0]
        kept = now - timedelta(days=self._settings.jobs_keep)
        surplus = max(0, len(ended) - self._settings.jobs_kept)
        return [record for at, (record, end) in enumerate(ended) if at < surplus or end.at < kept]

    def remove(self, record: Record) -> None:
        """Forget a job; one whose removal breaks off is removed again, and never run again.

        So its own key and then its end go last. Of an end alone, `sweep` clears the queue.
        """
        number = record.identity.number
        with told():
            for lease in reversed([*self._keys.leases(number)]):
                self._keys.delete(f"lease:{number}:{lease.attempt}")
            if record.key is not None:
                self._claims.forget(fingerprint(record.key), number)
            for kind in ("version", "progress", "cancel", "manifest", "claim", "job", "end"):
                self._keys.delete(f"{kind}:{number}")

    # What both need.

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _claim_lease(self, found: Standing) -> Lease | None:
        """The next attempt at a job; None if it ended, somebody else may be at work, or was quicker."""
        last, number = found.lease, found.record.identity.number
        if found.is_held:
            return None
        died = last is not None and not last.released
        lease = Lease(
            attempt=1 if last is None else last.attempt + 1,
            holder=f"process {os.getpid()} on {socket.gethostname()}, {secrets.token_hex(4)}",
            until=self._clock() + self._settings.jobs_lease,
            began_at=self._now() if last is None else last.began_at,
            failures=0 if last is None else last.failures + died,
        )
        key = f"lease:{number}:{lease.attempt}"
        if not self._keys.write_once(key, lease):
            return None
        if not self._keys.is_open(number):  # it ended, or was removed, since it was looked at
            self._keys.delete(key)
            return None
        return lease
