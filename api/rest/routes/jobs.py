"""Jobs over REST: submit, check, list, watch, cancel, delete."""

import re
import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any

import redis
from fastapi import APIRouter, Body, Header, Path, Query
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BeforeValidator

from api.keys import Caller, Role
from api.rest import problems
from api.rest.bounds.store_threads import in_store_threads
from api.rest.dependencies import CurrentCaller, CurrentServices, Services
from api.rest.inputs import Inputs
from api.rest.problems import ProblemError, ProblemItem
from api.rest.schemas.jobs import SUBMIT_EXAMPLES, CheckedOut
from api.rest.schemas.values import utc, whole_text
from pingti.errors import InputError, PingtiError
from pingti.http.outbound import Outbound
from pingti.inference.pins import Pin
from pingti.rest_models import CallbackOut, CountsOut, JobLinks, JobListOut, JobOut, JobTaskOut, ShardsOut
from queue_worker.classifying.results import delete_job
from queue_worker.jobs import callbacks
from queue_worker.jobs.models import Job, JobStatus, no_job
from queue_worker.jobs.store import VolatileError
from queue_worker.jobs.submission import Checked, JobRequest, submit, validate
from queue_worker.jobs.waiting import waits_for

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])


def _date_first(value: Any) -> Any:
    """A bare number would be taken for Unix seconds, which the document does not say."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt]", value, re.ASCII):
        raise ValueError("needed is a time with its zone, such as 2026-11-21T02:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_date_first)]
JobId = Annotated[str, Path(description="The id that the submission answered.")]
SubmittedJob = Annotated[JobRequest, BeforeValidator(whole_text), Body(openapi_examples=SUBMIT_EXAMPLES)]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="Any text of your own; sent again with the same body it gives the same job again. "
        "The same file, uploaded again, counts as the same input.",
        min_length=1,
        max_length=255,
    ),
]

NO_JOB = {"not_found": "There is no job job-065a1b2c3d4e5f6a1b2c."}
_NOT_YOURS = {"forbidden": "The job job-065a1b2c3d4e5f6a1b2c is another key's; an admin may do this."}
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_LIMIT_SECONDS = "30"  # when to come again, where the queue is full of one's own jobs
_LOOK_SECONDS = 5.0


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    response_model=JobOut,
    responses={
        200: {"description": "With validate_only: it would be accepted now.", "model": CheckedOut},
        202: {
            "description": "Accepted: it survives a crash of everything. With an Idempotency-Key seen "
            "before, the job that it made then.",
            "headers": {"Location": {"description": "The job's path.", "schema": {"type": "string"}}},
        },
        **problems.responses(
            **problems.BROKER,
            too_many="The key 'nightly' has 50 unfinished jobs; with this one the limit of 50 is passed.",
            no_space="The server's disk is full; nothing was stored.",
            too_large="The body is larger than the limit of 1,048,576 bytes.",
            unsupported_media_type="The body's Content-Type is text/plain; allowed is application/json.",
            bad_request="There was an error parsing the body",
            invalid_input="#/tasks/0: there is no task spotr.",
        ),
    },
)
async def submit_job(
    services: CurrentServices,
    who: CurrentCaller,
    request: SubmittedJob,
    idempotency_key: IdempotencyKey = None,
    validate_only: Annotated[bool, Query(description="Check everything, store nothing.")] = False,
) -> Response:
    """Check everything (tasks, files, columns), fix the students' versions, store the job and queue it.

    An input is the id of an uploaded file, a path below the server's allowed folders (a file, a folder, or a
    pattern), or a URL of a host that the server's settings allow.
    """
    threads = services.store_threads
    run = threads.run_fetching if any("://" in given for given in request.inputs) else threads.run
    return await run(partial(_submitted, services, who, request, idempotency_key, validate_only))


def _submitted(
    services: Services, who: Caller, request: JobRequest, idempotency_key: str | None, validate_only: bool
) -> Response:
    if request.callback is not None:
        _check_callback(services, request.callback)
    inputs = Inputs(services, who)
    if validate_only:
        try:
            checked = validate(request, services.settings, locate=inputs.locate)
            _admit(services, who, checked)
        finally:
            inputs.forget()
        return JSONResponse(_checked_out(checked).model_dump(mode="json"))
    job = _submit(services, who, request, inputs, idempotency_key)
    try:
        answer = job_out(*services.store.look(job.id))
    except redis.RedisError:  # gone since: the job is accepted all the same
        answer = job_out(job)
    return _written(answer, 202, headers={"Location": answer.links.self})


def _check_callback(services: Services, address: str) -> None:
    outbound = Outbound(private_networks=services.settings.private_networks, seconds=_LOOK_SECONDS)
    try:
        outbound.check(address)
    except PingtiError as error:
        item = ProblemItem(pointer="#/callback", detail=str(error))
        raise ProblemError("invalid-input", f"callback: {error}", [item]) from error


def _submit(services: Services, who: Caller, request: JobRequest, inputs: Inputs, key: str | None) -> Job:
    """Hand a request over to the store; what was fetched for it goes where no job can have come of it."""
    handed_over = False  # to the store, which may have the job by then even where an error comes back

    def admit(checked: Checked) -> None:
        nonlocal handed_over
        _admit(services, who, checked)
        services.require_server()
        handed_over = True

    try:
        return submit(
            request,
            services.settings,
            services.store,
            idempotency_key=key,
            owner=who.name,
            row_limit=None if who.role is Role.ADMIN else services.settings.key_rows,
            locate=inputs.locate,
            identify=inputs.identify,
            admit=admit,
        )
    except BaseException as error:
        if not handed_over or isinstance(error, (InputError, VolatileError)):
            inputs.forget()
        raise


@router.get(
    "", summary="List jobs", responses=problems.responses(**problems.BROKER, invalid_input="limit: ...")
)
@in_store_threads
def list_jobs(
    services: CurrentServices,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before.", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    ] = None,
    limit: Annotated[int, Query(description="Jobs a page.", ge=1, le=100)] = 20,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    task: Annotated[str | None, Query(description="Only jobs that ask this task.", max_length=128)] = None,
    owner: Annotated[
        str | None, Query(description="Only jobs of the key of this name.", max_length=128)
    ] = None,
    priority: Annotated[int | None, Query(description="Only jobs of this priority.", ge=0, le=9)] = None,
    submitted_after: Annotated[Moment | None, Query(description="Only jobs from then on.")] = None,
    submitted_before: Annotated[Moment | None, Query(description="Only jobs from before then.")] = None,
) -> JobListOut:
    """Jobs, newest first. With a filter, a page may hold fewer than ``limit`` and still have a next one."""
    jobs, next_cursor = services.store.list_jobs(
        after=cursor,
        limit=limit,
        status=status,
        task=task,
        owner=owner,
        priority=priority,
        submitted_after=_seconds(submitted_after),
        submitted_before=_seconds(submitted_before),
    )
    return JobListOut(items=tuple(map(job_out, jobs)), next_cursor=next_cursor)


@router.get(
    "/{job_id}",
    summary="Look at a job",
    response_model=JobOut,
    responses=problems.responses(**problems.BROKER, **NO_JOB),
)
@in_store_threads
def get_job(services: CurrentServices, job_id: JobId) -> Response:
    """Status, one timestamp a change, counts, progress, rate, place, workers, versions and thresholds."""
    job, place = services.store.look(_known_form(job_id))
    workers = services.store.workers_of(job.id)
    lacking = waits_for(job, services.store.statistics)
    return _written(job_out(job, place, callbacks.status(services.store.client, job), workers, lacking))


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    responses=problems.responses(
        **problems.BROKER, **NO_JOB, **_NOT_YOURS, conflict="Job job-065a1b2c3d4e5f6a1b2c is completed."
    ),
)
@in_store_threads
def cancel_job(services: CurrentServices, who: CurrentCaller, job_id: JobId) -> JobOut:
    """Stop at the next shard's border; what is finished stays readable."""
    return job_out(services.store.cancel(_own_job(services, who, job_id).id))


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Delete a job",
    responses=problems.responses(
        **problems.BROKER, **NO_JOB, **_NOT_YOURS, conflict="Job job-065a1b2c3d4e5f6a1b2c is running."
    ),
)
@in_store_threads
def remove_job(services: CurrentServices, who: CurrentCaller, job_id: JobId) -> Response:
    """Remove a job that has ended, with its results; the server does so by itself after some weeks."""
    delete_job(services.settings, services.store, _own_job(services, who, job_id).id)
    return Response(status_code=204)


def find_job(services: Services, job_id: str) -> Job:
    """The job of an id.

    Raises:
        NotFoundError: there is none.
    """
    return services.store.get(_known_form(job_id))


def _known_form(job_id: str) -> str:
    """The id becomes part of a key: only text that can be an id is looked up."""
    if not _ID.fullmatch(job_id):
        raise no_job(job_id)
    return job_id


def _written(answer: JobOut, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Written here: FastAPI would check the answer once more, in another trip to a thread."""
    return Response(answer.model_dump_json(), status, headers, media_type="application/json")


def _own_job(services: Services, who: Caller, job_id: str) -> Job:
    job = find_job(services, job_id)
    if job.owner != who.name and who.role is not Role.ADMIN:
        raise ProblemError("forbidden", f"The job {job.id} is another key's; an admin may do this.")
    return job


def _admit(services: Services, who: Caller, checked: Checked) -> None:
    """The limits of a key. Submissions at the same moment may pass them by a few.

    Rows that an input does not tell without being read are counted by the worker that plans the job.
    """
    if who.role is Role.ADMIN:
        return
    load, settings = services.store.statistics.load_of(who.name), services.settings
    for have, more, limit, what in (
        (load.jobs, 1, settings.key_jobs, "unfinished jobs"),
        (load.rows, checked.rows, settings.key_rows, "rows in unfinished jobs"),
    ):
        if have + more > limit:
            raise ProblemError(
                "too-many",
                f"The key {who.name!r} has {have:,} {what}; with this one the limit of {limit:,} is passed.",
                headers={"Retry-After": _LIMIT_SECONDS},
            )


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else max(moment.timestamp(), 1.0)


def _checked_out(checked: Checked) -> CheckedOut:
    return CheckedOut(
        valid=True,
        inputs=checked.inputs,
        bytes=sum(stamp.size for stamp in checked.stamps),
        tasks=tasks_out(checked.pins),
        priority=checked.priority,
    )


def tasks_out(pins: tuple[Pin, ...]) -> tuple[JobTaskOut, ...]:
    """Pinned tasks as they are answered."""
    return tuple(
        JobTaskOut(
            task=pin.task,
            scene=pin.scene,
            version=pin.version,
            threshold=pin.threshold,
            hidden=pin.hidden,
            column=pin.name,
            second=pin.second,
        )
        for pin in pins
    )


def job_out(
    job: Job,
    place: int | None = None,
    callback: callbacks.CallbackStatus | None = None,
    workers: Mapping[str, str] | None = None,
    lacking: str | None = None,
) -> JobOut:
    """A job as it is answered.

    Args:
        job: the job.
        place: jobs that get a worker before this one gets its next; null where absent.
        callback: what became of its callback; null where absent.
        workers: who has each shard under way.
        lacking: of ``waits_for``; null where absent.
    """
    path = f"/v1/jobs/{job.id}"
    counts = job.counts
    done = counts.completed + counts.failed
    rate = _rate(job, done)
    running = job.status is JobStatus.RUNNING and rate and counts.total
    empty = 1.0 if job.status is JobStatus.COMPLETED else None
    return JobOut(
        id=job.id,
        status=job.status,
        inputs=job.inputs,
        tasks=tasks_out(job.pins),
        priority=job.priority,
        metadata=job.metadata,
        owner=job.owner,
        decided=job.decided,
        timestamps={str(status): utc(seconds) for status, seconds in job.timestamps.items()},
        counts=CountsOut(total=counts.total, completed=counts.completed, failed=counts.failed),
        shards=ShardsOut(total=job.shards_total or 0, done=job.shards_done),
        progress=min(done / counts.total, 1.0) if counts.total else empty,
        rows_per_second=rate,
        seconds_left=round(max(counts.total - done, 0) / rate, 1) if running and rate else None,
        place=place,
        workers=dict(workers or {}),
        waits_for=lacking,
        callback=None
        if callback is None
        else CallbackOut(
            url=callback.url, state=callback.state, attempts=callback.attempts, error=callback.error
        ),
        error=job.error,
        max_bad_rows=job.max_bad_rows,
        output=job.output,
        links=JobLinks(self=path, results=f"{path}/results", errors=f"{path}/errors"),
    )


def _rate(job: Job, done: int) -> float | None:
    begin = job.timestamps.get(JobStatus.RUNNING)
    if begin is None or done == 0:
        return None
    after = [at for status, at in job.timestamps.items() if at > begin and status is not JobStatus.CANCELLING]
    # This machine's clock against the broker's: good enough for a rate that is shown while a job runs.
    end = min(after) if after else time.time()
    return round(done / max(end - begin, 0.001), 1)
