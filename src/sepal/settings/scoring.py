"""Settings of scoring: in the model server, on trial, in bulk and in jobs."""

from typing import Annotated, Literal

from pydantic import ByteSize, Field

from sepal.settings.kinds import Count, Group, Locations, QueueUrl, Seconds


class Scoring(Group):
    """Scoring, champions and trials."""

    compiled_scoring: Literal["on", "off"] = Field(
        "on",
        description="Whether simple pipelines are scored without scikit-learn's checks of each step.",
    )
    express_lane: Literal["on", "off"] = Field(
        "on",
        description="Whether the model server scores a lone call outside BentoML's dispatcher.",
    )
    max_batch_rows: Annotated[int, Field(ge=2)] = Field(
        10_000, description="Rows that the model server scores in one go; larger calls are split."
    )
    max_batch_wait: Seconds = Field(
        60.0,
        description="Seconds after which the model server refuses a call that waits for its batch.",
    )
    swap_poll: Seconds = Field(
        0.5, description="Seconds between two looks of the model server for a new champion or trial."
    )
    shadow_time: Annotated[float, Field(gt=0, le=1)] = Field(
        0.03,
        description="Part of a worker's time that a shadow trial may take; what needs more is dropped.",
    )
    shadow_rows: Count = Field(
        1000, description="Rows that may wait in a worker for a shadow trial; further ones are dropped."
    )
    trial_write: Annotated[float, Field(ge=0.05, le=60)] = Field(
        1.0, description="Seconds between two times that a worker writes down what a trial has counted."
    )


class Bulk(Group):
    """Bulk scoring."""

    bulk_memory: Annotated[ByteSize, Field(ge=2**26)] = Field(
        ByteSize(500 * 10**6), description="Bytes that a bulk run works in, however large its input."
    )
    bulk_workers: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="Threads of a bulk run that score; 0 for as many as there are cores, up to 4."
    )
    bulk_span: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(128 * 2**20), description="Bytes of a file that one task of the engine spark scores."
    )
    bulk_columns: Count = Field(10_000, description="Columns that an input of a bulk run may have.")


class Jobs(Group):
    """Jobs."""

    jobs_queue_url: QueueUrl = Field(
        "",
        description="Where jobs are kept and queued: sqlite:///FILE, redis://… or postgresql://…. "
        "The default is DATA_DIR/jobs.sqlite.",
    )
    jobs_locations: Locations = Field(
        (),
        description="Folders and URL prefixes, separated by commas, below which jobs may read and write. "
        "By default none: input is uploaded, output downloaded.",
    )
    jobs_upload_bytes: Annotated[ByteSize, Field(ge=1)] = Field(
        ByteSize(100 * 10**6), description="Bytes of one upload; more get 413."
    )
    jobs_uploads: Count = Field(
        4, description="Uploads that a gateway process receives at once; more get 503."
    )
    jobs_queued: Count = Field(100, description="Jobs of one model that may be queued; more get 503.")
    jobs_kept: Count = Field(
        1000, description="Finished jobs of one model that are kept; the oldest go first."
    )
    jobs_keep: Annotated[float, Field(gt=0, le=3650)] = Field(
        7.0, description="Days after which a finished job is removed, with its upload and its result."
    )
    jobs_lease: Seconds = Field(
        30.0, description="Seconds without a sign of life after which another worker takes up a job."
    )
    jobs_retries: Annotated[int, Field(ge=0, le=1000)] = Field(
        5,
        description="How often in a row a job is tried again that got no further: "
        "its worker died, a disk was full, another run had its output.",
    )
    jobs_retry_pause: Seconds = Field(
        10.0, description="Seconds before a job is tried again; doubled each time in a row."
    )
