"""What a request for a job says: options in JSON or as parameters, and which kind of file is uploaded."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from starlette.datastructures import Headers, QueryParams

from sepal.bulk.formats import COMPRESSIONS, Format
from sepal.jobs.records import Request as JobRequest

JSON = "application/json"
UPLOADS: dict[str, Format] = {
    "text/csv": "csv",
    "application/x-ndjson": "jsonl",
    "application/vnd.apache.parquet": "parquet",
}
"""The format of each media type that can be uploaded."""
MEDIA_TYPES = {form: media_type for media_type, form in UPLOADS.items()}

_MOST_JSON = 2**16
"""Bytes of a job in JSON."""
_ENDINGS = {name: ending for ending, name in COMPRESSIONS.items()}


@dataclass(frozen=True)
class Kind:
    """The kind of a body: JSON, or a file that is kept under this name."""

    name: str | None
    charset: str | None = None

    @classmethod
    def of(cls, headers: Headers) -> "Kind":
        """As the headers say. HTTPException 415 if it is none that is known."""
        given = Message()
        given["content-type"] = headers.get("content-type", "")
        media_type = given.get_content_type()
        coding = headers.get("content-encoding", "identity").lower()
        if media_type == JSON and coding == "identity":
            return cls(None)
        form = UPLOADS.get(media_type)
        if form is None or media_type == JSON:
            raise HTTPException(
                415,
                f"Send the job as {JSON}, or a file to score as {', '.join(UPLOADS)}, with that header.",
            )
        if coding != "identity" and (coding not in _ENDINGS or form == "parquet"):
            raise HTTPException(
                415, f"A file of text may come as {' or '.join(_ENDINGS)}; no other coding."
            )
        return cls(f"input.{form}{_ENDINGS.get(coding, '')}", given.get_content_charset())


async def job_in_json(request: Request) -> JobRequest:
    """The job in a body of JSON."""
    if request.query_params:
        raise HTTPException(422, "The options of a job in JSON belong into it: leave out the parameters.")
    body = b"".join([chunk async for chunk in chunks(request, _MOST_JSON)])
    try:
        job = JobRequest.model_validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            raise HTTPException(400, f"The body is no JSON: {first['ctx']['error']}.") from error
        if not first["loc"]:
            raise HTTPException(
                422, 'A job is an object, such as {"input": "/data/flowers.csv"}.'
            ) from error
        raise _wrong(error.errors(), "body", "job") from error
    if job.input is None:
        raise RequestValidationError(
            [{"type": "missing", "loc": ("body", "job", "input"), "msg": "Field required", "input": None}]
        )
    return job


def job_in_parameters(parameters: QueryParams, kind: Kind) -> JobRequest:
    """The options in the parameters of an upload."""
    values: dict[str, Any] = dict(parameters)
    for name, field in JobRequest.model_fields.items():
        if name in values and isinstance(field.default, tuple):
            values[name] = parameters.getlist(name)
    if values.get("keep") == ["all"]:
        values["keep"] = "all"
    if kind.charset is not None:
        values.setdefault("encoding", kind.charset)
    if "input" in values:
        raise HTTPException(422, "The input is the file that is sent: leave out the parameter input.")
    try:
        return JobRequest.model_validate(values)
    except ValidationError as error:
        raise _wrong(error.errors(), "query") from error


async def chunks(request: Request, most: int) -> AsyncIterator[bytes]:
    """A body as it comes. HTTPException 413 if it is longer than allowed."""
    too_large = HTTPException(413, f"The body is too large: send at most {most} bytes.")
    if int(request.headers.get("content-length", 0)) > most:
        raise too_large
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > most:
            raise too_large
        yield chunk


def _wrong(errors: Sequence[ErrorDetails], *where: str) -> RequestValidationError:
    return RequestValidationError([{**error, "loc": (*where, *error["loc"])} for error in errors])
