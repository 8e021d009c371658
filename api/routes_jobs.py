"""Jobs over REST: submit, list, watch, cancel, and read the results and errors of a batch."""

import re
import time
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Body, Depends, Header, Path, Query
from fastapi.responses import Response, StreamingResponse

from api import problems
from api.results import MEDIA_TYPES, ResultFormat, stream
from api.schemas import CountsOut, JobLinks, JobListOut, JobOut, JobTaskOut, ShardsOut, utc
from api.services import Services, services
from pingti.errors import ConflictError, NotFoundError
from queue_worker.jobs import Job, JobStatus
from queue_worker.shards import ERRORS, job_folder, results
from queue_worker.submit import JobRequest, submit

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Room = Annotated[Services, Depends(services)]
JobId = Annotated[str, Path(description="The id that the submission answered.")]

_BROKER = {"unavailable": "The broker (Valkey or Redis) does not answer; nothing was accepted or changed."}
_NO_JOB = {"not_found": "There is no job job-065a1b2c3d4e5f6a1b2c."}
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
_PAGES_LOOKED_THROUGH = 10  # of 100 jobs, for one page of one status
_READ_BYTES = 256 * 1024


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    responses={
        202: {
            "description": "Accepted: it survives a crash of everything. With an Idempotency-Key seen "
            "before, the job that it made then.",
            "headers": {"Location": {"description": "The job's path.", "schema": {"type": "string"}}},
        },
        **problems.responses(
            **_BROKER,
            conflict="Task sport has no promoted student; run pingti promote sport.",
            too_large="The body is larger than the limit of 1,048,576 bytes.",
            unsupported_media_type="The body's Content-Type is text/plain; allowed is application/json.",
            bad_request="There was an error parsing the body",
            invalid_input="#/tasks/0: there is no task spotr.",
        ),
    },
)
def submit_job(
    room: Room,
    response: Response,
    request: Annotated[
        JobRequest,
        Body(
            openapi_examples={
                "one task": {
                    "value": {"inputs": ["/srv/pingti/uploads/0f3a9c5d/titles.csv"], "tasks": ["sport"]}
                },
                "all choices": {
                    "value": {
                        "inputs": ["/srv/data/2026-11-20.parquet", "/srv/data/2026-11-21.parquet"],
                        "tasks": ["sport@live", "topic"],
                        "priority": 2,
                        "metadata": {"team": "search"},
                    }
                },
            }
        ),
    ],
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Any text of your own; sent again with the same body it gives the same job again.",
            min_length=1,
            max_length=255,
        ),
    ] = None,
) -> JobOut:
    """Check everything (tasks, files, columns), fix the students' versions, store the job and queue it."""
    job = submit(request, room.settings, room.store, idempotency_key=idempotency_key)
    answer = job_out(job)
    response.headers["Location"] = answer.links.self
    return answer


@router.get("", summary="List jobs", responses=problems.responses(**_BROKER, invalid_input="limit: ..."))
def list_jobs(
    room: Room,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before.", pattern=r"^[\w-]{1,64}$")
    ] = None,
    limit: Annotated[int, Query(description="Jobs a page.", ge=1, le=100)] = 20,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
) -> JobListOut:
    """Jobs, newest first. With a status, a page may hold fewer than ``limit`` and still have a next one."""
    if status is None:
        jobs, next_cursor = room.store.list_jobs(after=cursor, limit=limit)
        return JobListOut(items=tuple(map(job_out, jobs)), next_cursor=next_cursor)
    found: list[Job] = []
    for _ in range(_PAGES_LOOKED_THROUGH):
        jobs, next_cursor = room.store.list_jobs(after=cursor, limit=100)
        fitting = [job for job in jobs if job.status is status]
        found += fitting
        if len(found) > limit:
            found = found[:limit]
            cursor = found[-1].id
            break
        cursor = next_cursor
        if cursor is None:
            break
    return JobListOut(items=tuple(map(job_out, found)), next_cursor=cursor)


@router.get("/{job_id}", summary="Look at a job", responses=problems.responses(**_BROKER, **_NO_JOB))
def get_job(room: Room, job_id: JobId) -> JobOut:
    """Status, one timestamp a change, counts, progress, rate, and the versions and thresholds in use."""
    return job_out(_job(room, job_id))


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    responses=problems.responses(**_BROKER, **_NO_JOB, conflict="Job job-065a1b2c3d4e5f6a1b2c is completed."),
)
def cancel_job(room: Room, job_id: JobId) -> JobOut:
    """Stop at the next shard's border; what is finished stays readable."""
    return job_out(room.store.cancel(_job(room, job_id).id))


@router.get(
    "/{job_id}/results",
    summary="Read a job's results",
    response_class=Response,
    responses={
        200: {
            "description": "id, then for every task its class and its score. Parquet carries job, versions, "
            "scenes and thresholds in its schema metadata.",
            "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
        },
        **problems.responses(
            **_BROKER,
            **_NO_JOB,
            conflict="Job job-065a1b2c3d4e5f6a1b2c is running; results can be read when it has ended.",
            invalid_input="format: ...",
        ),
    },
)
def get_results(
    room: Room,
    job_id: JobId,
    form: Annotated[ResultFormat, Query(alias="format", description="File format.")] = ResultFormat.PARQUET,
) -> StreamingResponse:
    """Stream all rows in the order of the inputs; of a cancelled job those that were finished."""
    job = _job(room, job_id)
    if job.status not in (JobStatus.COMPLETED, JobStatus.CANCELLED):
        raise ConflictError(
            f"Job {job.id} is {job.status}; results can be read when it is completed or cancelled."
        )
    parts = results(room.settings, job)
    return StreamingResponse(
        stream(parts, _schema(job), form),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="{job.id}.{form}"'},
    )


@router.get(
    "/{job_id}/errors",
    summary="Read a job's bad rows",
    response_class=Response,
    responses={
        200: {
            "description": "One JSON object a line: file, row, id, reason.",
            "content": {
                "application/jsonl": {
                    "example": '{"file": "titles.csv", "row": 17, "id": "a4", "reason": "the text is null"}\n'
                }
            },
        },
        **problems.responses(**_BROKER, **_NO_JOB),
    },
)
def get_errors(room: Room, job_id: JobId) -> StreamingResponse:
    """The rows that could not be classified, so far; empty where there are none."""
    job = _job(room, job_id)
    return StreamingResponse(
        _lines(job_folder(room.settings, job.id), job.cut_input),
        media_type="application/jsonl",
        headers={"Content-Disposition": f'attachment; filename="{job.id}-errors.jsonl"'},
    )


def _job(room: Services, job_id: str) -> Job:
    # The id becomes part of a key: only text that can be an id is looked up.
    if not _ID.fullmatch(job_id):
        raise NotFoundError(f"there is no job {job_id!r}")
    return room.store.get(job_id)


def _lines(folder: FilePath, cut_input: str | None) -> Iterator[bytes]:
    # Beside the cut input while the job runs, in the job's folder when it has ended.
    places = [folder / ERRORS, *([folder / cut_input / ERRORS] if cut_input else [])]
    path = next((place for place in places if place.is_file()), None)
    if path is not None:
        with path.open("rb") as file:
            while chunk := file.read(_READ_BYTES):
                yield chunk


def _schema(job: Job) -> pa.Schema:
    """Columns of a job that finished no shard."""
    fields = [pa.field("id", pa.string())]
    for pin in (pin for pin in job.pins if not pin.hidden):
        fields += [pa.field(pin.task, pa.string()), pa.field(f"{pin.task}_score", pa.float32())]
    return pa.schema(fields)


def job_out(job: Job) -> JobOut:
    path = f"/v1/jobs/{job.id}"
    counts = job.counts
    done = counts.completed + counts.failed
    return JobOut(
        id=job.id,
        status=job.status,
        inputs=job.inputs,
        tasks=tuple(
            JobTaskOut(
                task=pin.task,
                scene=pin.scene,
                version=pin.version,
                threshold=pin.threshold,
                hidden=pin.hidden,
            )
            for pin in job.pins
        ),
        priority=job.priority,
        metadata=job.metadata,
        timestamps={str(status): utc(seconds) for status, seconds in job.timestamps.items()},
        counts=CountsOut(total=counts.total, completed=counts.completed, failed=counts.failed),
        shards=ShardsOut(total=job.shards_total or 0, done=job.shards_done),
        progress=min(done / counts.total, 1.0) if counts.total else None,
        rows_per_second=_rate(job, done),
        error=job.error,
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
