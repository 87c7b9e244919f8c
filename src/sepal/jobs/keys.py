"""How the jobs of one model are stored: typed keys over any of huey's storages.

huey's storages have a queue, keys with values, and counters; no transactions over
several of them. So nothing here is read, changed and written back by two sides: what
must be settled once is a key of its own that the first one writes (`put_if_empty`, which
is atomic on all storages), and what changes has one writer, the holder of the lease.

| key | what | who writes it |
|---|---|---|
| `job:N` | the job as it was taken on | whoever takes it on, once |
| `key:HASH` | which job an Idempotency-Key stands for | the first that sends it, once |
| `claim:N` | for which Idempotency-Key number N was taken, and when | whoever takes it, once |
| `lease:N:A` | attempt A at the job: who, until when | its holder |
| `version:N` | the version that scores, the same in each attempt that goes on | the lease's holder |
| `progress:N` | how far it is | the lease's holder |
| `cancel:N` | that it should be cancelled | whoever asks for it, once |
| `manifest:N` | what was done | the lease's holder, before the end |
| `end:N` | how it ended | the first who ends it, once |
| `oldest` | no job before this number is kept | workers; whoever takes on an older one after all |

N counts the jobs of the model. What huey queues is N alone: a hint that the job may be
run. A hint too many does no harm, since a job is run by the holder of its lease alone,
and a lost one is put back by `JobQueue.sweep`.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from huey.constants import EmptyData
from huey.storage import BaseStorage
from pydantic import BaseModel

from sepal.jobs.records import End, Lease, Progress, Record, Standing
from sepal.jobs.storage import open_storage

_M = TypeVar("_M", bound=BaseModel)
_N = TypeVar("_N", int, str)

_LEASES_AT_ONCE = 4
"""Attempts that are looked up together; most jobs have one."""
_PAGE = 100
"""Jobs that are looked up together."""


class JobKeys:
    """The keys of one model's jobs. Connects when it is first used; raises what its storage raises."""

    def __init__(self, url: str, name: str, clock: Callable[[], float]) -> None:
        self._url, self._name, self._clock = url, name, clock
        self._opened: BaseStorage | None = None
        self._opening = threading.Lock()

    @property
    def storage(self) -> BaseStorage:
        """The storage itself, for what has no type: the queue, counters and bytes."""
        with self._opening:
            if self._opened is None:
                self._opened = open_storage(self._url, self._name)
            return self._opened

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    def get(self, key: str, model: type[_M]) -> _M | None:
        """A key's value; None if it is not there."""
        value = self.read(key)
        return None if value is None else model.model_validate_json(value)

    def get_many(self, kind: str, names: Iterable[_N], model: type[_M]) -> dict[_N, _M]:
        """The values of those that are there, in the order of their names."""
        wanted: list[_N] = list(names)
        found = self._read_many([f"{kind}:{name}" for name in wanted])
        there: dict[_N, _M] = {}
        for name in wanted:
            if (value := found.get(f"{kind}:{name}")) is not None:
                there[name] = model.model_validate_json(value)
        return there

    def read(self, key: str) -> bytes | None:
        """A key's bytes; None if it is not there."""
        value = self.storage.peek_data(key)
        return None if value is EmptyData else bytes(value)

    def has(self, key: str) -> bool:
        """Whether a key is there."""
        return bool(self.storage.has_data_for_key(key))

    def write_once(self, key: str, value: BaseModel) -> bool:
        """Write what is written once; whether this was the first to."""
        return bool(self.storage.put_if_empty(key, value.model_dump_json().encode()))

    def write(self, key: str, value: BaseModel) -> None:
        """Write what has one writer."""
        self.storage.put_data(key, value.model_dump_json().encode())

    def delete(self, key: str) -> None:
        """Remove a key, if it is there."""
        self.storage.delete_data(key)

    def enqueue(self, number: int) -> None:
        """Leave a hint that a job may be run."""
        self.storage.enqueue(str(number).encode())

    def queued(self) -> set[int]:
        """The jobs for which there is a hint."""
        return {int(bytes(hint)) for hint in self.storage.enqueued_items()}

    @property
    def oldest(self) -> int:
        """No job before this number is kept."""
        return int(self.read("oldest") or 1)

    @oldest.setter
    def oldest(self, number: int) -> None:
        self.storage.put_data("oldest", str(number).encode())

    @property
    def newest(self) -> int:
        """The last number that was given to a job."""
        return int(self.storage.incr("jobs", 0))

    def pages(self, before: int | None = None) -> Iterator[range]:
        """The numbers that jobs may have, some at a time: from the newest down, or from below one."""
        number = self.newest if before is None else min(before - 1, self.newest)
        oldest = self.oldest
        while number >= oldest:
            bottom = max(number - _PAGE, oldest - 1)
            yield range(number, bottom, -1)
            number = bottom

    def standings(self, numbers: Iterable[int]) -> list[Standing]:
        """What is known of these jobs; nothing of those that are not there.

        A job's end is written before its lease is let go of, and is the last that is removed
        of it. So leases are read first, then ends, then jobs: a job that ends or is removed
        meanwhile does not look as if it were to be run.
        """
        wanted = list(numbers)
        leases = self._last_leases(wanted)
        progress = self.get_many("progress", wanted, Progress)
        cancelled = self._read_many([f"cancel:{number}" for number in wanted])
        ends = self.get_many("end", wanted, End)
        records = self.get_many("job", wanted, Record)
        now = self._clock()
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

    def is_open(self, number: int) -> bool:
        """Whether a job is there and has not ended."""
        return not self.has(f"end:{number}") and self.has(f"job:{number}")

    def ends_alone(self, numbers: Iterable[int]) -> list[int]:
        """Those of which nothing but the end is left, since their removal broke off."""
        ends = self.get_many("end", numbers, End)
        there = self.get_many("job", ends, Record)
        return [number for number in ends if number not in there]

    def leases(self, number: int, after: int = 0) -> Iterator[Lease]:
        """The attempts at a job, one after the other."""
        while True:
            wanted = [f"{number}:{after + more}" for more in range(1, 1 + _LEASES_AT_ONCE)]
            found = self.get_many("lease", wanted, Lease)
            yield from found.values()
            if len(found) < _LEASES_AT_ONCE:
                return
            after += _LEASES_AT_ONCE

    def _last_leases(self, numbers: Sequence[int]) -> dict[int, Lease]:
        """The last attempt at each of these jobs, if there was one."""
        firsts = self.get_many("lease", [f"{number}:1" for number in numbers], Lease)
        last = {}
        for number in numbers:
            if (lease := firsts.get(f"{number}:1")) is not None:
                for later in self.leases(number, after=1):
                    lease = later
                last[number] = lease
        return last

    def _read_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        return {key: bytes(value) for key, value in self.storage.peek_many(keys).items()} if keys else {}
