"""The routes of bulk scoring: `/{model}/jobs` takes on jobs, shows, cancels, gives results."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sepal.bulk.formats import format_of
from sepal.contracts import Contract
from sepal.contracts.catalogue import pick
from sepal.gateway import job_requests
from sepal.gateway.downloads import Download
from sepal.gateway.job_documents import JobDocument, JobPage, document, job_path
from sepal.gateway.job_openapi import FILE_RESPONSES, submission
from sepal.gateway.job_requests import Kind
from sepal.gateway.openapi import problem_responses
from sepal.gateway.uploads import Uploads
from sepal.jobs import folders
from sepal.jobs.locations import check_location
from sepal.jobs.queue import JobQueue
from sepal.jobs.records import Identity, Record, Standing, State, fingerprint
from sepal.jobs.records import Request as JobRequest
from sepal.settings import Settings

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="Any text of yours. Sent again with the same job, it gives the same answer.",
    ),
]
_NOBODY = Identity(number=0, secret="")


def job_routes(
    contracts: Mapping[str, Contract], queues: Mapping[str, JobQueue], settings: Settings
) -> APIRouter:
    """The routes of all contracts, and the answer to models that do not exist."""
    router = APIRouter()
    uploads = Uploads(settings)
    for name in contracts:
        _add_jobs(router, contracts[name], queues, settings, uploads)
        _add_job(router, name, queues)
        _add_files(router, name, queues, settings)

    @router.get("/{model}/jobs", include_in_schema=False)
    @router.post("/{model}/jobs", include_in_schema=False)
    @router.get("/{model}/jobs/{job_id}", include_in_schema=False)
    @router.delete("/{model}/jobs/{job_id}", include_in_schema=False)
    @router.get("/{model}/jobs/{job_id}/{file}", include_in_schema=False)
    async def unknown(model: str) -> None:
        pick(dict(contracts), model, "model")
        raise HTTPException(404)

    return router


def _add_jobs(
    router: APIRouter,
    contract: Contract,
    queues: Mapping[str, JobQueue],
    settings: Settings,
    uploads: Uploads,
) -> None:
    model = contract.name

    async def submit(request: Request, response: Response, key: Key = None) -> JobDocument:
        """Score a file or folder that the service can reach, sent as JSON; or send the file itself.

        The job is kept before this is answered. A worker takes it when its turn comes.
        """
        queue, kind = queues[model], Kind.of(request.headers)
        if kind.name is None:
            standing = await run_in_threadpool(
                _take_on, queue, contract, await job_requests.job_in_json(request), key, settings
            )
        else:
            standing = await _take_on_upload(request, queue, contract, kind.name, key, settings, uploads)
        response.headers["Location"] = job_path(standing)
        return document(standing)

    def show_jobs(
        limit: Annotated[int, Query(ge=1, le=100, description="Jobs on a page.")] = 20,
        cursor: Annotated[
            int | None, Query(ge=1, lt=2**53, description="Where a page begins: the `cursor` of the last.")
        ] = None,
    ) -> JobPage:
        """The jobs that are kept, the newest first."""
        found, following = queues[model].page(limit, cursor)
        return JobPage(jobs=[document(standing) for standing in found], cursor=following)

    router.add_api_route(
        f"/{model}/jobs",
        submit,
        methods=["POST"],
        status_code=202,
        summary="Score a file in bulk",
        responses=problem_responses(400, 403, 413, 415, 422, 503, 507),
        openapi_extra=submission(),
        **_named(model, "submit_job"),
    )
    router.add_api_route(
        f"/{model}/jobs",
        show_jobs,
        methods=["GET"],
        summary="The jobs of bulk scoring",
        responses=problem_responses(422, 503),
        **_named(model, "jobs"),
    )
    router.routes.append(Route(f"/{model}/jobs", _OtherMethods("GET, POST"), include_in_schema=False))


def _add_job(router: APIRouter, model: str, queues: Mapping[str, JobQueue]) -> None:
    def show_job(job_id: str) -> JobDocument:
        """Its state, its progress, and in the end its manifest or its error."""
        queue = queues[model]
        standing = queue.get(job_id)
        done = standing.state is State.done
        return document(standing, queue.manifest(standing.record) if done else None)

    def cancel_job(job_id: str, response: Response) -> JobDocument:
        """A job that waits ends at once, one that runs at the next chunk (202). No output appears."""
        standing = queues[model].cancel(job_id)
        if standing.end is None:
            response.status_code = 202
        return document(standing)

    router.add_api_route(
        f"/{model}/jobs/{{job_id}}",
        show_job,
        methods=["GET"],
        summary="One job",
        responses=problem_responses(404, 422, 503),
        **_named(model, "job"),
    )
    router.add_api_route(
        f"/{model}/jobs/{{job_id}}",
        cancel_job,
        methods=["DELETE"],
        summary="Cancel a job",
        responses={
            202: {"model": JobDocument, "description": "It runs, and will end at its next chunk"},
            **problem_responses(404, 409, 422, 503),
        },
        **_named(model, "cancel_job"),
    )
    others = _OtherMethods("DELETE, GET")
    router.routes.append(Route(f"/{model}/jobs/{{job_id}}", others, include_in_schema=False))


def _add_files(router: APIRouter, model: str, queues: Mapping[str, JobQueue], settings: Settings) -> None:
    def output(job_id: str) -> Response:
        """The scored rows, if no other place was given for them."""
        record = _done(queues[model].get(job_id)).record
        return _file(record, folders.output_of(settings, record), "")

    def rejected(job_id: str) -> Response:
        """The rows that break the contract, with file, line, column and reason; of a failed job too."""
        record = queues[model].get(job_id).record
        made = folders.output_of(settings, record)
        return _file(record, made and folders.rejected_of(made), ".rejected.csv")

    def manifest(job_id: str) -> Response:
        """What was done: input, version, counts, seconds."""
        queue = queues[model]
        record = _done(queue.get(job_id)).record
        return Response(
            queue.manifest(record),
            media_type="application/json",
            headers=_attached(record, ".manifest.json"),
        )

    for endpoint, what in ((output, "scored rows"), (rejected, "rejected rows"), (manifest, "manifest")):
        name = endpoint.__name__
        router.add_api_route(
            f"/{model}/jobs/{{job_id}}/{name}",
            endpoint,
            methods=["GET"],
            summary=f"Download a job's {what}",
            response_class=Response,
            responses={200: FILE_RESPONSES[name], **problem_responses(404, 409, 422, 503)},
            name=f"{model}_job_{name}",
            operation_id=f"{model}_job_{name}",
            tags=[model],
        )


class _OtherMethods:
    """What a path answers to methods that none of its routes has; each alone would name only its own."""

    def __init__(self, allowed: str) -> None:
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(405, headers={"Allow": self._allowed})


def _take_on(
    queue: JobQueue, contract: Contract, request: JobRequest, key: str | None, settings: Settings
) -> Standing:
    """Take on a job whose files are elsewhere."""
    check_location("The input", request.input or "", settings.jobs_locations, pattern=True)
    _check_output(request, settings)
    record = Record.make(_NOBODY, contract.name, request, key=key)
    record.check(contract)
    queue.check_room(key)
    claim = queue.claim(key, fingerprint(request.model_dump_json()))
    return queue.put(record.model_copy(update={"identity": claim.identity}))


async def _take_on_upload(
    request: Request,
    queue: JobQueue,
    contract: Contract,
    name: str,
    key: str | None,
    settings: Settings,
    uploads: Uploads,
) -> Standing:
    """Take on a job whose input is in the request."""
    asked = job_requests.job_in_parameters(request.query_params, Kind.of(request.headers))
    _check_output(asked, settings)
    draft = Record.make(_NOBODY, contract.name, asked, uploaded=name, key=key)
    draft.check(contract)
    await run_in_threadpool(queue.check_room, key)
    chunks = job_requests.chunks(request, settings.jobs_upload_bytes)
    upload = await uploads.receive(chunks, name)

    def take_on() -> Standing:
        try:
            claim = queue.claim(key, fingerprint(asked.model_dump_json(), name, upload.digest))
            if not queue.has(claim.identity.id):
                record = draft.model_copy(update={"identity": claim.identity})
                upload.move_to(folders.folder_of(settings, record))
                return queue.put(record)
            return queue.get(claim.identity.id)
        finally:
            folders.remove(upload.folder)

    return await run_in_threadpool(take_on)


def _check_output(request: JobRequest, settings: Settings) -> None:
    if request.output is not None:
        check_location("The output", request.output, settings.jobs_locations)


def _done(standing: Standing) -> Standing:
    if standing.state is not State.done:
        raise HTTPException(
            409, f"Job {standing.record.identity.id} is {standing.state}: only one that is done has this."
        )
    return standing


def _file(record: Record, path: Path | None, ending: str) -> Response:
    """A file of a job's folder; 404 if it is elsewhere, or not there."""
    if record.stored is None:
        raise HTTPException(404, f"It is not kept here, but at {record.request.output}{ending}.")
    if path is None or not path.is_file():
        raise HTTPException(404, f"Job {record.identity.id} has none.")
    form = "csv" if ending else format_of(record.stored)
    media_type = job_requests.MEDIA_TYPES[form or "csv"]
    return Download(path, media_type=media_type, headers=_attached(record, ending))


def _attached(record: Record, ending: str) -> dict[str, str]:
    name = f"{record.model}-{record.identity.id}"
    if not ending:
        ending = f".{format_of(record.stored or '')}"
    return {"Content-Disposition": f'attachment; filename="{name}{ending}"'}


def _named(model: str, what: str) -> dict[str, Any]:
    """What every route of jobs has, but for the downloads."""
    return {
        "name": f"{model}_{what}",
        "operation_id": f"{model}_{what}",
        "tags": [model],
        "response_model_exclude_none": True,
    }
