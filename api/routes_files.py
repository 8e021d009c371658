"""Uploads: a file of texts, streamed to the workspace, usable as a job's input."""

import hashlib
import re
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, BinaryIO

import anyio
from fastapi import APIRouter, Depends, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api import problems
from api.problems import ProblemError, ProblemItem
from api.schemas import FileOut
from api.services import Services, services
from pingti.files import replacing

router = APIRouter(prefix="/v1/files", tags=["files"])

ENDINGS = (".parquet", ".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz")
_CHUNK_BYTES = 1024 * 1024


class Upload:
    """One multipart body on its way to a file. Blocking: every method runs in a thread."""

    def __init__(self, folder: Path, boundary: bytes, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._part_ends,
                "on_end": self._ends,
            },
        )
        self._header: list[bytes] = [b"", b""]
        self._disposition = b""
        self._stack = ExitStack()
        self._file: BinaryIO | None = None
        self._digest = hashlib.sha256()
        self._bytes = 0
        self._path: Path | None = None
        self._ended = False

    def feed(self, data: bytes) -> None:
        self._parser.write(data)

    def finish(self) -> FileOut:
        """Make the file visible. ProblemError where the body had no file or broke off."""
        if not self._ended:
            raise ProblemError("bad-request", "The multipart body ends before its closing boundary.")
        if self._path is None:
            raise ProblemError(
                "invalid-input",
                "#/file: the form has no part named file.",
                [ProblemItem(pointer="#/file", detail="the form has no part named file")],
            )
        if self._bytes == 0:
            raise ProblemError(
                "invalid-input",
                f"#/file: {self._path.name} is empty.",
                [ProblemItem(pointer="#/file", detail="the file is empty")],
            )
        self._stack.close()
        return FileOut(
            name=self._path.name,
            path=str(self._path),
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
        )

    def abandon(self, error: BaseException) -> None:
        """Remove what was written."""
        self._stack.__exit__(type(error), error, error.__traceback__)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _part_begins(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header[0] += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header[1] += data[start:end]

    def _header_ends(self) -> None:
        if self._header[0].lower() == b"content-disposition":
            self._disposition = self._header[1]
        self._header = [b"", b""]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition.decode("latin-1"))
        if options.get(b"name") != b"file":
            return
        if self._path is not None:
            raise ProblemError(
                "invalid-input", "The form has more than one part named file; send one a request."
            )
        name = file_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        self._path = self._folder / name
        self._file = self._stack.enter_context(self._stack.enter_context(replacing(self._path)).open("wb"))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._file is None:
            return
        self._bytes += end - start
        if self._bytes > self._limit:
            raise ProblemError("too-large", f"The file is larger than the limit of {self._limit:,} bytes.")
        chunk = memoryview(data)[start:end]
        self._digest.update(chunk)
        self._file.write(chunk)

    def _part_ends(self) -> None:
        self._file = None

    def _ends(self) -> None:
        self._ended = True


def file_name(given: str) -> str:
    """A safe last part of a path: letters, digits, ``.``, ``-`` and ``_``; the ending must be a known format.

    Folders in the name are dropped, other characters become ``_``, a leading dot is not kept.
    """
    base = given.replace("\\", "/").rpartition("/")[2]
    safe = re.sub(r"[^\w.-]+", "_", base).lstrip(".")
    ending = next((known for known in ENDINGS if safe.lower().endswith(known)), None)
    if ending is None or len(safe) == len(ending):
        item = ProblemItem(
            pointer="#/file", detail=f"the file's name {given!r} must end in one of {', '.join(ENDINGS)}"
        )
        raise ProblemError("invalid-input", f"#/file: {item.detail}.", [item])
    stem = safe[: -len(ending)]
    # File systems allow 255 bytes; the temporary name beside it takes some of them.
    short = stem.encode()[:120].decode("utf-8", "ignore")
    return short + ending.lower()


@router.post(
    "",
    status_code=201,
    summary="Upload a file of texts",
    response_model=FileOut,
    responses=problems.responses(
        bad_request="The multipart body ends before its closing boundary.",
        too_large="The file is larger than the limit of 4,294,967,296 bytes.",
        unsupported_media_type="The body's Content-Type is text/csv; allowed is multipart/form-data.",
        invalid_input="#/file: the file's name 'a.doc' must end in one of .parquet, .jsonl, .csv, ...",
    ),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
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
                    }
                }
            },
        }
    },
)
async def upload_file(request: Request, room: Annotated[Services, Depends(services)]) -> FileOut:
    """Store a file under the workspace. Its ``path`` in the answer is what a job takes as an input.

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
    folder = room.uploads / secrets.token_hex(8)
    try:
        upload = Upload(folder, boundary, room.upload_bytes)
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
    return stored
