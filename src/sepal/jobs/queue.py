"""The durable queue of one model's jobs, and all that is kept of them, over any of huey's storages.

huey's storages have a queue, keys with values, and counters; no transactions over
several of them. So nothing here is read, changed and written back by two sides: what
must be settled once is a key of its own that the first one writes (`put_if_empty`, which
is atomic on all storages), and what changes has one writer, the holder of the lease.

| key | what | who writes it |
|---|---|---|
| `job:N` | the job as it was taken on | whoever takes it on, once |
| `key:HASH` | which job an Idempotency-Key stands for | the first that sends it, once |
| `lease:N:A` | attempt A at the job: who, until when | its holder |
| `version:N` | the version that scores, the same in each attempt | the first attempt, once |
| `progress:N` | how far it is | the lease's holder |
| `cancel:N` | that it should be cancelled | whoever asks for it, once |
| `manifest:N` | what was done | the lease's holder, before the end |
| `end:N` | how it ended | the first who ends it, once |
| `oldest` | no job before this number is kept | workers |

N counts the jobs of the model. What huey queues is N alone: a hint that the job may be
run. A hint too many does no harm, since a job is run by the holder of its lease alone,
and a lost one is put back by `sweep`.
"""

import os
import secrets
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from huey.constants import EmptyData
from huey.storage import BaseStorage
from pydantic import BaseModel

from sepal.errors import JobEndedError, KeyReusedError, NotFoundError, OverloadedError
from sepal.jobs.records import (
    Claim,
    End,
    Identity,
    Lease,
    Progress,
    Record,
    Standing,
    State,
    fingerprint,
)
from sepal.jobs.storage import open_storage, told
from sepal.settings import Settings

_M = TypeVar("_M", bound=BaseModel)
_N = TypeVar("_N", int, str)

_LEASES_AT_ONCE = 4
"""Attempts that are looked up together; most jobs have one."""
_PAGE = 100
"""Jobs that are looked up together."""
_SETTLED = timedelta(hours=1)
"""After so long nobody is still about to write a job whose number is taken."""


class JobQueue:
    """The jobs of one model. Connects when it is first used; every method raises QueueError."""

    def __init__(self, settings: Settings, model: str) -> None:
        self._settings, self._model = settings, model
        self._opened: BaseStorage | None = None
        self._opening = threading.Lock()

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    # What the gateway does.

    def check_room(self) -> None:
        """OverloadedError if no further job can be queued."""
        with told():
            waiting = self._storage.queue_size()
        if waiting >= self._settings.jobs_queued:
            raise OverloadedError(f"{waiting} jobs of {self._model} are queued already. Try again later.")

    def claim(self, key: str | None, sent: str) -> Claim:
        """An identity for a new job, or that of the job which this Idempotency-Key stands for.

        `sent` is a fingerprint of what was sent; KeyReusedError if another came with the key.
        """
        with told():
            if key is not None and (found := self._get(f"key:{fingerprint(key)}", Claim)) is not None:
                return _checked(found, sent)
            claim = Claim(identity=Identity.new(self._storage.incr("jobs")), fingerprint=sent)
            if key is None or self._settle(f"key:{fingerprint(key)}", claim):
                return claim
            return _checked(self._get(f"key:{fingerprint(key)}", Claim) or claim, sent)

    def put(self, record: Record) -> Standing:
        """Take on a job, unless it was taken on before."""
        number = record.identity.number
        with told():
            if self._settle(f"job:{number}", record):
                self._enqueue(number)
            return self._standings([number])[0]

    def get(self, job_id: str) -> Standing:
        """All that is known of a job. NotFoundError."""
        number = job_id.partition("-")[0]
        if number.isascii() and number.isdigit() and len(number) < 16:
            with told():
                found = self._standings([int(number)])
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
            value = self._storage.peek_data(f"manifest:{record.identity.number}")
        return None if value is EmptyData else bytes(value)

    def page(self, limit: int, before: int | None) -> tuple[list[Standing], int | None]:
        """So many jobs, the newest first, of those with lower numbers; and where the next page begins."""
        with told():
            newest = self._storage.incr("jobs", 0)
            number = newest if before is None else min(before - 1, newest)
            oldest, found = self._oldest(), list[Standing]()
            while number >= oldest and len(found) <= limit:
                bottom = max(number - _PAGE, oldest - 1)
                found += self._standings(range(number, bottom, -1))
                number = bottom
        more = len(found) > limit
        found = found[:limit]
        return found, found[-1].record.identity.number if more else None

    def cancel(self, job_id: str) -> Standing:
        """Cancel a job: at once if nobody runs it, else its worker will. NotFoundError, JobEndedError."""
        found = self.get(job_id)
        number = found.record.identity.number
        if found.end is not None and found.state is not State.cancelled:
            raise JobEndedError(f"Job {job_id} is {found.state} already: it can't be cancelled.")
        with told():
            self._storage.put_if_empty(f"cancel:{number}", b"1")
            if found.end is None and (lease := self._claim_lease(found)) is not None:
                self.end(found.record, lease, State.cancelled)
        return self.get(job_id)

    # What workers do.

    def take(self) -> tuple[Standing, Lease] | None:
        """A job to run, with its lease; None if there is none, or none that is free."""
        with told():
            hint = self._storage.dequeue()
            if hint is None:
                return None
            for found in self._standings([int(bytes(hint))]):
                if found.is_due and (lease := self._claim_lease(found)) is not None:
                    return found, lease
        return None

    def renew(self, record: Record, lease: Lease) -> Lease | None:
        """Hold on to a lease; None if another has taken the job."""
        number = record.identity.number
        with told():
            if self._storage.has_data_for_key(f"lease:{number}:{lease.attempt + 1}"):
                return None
            renewed = lease.model_copy(update={"until": time.time() + self._settings.jobs_lease})
            self._store(f"lease:{number}:{lease.attempt}", renewed)
            return renewed

    def is_cancelled(self, record: Record) -> bool:
        """Whether somebody asked for a job to be cancelled."""
        with told():
            return bool(self._storage.has_data_for_key(f"cancel:{record.identity.number}"))

    def pin_version(self, record: Record, champion: str) -> str:
        """The version that scores a job: the champion of its first attempt in every later one."""
        number = record.identity.number
        with told():
            self._storage.put_if_empty(f"version:{number}", champion.encode())
            return bytes(self._storage.peek_data(f"version:{number}")).decode()

    def tell(self, record: Record, progress: Progress) -> None:
        """Keep how far a job is."""
        with told():
            self._store(f"progress:{record.identity.number}", progress)

    def keep_manifest(self, record: Record, manifest: str) -> None:
        """Keep what a job did, as JSON."""
        with told():
            self._storage.put_data(f"manifest:{record.identity.number}", manifest.encode())

    def put_back(self, record: Record, lease: Lease, *, pause: float = 0) -> None:
        """Let go of a job that has not ended, to be taken again, after a pause by `sweep`."""
        number = record.identity.number
        released = lease.model_copy(update={"released": True, "until": time.time() + pause})
        with told():
            self._store(f"lease:{number}:{lease.attempt}", released)
            if not pause:
                self._enqueue(number)

    def end(self, record: Record, lease: Lease, state: State, error: str | None = None) -> None:
        """End a job, unless it has ended already, and let go of it."""
        number = record.identity.number
        with told():
            self._settle(f"end:{number}", End(state=state, error=error, at=datetime.now(UTC)))
            released = lease.model_copy(update={"released": True})
            self._store(f"lease:{number}:{lease.attempt}", released)

    def sweep(self) -> list[Record]:
        """Put back what is due and in no queue; the jobs that are to be removed.

        These are past their time, or more than are kept. Whoever gets them removes their
        files, then calls `remove`.
        """
        with told():
            queued = {int(bytes(hint)) for hint in self._storage.enqueued_items()}
            ended: list[Standing] = []
            first: Record | None = None
            for found in self._all():
                first = first or found.record
                if found.end is not None:
                    ended.append(found)
                elif found.is_due and found.record.identity.number not in queued:
                    self._enqueue(found.record.identity.number)
            now = datetime.now(UTC)
            if first is not None and first.submitted_at < now - _SETTLED:
                self._storage.put_data("oldest", str(first.identity.number).encode())
        kept = now - timedelta(days=self._settings.jobs_keep)
        surplus = max(0, len(ended) - self._settings.jobs_kept)
        return [
            found.record
            for at, found in enumerate(ended)
            if at < surplus or (found.end is not None and found.end.at < kept)
        ]

    def remove(self, record: Record) -> None:
        """Forget a job, its own key last, so that a removal that breaks off is done again."""
        number = record.identity.number
        with told():
            for attempt in range(1, 1 + sum(1 for _ in self._leases(number))):
                self._storage.delete_data(f"lease:{number}:{attempt}")
            if record.key is not None:
                self._storage.delete_data(f"key:{fingerprint(record.key)}")
            for kind in ("version", "progress", "cancel", "manifest", "end", "job"):
                self._storage.delete_data(f"{kind}:{number}")

    # How it is stored.

    @property
    def _storage(self) -> BaseStorage:
        with self._opening:
            if self._opened is None:
                self._opened = open_storage(self._settings.jobs_queue, f"sepal_{self._model}")
            return self._opened

    def _claim_lease(self, found: Standing) -> Lease | None:
        """The next attempt at a job; None if somebody else may be at work, or was quicker."""
        last = found.lease
        if found.is_held:
            return None
        died = last is not None and not last.released
        lease = Lease(
            attempt=1 if last is None else last.attempt + 1,
            holder=f"process {os.getpid()} on {socket.gethostname()}, {secrets.token_hex(4)}",
            until=time.time() + self._settings.jobs_lease,
            began_at=datetime.now(UTC) if last is None else last.began_at,
            failures=0 if last is None else last.failures + died,
        )
        won = self._settle(f"lease:{found.record.identity.number}:{lease.attempt}", lease)
        return lease if won else None

    def _enqueue(self, number: int) -> None:
        self._storage.enqueue(str(number).encode())

    def _oldest(self) -> int:
        value = self._storage.peek_data("oldest")
        return 1 if value is EmptyData else int(bytes(value))

    def _all(self) -> Iterator[Standing]:
        """Every job that is kept, the oldest first."""
        number, newest = self._oldest(), self._storage.incr("jobs", 0)
        while number <= newest:
            yield from self._standings(range(number, number + _PAGE))
            number += _PAGE

    def _standings(self, numbers: Iterable[int]) -> list[Standing]:
        """What is known of these jobs; nothing of those that are not there."""
        records = self._get_many("job", numbers, Record)
        there = [*records]
        ends = self._get_many("end", there, End)
        progress = self._get_many("progress", there, Progress)
        cancelled = self._peek([f"cancel:{number}" for number in there])
        leases = self._last_leases(there)
        now = time.time()
        return [
            Standing(
                record=record,
                end=ends.get(number),
                lease=leases.get(number),
                progress=progress.get(number),
                cancelling=f"cancel:{number}" in cancelled,
                now=now,
            )
            for number, record in records.items()
        ]

    def _last_leases(self, numbers: Sequence[int]) -> dict[int, Lease]:
        """The last attempt at each of these jobs, if there was one."""
        firsts = self._get_many("lease", [f"{number}:1" for number in numbers], Lease)
        last = {}
        for number in numbers:
            if (lease := firsts.get(f"{number}:1")) is not None:
                for later in self._leases(number, after=1):
                    lease = later
                last[number] = lease
        return last

    def _leases(self, number: int, after: int = 0) -> Iterator[Lease]:
        """The attempts at a job, one after the other."""
        while True:
            wanted = [f"{number}:{after + more}" for more in range(1, 1 + _LEASES_AT_ONCE)]
            found = self._get_many("lease", wanted, Lease)
            yield from found.values()
            if len(found) < _LEASES_AT_ONCE:
                return
            after += _LEASES_AT_ONCE

    def _get_many(self, kind: str, names: Iterable[_N], model: type[_M]) -> dict[_N, _M]:
        """Those that are there, in the order of their names."""
        wanted: list[_N] = list(names)
        found = self._peek([f"{kind}:{name}" for name in wanted])
        there: dict[_N, _M] = {}
        for name in wanted:
            if (value := found.get(f"{kind}:{name}")) is not None:
                there[name] = model.model_validate_json(value)
        return there

    def _peek(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: bytes(value) for key, value in self._storage.peek_many(keys).items()} if keys else {}

    def _get(self, key: str, model: type[_M]) -> _M | None:
        value = self._storage.peek_data(key)
        return None if value is EmptyData else model.model_validate_json(bytes(value))

    def _settle(self, key: str, value: BaseModel) -> bool:
        """Write what is written once; whether this was the first to."""
        return bool(self._storage.put_if_empty(key, value.model_dump_json().encode()))

    def _store(self, key: str, value: BaseModel) -> None:
        self._storage.put_data(key, value.model_dump_json().encode())


def _checked(claim: Claim, sent: str) -> Claim:
    if claim.fingerprint != sent:
        raise KeyReusedError("This Idempotency-Key came before with another job. Send a new key with it.")
    return claim
