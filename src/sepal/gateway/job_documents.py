"""Jobs as the API shows them."""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from sepal.jobs.records import Progress, Request, Standing, State

_EXAMPLE: JsonDict = {
    "id": "12-8c1f0e5a77d2",
    "model": "iris",
    "state": "running",
    "cancelling": False,
    "submitted_at": "2026-05-01T02:00:00Z",
    "began_at": "2026-05-01T02:00:01Z",
    "attempts": 1,
    "request": {"input": "/data/in/flowers.csv", "output": "/data/out/scored.parquet", "proba": True},
    "progress": {"rows": 4_000_000, "rejected": 12, "share": 0.4, "rows_per_second": 2_100_000},
    "links": {"self": "/iris/jobs/12-8c1f0e5a77d2"},
}


class JobDocument(BaseModel):
    """A job of bulk scoring: what was asked for, and how far it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    id: str = Field(description="Names the job among those of its model.")
    model: str
    state: State
    cancelling: bool = Field(description="Whether it will end as soon as its worker sees that it should.")
    submitted_at: datetime
    began_at: datetime | None = None
    ended_at: datetime | None = None
    attempts: int = Field(description="How often a worker has begun it, or gone on with it.")
    request: Request
    progress: Progress | None = None
    error: str | None = Field(None, description="Why it failed, and the way out.")
    manifest: dict[str, Any] | None = Field(None, description="What was done, once it is done.")
    links: dict[str, str] = Field(description="`self`; and what there is to download.")


class JobPage(BaseModel):
    """Some jobs of a model, the newest first."""

    jobs: list[JobDocument]
    cursor: int | None = Field(None, description="Give it as `cursor` for the next page; none on the last.")


def job_path(standing: Standing) -> str:
    """Where a job is in the API."""
    return f"/{standing.record.model}/jobs/{standing.record.identity.id}"


def document(standing: Standing, manifest: bytes | None = None) -> JobDocument:
    """A job as the API shows it."""
    record, lease, end = standing.record, standing.lease, standing.end
    return JobDocument(
        id=record.identity.id,
        model=record.model,
        state=standing.state,
        cancelling=standing.cancelling and end is None,
        submitted_at=record.submitted_at,
        began_at=lease and lease.began_at,
        ended_at=end and end.at,
        attempts=lease.attempt if lease else 0,
        request=record.request,
        progress=standing.progress,
        error=end and end.error,
        manifest=None if manifest is None else json.loads(manifest),
        links=_links(standing),
    )


def _links(standing: Standing) -> dict[str, str]:
    path = job_path(standing)
    links = {"self": path}
    if standing.state is State.done:
        links["manifest"] = f"{path}/manifest"
    if standing.record.stored and standing.state is State.done:
        links["output"] = f"{path}/output"
    if standing.record.stored and standing.progress and standing.progress.rejected:
        links["rejected"] = f"{path}/rejected"
    return links
