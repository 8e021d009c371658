"""Files over REST: upload, list, download, delete."""

from typing import Annotated

import anyio
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.keys import Role
from api.rest import problems
from api.rest.bounds.store_threads import in_store_threads
from api.rest.dependencies import CurrentCaller, CurrentServices
from api.rest.downloads import DOWNLOAD, send_file
from api.rest.inputs import Inputs
from api.rest.problems import ProblemError
from api.rest.schemas.values import utc, whole_text
from api.rest.uploads import Stored, Upload
from pingti.corpus.reader import Columns, column_names
from pingti.errors import ConflictError, Fault, InputError
from pingti.rest_models import MOST_INPUTS, Answer, FileListOut, FileOut
from queue_worker.jobs.inputs import input_files
from queue_worker.retention import inputs_in_use, remove_uploads

router = APIRouter(prefix="/v1/files", tags=["files"])

FileId = Annotated[str, Path(description="The id that the upload answered.")]

_CHUNK_BYTES = 1024 * 1024
_NO_FILE = {"not_found": "There is no file 'file-065a1b2c3d4e5f6a1b2c3d'."}


@router.post(
    "",
    status_code=201,
    summary="Upload a file of texts",
    response_model=FileOut,
    responses={
        201: {"headers": {"Location": {"description": "The file's path.", "schema": {"type": "string"}}}},
        **problems.responses(
            bad_request="The multipart body ends before its closing boundary.",
            no_space="The server's disk is full; nothing was stored.",
            too_many="The key 'nightly' has 1,048,570 bytes of files here; the limit is 1,048,576.",
            too_large="The file is larger than the limit of 4,294,967,296 bytes.",
            unsupported_media_type="The body's Content-Type is text/csv; allowed is multipart/form-data.",
            invalid_input="#/file: the file's name 'a.doc' must end in one of .parquet, .jsonl, .csv, ...",
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "example": {"file": "text\n谁赢了昨晚的比赛\n"},
                    "schema": {
                        "type": "object",
                        "required": ["file"],
                        "properties": {
                            "file": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                                "description": "Parquet, JSONL, CSV or TSV; the last three also as .gz",
                            }
                        },
                    },
                }
            },
        }
    },
)
async def upload_file(
    request: Request, response: Response, services: CurrentServices, who: CurrentCaller
) -> FileOut:
    """Store a file under the workspace. Its ``id`` in the answer is what a job takes as an input.

    The first bytes must be what the name's ending says.

    ``curl -F file=@titles.csv http://127.0.0.1:8080/v1/files``
    """
    content_type = request.headers.get("content-type", "none")
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if media_type != b"multipart/form-data" or not boundary:
        raise ProblemError(
            "unsupported-media-type",
            f"The body's Content-Type is {content_type}; allowed is multipart/form-data with its boundary.",
        )
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else 1
    left = await run_in_threadpool(services.upload_room, who, size)
    try:
        upload = Upload(services.uploads, boundary, limit=left, owner=who.name)
    except FormParserError as error:
        raise ProblemError("bad-request", f"The multipart boundary cannot be used: {error}.") from error
    try:
        # Collected into larger chunks, so that a thread is asked once a megabyte, not once a packet.
        waiting = bytearray()
        async for data in request.stream():
            waiting += data
            if len(waiting) >= _CHUNK_BYTES:
                await run_in_threadpool(upload.feed, bytes(waiting))
                waiting.clear()
        await run_in_threadpool(upload.feed, bytes(waiting))
        stored = await run_in_threadpool(upload.finish)
    except BaseException as error:
        with anyio.CancelScope(shield=True):
            await run_in_threadpool(upload.abandon, error)
        if isinstance(error, FormParserError):
            raise ProblemError("bad-request", f"The multipart body cannot be read: {error}.") from error
        if isinstance(error, ClientDisconnect):
            raise ProblemError("bad-request", "The client went away in the middle of the upload.") from error
        raise
    response.headers["Location"] = f"/v1/files/{stored.id}"
    return file_out(stored)


class ColumnsRequest(BaseModel):
    """Which file is looked at."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", json_schema_extra={"examples": [{"input": "texts/today.csv"}]}
    )

    input: str = Field(
        min_length=1, description="An input of a job: an uploaded file's id, a path, a folder or a pattern."
    )


class ColumnsOut(Answer):
    """The columns of a file."""

    input: str = Field(description="The path of the file that was looked at: the first of a folder's.")
    columns: tuple[str, ...] = Field(description="In the file's order; of JSONL, the first object's fields.")


@router.post(
    "/columns",
    summary="Columns of a file",
    responses=problems.responses(
        bad_request="There was an error parsing the body",
        too_large="The body is larger than the limit of 1,048,576 bytes.",
        unsupported_media_type="The body's Content-Type is text/plain; allowed is application/json.",
        invalid_input="#/input: 'gone.csv' is not below an allowed folder (/srv/pingti).",
    ),
)
def get_columns(
    services: CurrentServices,
    who: CurrentCaller,
    request: Annotated[ColumnsRequest, BeforeValidator(whole_text)],
) -> ColumnsOut:
    """By the header, read as a job would read it: which of them hold the texts and ids is then picked."""
    try:
        if "://" in request.input:
            raise InputError("the columns of an address are not looked at; a job fetches it")
        given = Inputs(services, who).locate(request.input)
        path = input_files(services.settings, given, most=MOST_INPUTS)[0]
        return ColumnsOut(input=path, columns=tuple(column_names(path, Columns())))
    except OSError as error:
        fault = f"{request.input!r} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        fault = f"{request.input!r}: a column's name is not UTF-8"
    except InputError as error:
        fault = str(error)
    raise InputError(f"input: {fault}", faults=[Fault(detail=fault, pointer="/input")])


@router.get("", summary="List files", responses=problems.responses(invalid_input="limit: ..."))
def list_files(
    services: CurrentServices,
    cursor: Annotated[
        str | None, Query(description="next_cursor of the page before.", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    ] = None,
    limit: Annotated[int, Query(description="Files a page.", ge=1, le=100)] = 20,
) -> FileListOut:
    """Uploaded files, newest first."""
    page, next_cursor = services.uploads.page(after=cursor, limit=limit)
    return FileListOut(items=tuple(map(file_out, page)), next_cursor=next_cursor)


@router.get(
    "/{file_id}",
    summary="Look at a file",
    responses=problems.responses(**_NO_FILE),
)
def get_file(services: CurrentServices, file_id: FileId) -> FileOut:
    """Name, size, checksum, owner and time of an upload."""
    return file_out(services.uploads.find(file_id))


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    responses={**DOWNLOAD, **problems.responses(**_NO_FILE, **problems.RANGE)},
)
def get_content(request: Request, services: CurrentServices, file_id: FileId) -> FileResponse:
    """The bytes as they were sent; whole, or a Range of them."""
    stored = services.uploads.find(file_id)
    return send_file(request, stored.path, name=stored.name, etag=stored.sha256)


@router.head(
    "/{file_id}/content",
    summary="Size and checksum of a file",
    response_class=Response,
    responses={**DOWNLOAD, **problems.responses(**_NO_FILE)},
)
def head_content(request: Request, services: CurrentServices, file_id: FileId) -> FileResponse:
    """The headers of the download; the ETag is the SHA-256."""
    return get_content(request, services, file_id)


@router.delete(
    "/{file_id}",
    status_code=204,
    summary="Delete a file",
    responses=problems.responses(
        **_NO_FILE,
        conflict="A job that has not ended reads the file file-065a1b2c3d4e5f6a1b2c3d.",
        unavailable="The broker (Valkey or Redis) does not answer; nothing was accepted or changed.",
    ),
)
@in_store_threads
def delete_file(services: CurrentServices, who: CurrentCaller, file_id: FileId) -> Response:
    """Remove an upload: one of the key's own, or any for an admin. Not while an unfinished job reads it."""
    stored = services.uploads.find(file_id)
    if stored.owner != who.name and who.role is not Role.ADMIN:
        raise ProblemError("forbidden", f"The file {file_id} is another key's; an admin may delete it.")
    if services.settings.redis_url is None:
        services.uploads.remove(stored)
    elif str(stored.path.resolve()) in inputs_in_use(services.store) or (
        remove_uploads(services.settings, services.store, [stored.path.parent]) == 0 and stored.path.exists()
    ):
        raise ConflictError(f"A job that has not ended reads the file {file_id}; cancel it first.")
    return Response(status_code=204)


def file_out(stored: Stored) -> FileOut:
    """An upload as it is answered."""
    return FileOut(
        id=stored.id,
        name=stored.name,
        path=str(stored.path),
        bytes=stored.bytes,
        sha256=stored.sha256,
        created=utc(stored.created),
        owner=stored.owner,
    )
