"""Settings of requests: what one may be, how rows travel, and what bounds all of them."""

from typing import Annotated, Literal

from pydantic import Field

from sepal.settings.kinds import Count, Group, Seconds


class Requests(Group):
    """Requests."""

    max_rows: Count = Field(10_000, description="Rows in one request; more get 413.")
    max_body_bytes: Count = Field(16 * 2**20, description="Bytes in a request's body; more get 413.")
    request_timeout: Seconds = Field(
        5.0,
        description="Seconds that a request may wait for its answer; longer gets 504. "
        "A client may ask for less, by the header X-Request-Deadline.",
    )
    default_model: str = Field(
        "",
        description="The model that is meant where a protocol's path names none: /invocations, /predict. "
        "The default is the only one that is served.",
    )
    compatibility: Literal["on", "off"] = Field(
        "on", description="Whether the paths of older services are served: /predict, /predict-proba."
    )
    ready_cache: Annotated[float, Field(ge=0, le=60)] = Field(
        1.0, description="Seconds for which an answer of /readyz is used again."
    )
    retry_after: Annotated[int, Field(ge=1, le=3600)] = Field(
        1, description="Seconds in the Retry-After header of a 503 of which nothing better is known."
    )


class Calls(Group):
    """Calls to the model server."""

    connect_timeout: Seconds = Field(
        1.0, description="Seconds that connecting to the model server may take; longer gets 503."
    )
    upstream_connections: Count = Field(
        64,
        description="Connections from one gateway process to the model server; further calls wait.",
    )
    fast_route: Literal["on", "off"] = Field(
        "on", description="Whether sound requests go around FastAPI's own handling, which costs the most."
    )
    coalesce: Literal["on", "off"] = Field(
        "on", description="Whether rows of concurrent requests share calls to the model server."
    )
    max_call_rows: Count = Field(10_000, description="Rows in one call to the model server.")
    max_waiting_rows: Count = Field(
        100_000, description="Rows of one model that may wait in a gateway process; more get 503."
    )
    concurrent_calls: Count = Field(
        1, description="Calls for one model that a gateway process has under way at once."
    )
    retry_budget: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        description="Retries of calls to the model server, as a part of all calls; 0 for none.",
    )
    breaker_failures: Count = Field(
        3,
        description="Failed calls in a row after which the model server is left alone until it answers.",
    )


class Bounds(Group):
    """Bounds of the gateway."""

    max_requests: Count = Field(
        1000, description="Requests that a gateway process has under way at once; more get 503."
    )
    max_connections: Count = Field(
        4096, description="Connections of clients to a gateway process; more get 503 and are closed."
    )
    max_header_bytes: Annotated[int, Field(ge=1024, le=2**20)] = Field(
        32 * 2**10, description="Bytes of a request's head, its URL included; more get 431."
    )
    client_timeout: Seconds = Field(
        10.0,
        description="Seconds that a client may take to send a request, "
        "with one more for each 10,000 bytes; or to take up an answer. Slower ones are cut off.",
    )
    keep_alive: Seconds = Field(
        75.0, description="Seconds after which the gateway closes a connection that nobody uses."
    )
