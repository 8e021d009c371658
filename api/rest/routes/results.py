"""A job's results as Parquet, JSONL or CSV, and its bad rows: whole, packed, or by range."""

import threading
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response, StreamingResponse

from api.rest import problems
from api.rest.dependencies import CurrentServices
from api.rest.downloads import DOWNLOAD, accepts_gzip, packed, send_file
from api.rest.result_formats import MEDIA_TYPES, ResultFormat, stream
from api.rest.routes.jobs import NO_JOB, JobId, find_job
from pingti.errors import ConflictError
from pingti.files import replacing
from pingti.inference.pins import columns_of
from pingti.inference.results import results_schema
from queue_worker.classifying.results import error_lines, results
from queue_worker.classifying.shards import ERRORS, job_folder
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.settings import Settings

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

Form = Annotated[ResultFormat, Query(alias="format", description="File format.")]

_ERRORS_TYPE = "application/jsonl"
_writing: weakref.WeakValueDictionary[Path, "_Lock"] = weakref.WeakValueDictionary()
_writing_lock = threading.Lock()

_RESULTS = {
    **DOWNLOAD,
    200: {
        "description": "id, then for every task its class and its score, then what was kept. Parquet carries "
        "job, versions, operating points and thresholds in its schema metadata. JSONL and CSV are packed by "
        "gzip where asked.",
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
    },
    206: {
        "description": "The range that was asked for.",
        "content": {media_type: {} for media_type in MEDIA_TYPES.values()},
    },
    **problems.responses(
        **problems.BROKER,
        **NO_JOB,
        **problems.RANGE,
        conflict="Job job-065a1b2c3d4e5f6a1b2c is running; results can be read when it has ended.",
        no_space="The server's disk is full; nothing was stored.",
        damaged_artifact="the results of job job-065a1b2c3d4e5f6a1b2c are damaged: its part 00002.parquet is "
        "gone",
        invalid_input="format: ...",
    ),
}
_BAD_ROWS = {
    200: {
        "description": "One JSON object a line: file, row, id, reason.",
        "content": {
            _ERRORS_TYPE: {
                "example": '{"file": "titles.csv", "row": 17, "id": "a4", "reason": "the text is null"}\n'
            }
        },
    },
    206: {"description": "The range that was asked for.", "content": {_ERRORS_TYPE: {}}},
    **problems.responses(
        **problems.BROKER,
        **NO_JOB,
        **problems.RANGE,
        damaged_artifact="the results of job job-065a1b2c3d4e5f6a1b2c are damaged: its errors.jsonl is gone, "
        "with 3 rows",
    ),
}


async def _known(services: CurrentServices, job_id: JobId) -> Job:
    """The job of the path: asked for in the threads for the store, while its files are read in others."""
    return await services.store_threads.run(partial(find_job, services, job_id))


KnownJob = Annotated[Job, Depends(_known)]


@router.get("/results", summary="Read a job's results", response_class=Response, responses=_RESULTS)
def get_results(
    request: Request, services: CurrentServices, job: KnownJob, form: Form = ResultFormat.PARQUET
) -> Response:
    """Stream all rows in the order of the inputs; of a cancelled job those that were finished.

    A Range is answered from a file that is written on the first such request and kept with the job.
    """
    _refuse_unended(job)
    name, etag = f"{job.id}.{form}", f"{job.id}-{form}-{pa.__version__}"
    export = job_folder(services.settings, job.id) / "exports" / f"results.{form}"
    if request.method == "HEAD" or "range" in request.headers or export.is_file():
        _export(services.settings, job, form, export)
        if not _packs(request, form):
            return send_file(request, export, name=name, etag=etag, media_type=MEDIA_TYPES[form])
    chunks = stream(results(services.settings, job), _schema(job), form)
    return _streamed(
        request, chunks, name=name, etag=etag, media_type=MEDIA_TYPES[form], pack=_packs(request, form)
    )


@router.head("/results", summary="Size of a job's results", response_class=Response, responses=_RESULTS)
def head_results(
    request: Request, services: CurrentServices, job: KnownJob, form: Form = ResultFormat.PARQUET
) -> Response:
    """The headers of the download."""
    return get_results(request, services, job, form)


@router.get("/errors", summary="Read a job's bad rows", response_class=Response, responses=_BAD_ROWS)
def get_errors(request: Request, services: CurrentServices, job: KnownJob) -> Response:
    """The rows that could not be classified, so far; empty where there are none."""
    name = f"{job.id}-errors.jsonl"
    kept = job_folder(services.settings, job.id) / ERRORS
    if job.status.final and kept.is_file() and not _packs(request, ResultFormat.JSONL):
        return send_file(request, kept, name=name, etag=f"{job.id}-errors", media_type=_ERRORS_TYPE)
    return _streamed(
        request,
        error_lines(services.settings, job),
        name=name,
        etag=f"{job.id}-errors" if job.status.final else None,
        media_type=_ERRORS_TYPE,
        pack=_packs(request, ResultFormat.JSONL),
    )


@router.head("/errors", summary="Size of a job's bad rows", response_class=Response, responses=_BAD_ROWS)
def head_errors(request: Request, services: CurrentServices, job: KnownJob) -> Response:
    """The headers of the download."""
    return get_errors(request, services, job)


def _refuse_unended(job: Job) -> None:
    if job.status not in (JobStatus.COMPLETED, JobStatus.CANCELLED):
        raise ConflictError(
            f"Job {job.id} is {job.status}; results can be read when it is completed or cancelled."
        )


def _packs(request: Request, form: ResultFormat) -> bool:
    """Whether the answer is packed: text, whole, for a client that takes gzip."""
    text = form is not ResultFormat.PARQUET
    return text and request.method == "GET" and "range" not in request.headers and accepts_gzip(request)


def _streamed(
    request: Request, chunks: Iterator[bytes], *, name: str, etag: str | None, media_type: str, pack: bool
) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Accept-Ranges": "bytes",
        "Vary": "Accept-Encoding",
    }
    if etag is not None:
        headers["ETag"] = f'"{etag}-gzip"' if pack else f'"{etag}"'
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    if pack:
        headers["Content-Encoding"] = "gzip"
        chunks = packed(chunks)
    return StreamingResponse(chunks, media_type=media_type, headers=headers)


class _Lock:
    def __init__(self) -> None:
        self.lock = threading.Lock()


def _export(settings: Settings, job: Job, form: ResultFormat, export: Path) -> None:
    """Write the results as one file, once, however many ask for it at the same time."""
    with _writing_lock:
        mine = _writing.setdefault(export, _Lock())
    with mine.lock:
        if export.is_file():
            return
        with replacing(export) as temporary, temporary.open("wb") as file:
            for chunk in stream(results(settings, job), _schema(job), form):
                file.write(chunk)


def _schema(job: Job) -> pa.Schema:
    """Columns of a job that finished no shard."""
    fields = [pa.field("id", pa.string())]
    for pin in (pin for pin in job.pins if not pin.hidden):
        fields += [pa.field(name, kind) for name, kind in columns_of(pin).items()]
    return results_schema(pa.schema(fields), job.columns)
