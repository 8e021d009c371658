"""Downloads: whole files or ranges of them (RFC 9110, section 14), and streams that are packed on the way."""

import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse

from api.rest.problems import ProblemError
from pingti.errors import NotFoundError

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)

DOWNLOAD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All of it.",
        "content": {"application/octet-stream": {}},
        "headers": {
            "ETag": {"description": "Changes with the bytes.", "schema": {"type": "string"}},
            "Accept-Ranges": {"description": "bytes", "schema": {"type": "string"}},
        },
    },
    206: {"description": "The range that was asked for.", "content": {"application/octet-stream": {}}},
}
"""OpenAPI entries of an answer by ``send_file``."""


class _File(FileResponse):
    chunk_size = 1024 * 1024


def send_file(
    request: Request, path: Path, *, name: str, etag: str, media_type: str = "application/octet-stream"
) -> FileResponse:
    """A file, or the one range of it that the request asks for (several ranges, or none to be read: all).

    Args:
        request: its Range, If-Range and method count.
        path: the file.
        name: how the client is to call it.
        etag: changes with the bytes.
        media_type: of the file.

    Raises:
        NotFoundError: the file is gone.
        ProblemError: the range is behind the file's end (416).
    """
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise NotFoundError(f"{name} is not there any more") from None
    asked = request.headers.get("range")
    if asked is not None:
        match = _RANGE.fullmatch(asked.replace(" ", ""))
        first, last = match.groups() if match else ("", "")
        if request.method != "GET" or not (first or last) or (first and last and int(last) < int(first)):
            # A range that cannot be read, or several, may be ignored (RFC 9110, section 14.2).
            headers = request.scope["headers"]
            request.scope["headers"] = [pair for pair in headers if pair[0].lower() != b"range"]
        elif "if-range" not in request.headers and (
            int(first) >= stat.st_size if first else int(last) == 0 or stat.st_size == 0
        ):
            raise ProblemError(
                "range-not-satisfiable",
                f"The file has {stat.st_size:,} bytes; the range {asked!r} is not in it.",
                headers={"Content-Range": f"bytes */{stat.st_size}"},
            )
    return _File(path, stat_result=stat, filename=name, media_type=media_type, headers={"ETag": f'"{etag}"'})


def accepts_gzip(request: Request) -> bool:
    """Whether the client takes gzip (RFC 9110, section 12.5.3)."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in ("gzip", "x-gzip"):
            return not re.fullmatch(r"\s*q=0(\.0{0,3})?\s*", weight)
    return False


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """``chunks`` as one gzip stream."""
    packer = zlib.compressobj(level=1, wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        if piece := packer.compress(chunk):
            yield piece
    yield packer.flush()
