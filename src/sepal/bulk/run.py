"""Runs a job on this machine: reading, scoring and writing at once, in order, in bounded memory."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeAlias

from threadpoolctl import threadpool_limits

from sepal.bulk import remote
from sepal.bulk.allocator import keep_freed_memory
from sepal.bulk.answers import Model, Summary, check_example, load_model
from sepal.bulk.formats import public
from sepal.bulk.job import Job
from sepal.bulk.manifest import manifest
from sepal.bulk.outputs import REJECTED, Segment, rejected_segment
from sepal.bulk.places import folder_of
from sepal.bulk.plan import CheckPlace, Plan
from sepal.bulk.rows import Chunk, Done, Rejected
from sepal.bulk.scoring import Scored, Scorer, no_rows
from sepal.bulk.sketch import Sketch
from sepal.bulk.totals import Totals
from sepal.bulk.work import Entry, WorkFolder
from sepal.contracts import Contract
from sepal.errors import NotFoundError, ResumeError
from sepal.registry import ArtefactStore, Version
from sepal.registry.lookup import find_version
from sepal.settings import Settings

MOST_WORKERS = 4
"""More than so many threads do not help: what they share, the reading and writing, is busy then."""

_AHEAD = 3
"""Chunks that are read, or scored and not yet written, beside those that the workers have."""


@dataclass(frozen=True)
class Progress:
    """How far a run is: rows, the resumed ones among them, bytes of input, seconds since it began."""

    scored: int
    rejected: int
    done_bytes: int
    total_bytes: int
    seconds: float
    resumed: int


Watch: TypeAlias = Callable[[Progress], None]
"""Is told of each chunk that is done; what it raises ends the run, which can then be resumed."""


def nobody(progress: Progress) -> None:
    """Watch nothing."""


def prepare(
    job: Job,
    contract: Contract,
    settings: Settings,
    version_name: str | None = None,
    *,
    check: CheckPlace | None = None,
) -> tuple[Plan, Model]:
    """The plan of a job, and the version that scores, loaded and tried out.

    ResumeError if `version_name`, with which a run was begun, is there no more.
    """
    job.check(contract)
    model = load_model(
        _version(job, settings, version_name),
        contract,
        ArtefactStore.of(settings),
        proba=job.proba,
        prediction_name=job.prediction_name,
        position_name=job.position_name,
        label_names=job.label_names,
        compiled=settings.compiled_scoring == "on",
    )
    check_example(model)
    return Plan.make(job, contract, settings, check=check), model


def _version(job: Job, settings: Settings, begun: str | None) -> Version:
    try:
        return find_version(settings, job.model, job.version or begun)
    except NotFoundError as error:
        if job.version or begun is None:
            raise
        raise ResumeError(
            f"An unfinished run of {public(job.output)} was begun with {begun} of {job.model}, which has "
            "been removed since, as by sepal models prune. Begin again with --restart."
        ) from error


def run(
    job: Job,
    contract: Contract,
    settings: Settings,
    *,
    watch: Watch = nobody,
    restart: bool = False,
    begin: Callable[[Plan, Model], object] = lambda plan, model: None,
) -> dict[str, Any]:
    """Score the files of a job, and give the manifest of its output.

    What an earlier run of the same job left unfinished is taken up where it stood. `begin`
    is told the plan and the version before the first row is read. Raises NotFoundError,
    DataError, TooManyRejectedError, ResumeError, OutputBusyError, StorageError,
    ArtefactError.
    """
    keep_freed_memory()
    output = remote.local_output(job.output, settings)
    begun = {} if restart else WorkFolder.begun(folder_of(output))
    plan, model = prepare(
        job, contract, settings, begun.get("version") if begun.get("model") == job.model else None
    )
    begin(plan, model)
    identity = plan.identity(model)
    opened = WorkFolder.open(folder_of(output), plan.output, identity, restart=restart)
    with threadpool_limits(1, "blas"), opened as work:  # the cores are busy, and BLAS would spin on them
        done = work.finished or _Run(plan, model, work, watch, _workers(settings)).score()
        work.publish(output)
        remote.upload(output, job.output, plan.output)
        remote.remove(output, job.output, work.folder)
        work.remove()
    remote.remove_folder(output, job.output)
    return done


def try_first_chunk(job: Job, contract: Contract, settings: Settings) -> Scored:
    """Check the header of every file and score the first chunk, and write nothing."""
    plan, model = prepare(job, contract, settings)
    for file in plan.files:
        reader = plan.reader(file)
        scorer = plan.scorer(model, file, reader)
        for chunk in reader.chunks():
            return scorer.score(chunk.parse())
    return scorer.score(no_rows(scorer))


def _workers(settings: Settings) -> int:
    return settings.bulk_workers or min(len(os.sched_getaffinity(0)), MOST_WORKERS)


@dataclass(frozen=True)
class _Outcome:
    """What came of a chunk, its rows as bytes already."""

    n_scored: int
    rejected: Sequence[Rejected]
    reasons: Mapping[str, int]
    summary: Summary
    segments: list[Segment]


@dataclass(frozen=True)
class _Task:
    """A chunk that is being scored: of which file, and what the file's chunks had taken with it."""

    file: int
    done: Done
    share: float
    outcome: "Future[_Outcome]"


class _Run:
    """One run, or what is left of it: this thread reads, `workers` threads score, and one writes."""

    def __init__(self, plan: Plan, model: Model, work: WorkFolder, watch: Watch, workers: int) -> None:
        self._plan, self._model, self._work, self._watch = plan, model, work, watch
        self._workers = workers
        self._started = time.monotonic()
        self._totals = Totals(plan.contract, work.entries)
        self._resumed = self._totals.rows
        self._broken = False

    def score(self) -> dict[str, Any]:
        """Score all that is not done yet; the manifest."""
        most = 1 if self._plan.job.sample else self._workers + _AHEAD
        under_way: deque[Future[None]] = deque()
        with ThreadPoolExecutor(1) as writer, ThreadPoolExecutor(self._workers) as pool:
            try:
                for task in self._tasks(pool):
                    under_way.append(writer.submit(self._commit_in_turn, task))
                    while len(under_way) >= most:
                        under_way.popleft().result()
                while under_way:
                    under_way.popleft().result()
            finally:
                writer.shutdown(wait=False, cancel_futures=True)
                pool.shutdown(wait=False, cancel_futures=True)
        self._plan.check_input()
        self._check_rejected(1.0)
        return self._work.finish(self._manifest())

    def _tasks(self, pool: ThreadPoolExecutor) -> Iterator[_Task]:
        """The chunks that are not done, each handed to the pool; one of no rows if there is none at all."""
        last = self._work.entries[-1] if self._work.entries else None
        number, sample = len(self._work.entries), self._plan.job.sample
        for at, file in enumerate(self._plan.files):
            if last is not None and at < last.file:
                continue
            reader = self._plan.reader(file)
            scorer = self._plan.scorer(self._model, file, reader)
            for chunk in reader.chunks(last.done if last is not None and at == last.file else None):
                left = None if sample is None else sample - self._totals.rows
                if left == 0:
                    return
                outcome = pool.submit(self._process, chunk, scorer, left, first=number == 0)
                yield _Task(at, reader.done(), reader.share, outcome)
                number += 1
        if number == 0:
            outcome = pool.submit(self._write, scorer.score(no_rows(scorer)), first=True)
            yield _Task(len(self._plan.files) - 1, reader.done(), 1.0, outcome)

    def _process(self, chunk: Chunk, scorer: Scorer, left: int | None, *, first: bool) -> _Outcome:
        rows = chunk.parse()
        return self._write(scorer.score(rows if left is None else rows.head(left)), first=first)

    def _write(self, scored: Scored, *, first: bool) -> _Outcome:
        segments = [*self._plan.output.segments(scored.frame, first=first)]
        return _Outcome(len(scored.frame), scored.rejected, scored.reasons, scored.summary, segments)

    def _commit_in_turn(self, task: _Task) -> None:
        """Commit, unless a chunk before it could not be: the journal has no gaps."""
        if not self._broken:
            self._broken = True
            self._commit(task)
            self._broken = False

    def _commit(self, task: _Task) -> None:
        outcome = task.outcome.result()
        segments, summary = outcome.segments, outcome.summary
        if outcome.rejected:
            first = not self._work.has(REJECTED)
            name = self._plan.files[task.file].path
            segments = [*segments, rejected_segment(name, outcome.rejected, first=first)]
        entry = Entry(
            task.file,
            task.done,
            outcome.n_scored,
            len(outcome.rejected),
            outcome.reasons,
            summary.dump() if isinstance(summary, Sketch) else summary,
        )
        self._work.commit(entry, segments)
        self._totals.add(entry)
        progress = self._progress(task)
        self._watch(progress)
        self._check_rejected(progress.done_bytes / max(1, progress.total_bytes) / 2)

    def _progress(self, task: _Task) -> Progress:
        sizes = [file.size for file in self._plan.files]
        return Progress(
            scored=self._totals.scored,
            rejected=self._totals.rejected,
            resumed=self._resumed,
            done_bytes=sum(sizes[: task.file]) + int(task.share * sizes[task.file]),
            total_bytes=sum(sizes),
            seconds=time.monotonic() - self._started,
        )

    def _check_rejected(self, share: float) -> None:
        self._totals.check(self._plan.job, share, self._work.folder / REJECTED)

    def _manifest(self) -> dict[str, Any]:
        digests = {entry.file: entry.done.digest for entry in self._work.entries}
        seconds = time.monotonic() - self._started
        return manifest(
            self._plan, self._model, self._totals, digests, seconds=seconds, resumed=self._resumed
        )
