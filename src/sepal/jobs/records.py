"""What is kept of a job: what was asked for, who runs it, how far it is, and how it ended."""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sepal.bulk.formats import Format, format_of
from sepal.bulk.job import Job, Options
from sepal.contracts import Contract
from sepal.errors import DataError, JobError

OUTPUT = "output"
"""What a result's name in the folder of its job begins with."""


class State(StrEnum):
    """Where a job is on its way."""

    queued = "queued"
    running = "running"
    done = "done"
    failed = "failed"
    cancelled = "cancelled"


class Request(Options):
    """What is asked for: without an input it is uploaded, without an output it is there to download."""

    input: str | None = Field(None, description="File, folder, pattern or URL.", min_length=1)
    output: str | None = Field(
        None,
        description="File or URL to write, a folder if partitioned. By default the output is kept here, "
        "to be downloaded.",
        min_length=1,
    )


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class Identity(_Kept):
    """What names a job: its number among those of its model, and what makes it hard to guess."""

    number: int
    secret: str

    @classmethod
    def new(cls, number: int) -> Self:
        """An identity that no other job has, even one of a queue that is no more."""
        return cls(number=number, secret=secrets.token_hex(6))

    @property
    def id(self) -> str:
        """As a person sees it."""
        return f"{self.number}-{self.secret}"


class Claim(_Kept):
    """What an Idempotency-Key stands for: the job that it names, and a fingerprint of what was sent."""

    identity: Identity
    fingerprint: str


class Claimed(_Kept):
    """For which Idempotency-Key, by its fingerprint, a number was taken; and when."""

    key: str
    at: datetime


class Record(_Kept):
    """A job as it was taken on; it never changes."""

    identity: Identity
    model: str
    request: Request
    uploaded: str | None = None
    """The name of its input in its folder, if that was uploaded."""
    stored: str | None = None
    """The name of its output in its folder, if it is kept there."""
    key: str | None = None
    submitted_at: datetime

    @classmethod
    def make(
        cls,
        identity: Identity,
        model: str,
        request: Request,
        *,
        uploaded: str | None = None,
        key: str | None = None,
    ) -> Self:
        """A job that is taken on now. JobError if its options do not go together."""
        record = cls(
            identity=identity,
            model=model,
            request=request,
            uploaded=uploaded,
            stored=None if request.output else _output_name(request, uploaded),
            key=key,
            submitted_at=datetime.now(UTC),
        )
        record.job(Path())
        return record

    def check(self, contract: Contract) -> None:
        """JobError if its options do not go with the contract that it is scored by."""
        try:
            self.job(Path()).check(contract)
        except DataError as error:
            raise JobError(str(error)) from error

    def job(self, folder: Path) -> Job:
        """The job to run, its own files in `folder`. JobError if its options do not go together."""
        values = self.request.model_dump(exclude={"input", "output"})
        given = str(folder / self.uploaded) if self.uploaded else self.request.input
        wanted = str(folder / self.stored) if self.stored else self.request.output
        try:
            return Job(model=self.model, input=given or "", output=wanted or "", **values)
        except DataError as error:
            raise JobError(str(error)) from error
        except ValidationError as error:
            told = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise JobError(f"{told[0].upper()}{told[1:]}.") from error


class Lease(_Kept):
    """Who runs a job, and until when nobody else may; `failures` in a row got no further."""

    attempt: int
    holder: str
    until: float
    began_at: datetime
    failures: int = 0
    released: bool = False

    def is_live(self, now: float) -> bool:
        """Whether its holder may still be at work."""
        return not self.released and self.until > now


class Progress(_Kept):
    """How far a job is."""

    rows: int = Field(description="Rows that are done, rejected ones among them.")
    rejected: int = Field(description="Rows that break the contract.")
    share: float = Field(description="How much of the input is read, from 0 to 1.")
    rows_per_second: int = Field(description="Of this attempt.")


class End(_Kept):
    """How a job ended; written once."""

    state: State
    error: str | None = None
    at: datetime


class Standing(_Kept):
    """All that is known of a job at one moment."""

    record: Record
    end: End | None = None
    lease: Lease | None = None
    progress: Progress | None = None
    cancelling: bool = False
    now: float

    @property
    def state(self) -> State:
        """Where the job is on its way."""
        if self.end is not None:
            return self.end.state
        return State.running if self.is_held else State.queued

    @property
    def is_held(self) -> bool:
        """Whether somebody may be running it."""
        return self.lease is not None and self.lease.is_live(self.now)

    @property
    def is_due(self) -> bool:
        """Whether it should be run now: not ended, not running, and not in a pause before the next try."""
        return self.end is None and (self.lease is None or self.lease.until <= self.now)


def fingerprint(*parts: str) -> str:
    """What tells one request from another."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def progress_of(manifest: Mapping[str, Any]) -> Progress:
    """How far a job was at its end."""
    rows = manifest["rows"]
    return Progress(
        rows=rows["scored"] + rows["rejected"],
        rejected=rows["rejected"],
        share=1.0,
        rows_per_second=manifest["rows_per_second"],
    )


def _output_name(request: Request, uploaded: str | None) -> str:
    """By the format asked for, or else the input's."""
    if request.partition_by:
        raise JobError("A partitioned output is a folder, which can't be downloaded: give an output.")
    form: Format | None = (
        request.output_format or request.input_format or format_of(uploaded or request.input or "")
    )
    return f"{OUTPUT}.{form or 'csv'}"
