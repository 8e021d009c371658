"""Uploaded files: a multipart body on its way to the disk, and what is kept of it.

``<home>/uploads/<id>/`` holds the file under its own name, and ``.upload.json`` with its size, checksum, time
and owner. That record comes last: a folder without one is an upload that broke off.
"""

import hashlib
import json
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from python_multipart.multipart import MultipartParser, parse_options_header

from api.rest.problems import ProblemError, ProblemItem
from pingti.corpus.formats import is_wide, refuse_other_format
from pingti.errors import InputError, NotFoundError
from pingti.files import replacing, write_json

ENDINGS = (".parquet", ".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz")
ID = re.compile(r"file-[0-9a-f]{22}")
RECORD = ".upload.json"
_HEAD_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class Stored:
    """An uploaded file."""

    id: str
    """Sorts by the time of the upload."""
    name: str
    """Last part of its path."""
    path: Path
    bytes: int
    sha256: str
    """Hexadecimal."""
    created: float
    """Unix seconds."""
    owner: str
    """Name of the key that sent it."""


class Uploads:
    """The uploaded files of a workspace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new_folder(self) -> Path:
        """A folder that is not there yet, for one upload."""
        return self.folder / f"file-{time.time_ns() // 1000:014x}{secrets.token_hex(4)}"

    def find(self, id: str) -> Stored:
        """The upload of an id.

        Raises:
            NotFoundError: there is none.
        """
        stored = self._read(self.folder / id) if ID.fullmatch(id) else None
        if stored is None:
            raise NotFoundError(f"there is no file {id!r}")
        return stored

    def page(self, *, after: str | None, limit: int) -> tuple[list[Stored], str | None]:
        """One page of the uploads, newest first.

        Args:
            after: the cursor of this page; the first one where absent.
            limit: most uploads of a page.

        Returns:
            The page, and the cursor of the next one: None at the end.
        """
        ids = [id for id in reversed(self._ids()) if after is None or id < after]
        page: list[Stored] = []
        for id in ids:
            stored = self._read(self.folder / id)
            if stored is not None:
                if len(page) == limit:
                    return page, page[-1].id
                page.append(stored)
        return page, None

    def all(self) -> Iterator[Stored]:
        """Every upload, oldest first."""
        for id in self._ids():
            stored = self._read(self.folder / id)
            if stored is not None:
                yield stored

    def bytes_of(self, owner: str) -> int:
        """Size of all uploads of the key of this name."""
        return sum(stored.bytes for stored in self.all() if stored.owner == owner)

    def remove(self, stored: Stored) -> None:
        """Delete an upload."""
        # The record first: what is left of a removal that broke off counts as an upload that did.
        (stored.path.parent / RECORD).unlink(missing_ok=True)
        shutil.rmtree(stored.path.parent, ignore_errors=True)

    def record(self, path: Path, *, size: int, sha256: str, owner: str) -> Stored:
        """Make a file that is in place, in a folder from ``new_folder``, an uploaded one."""
        stored = Stored(
            id=path.parent.name,
            name=path.name,
            path=path,
            bytes=size,
            sha256=sha256,
            created=time.time(),
            owner=owner,
        )
        kept = {name: value for name, value in asdict(stored).items() if name not in ("id", "path")}
        write_json(path.parent / RECORD, kept)
        return stored

    def _ids(self) -> Sequence[str]:
        try:
            return sorted(path.name for path in self.folder.iterdir() if ID.fullmatch(path.name))
        except FileNotFoundError:
            return []

    def _read(self, folder: Path) -> Stored | None:
        try:
            kept = json.loads((folder / RECORD).read_bytes())
            return Stored(id=folder.name, path=folder / kept["name"], **kept)
        except (OSError, ValueError, TypeError, KeyError):
            return None  # never finished, or being removed


class Upload:
    """One multipart body on its way to a file. Blocking: every method runs in a thread."""

    def __init__(self, uploads: Uploads, boundary: bytes, *, limit: int, owner: str) -> None:
        """Nothing is written before the first ``feed``.

        Args:
            uploads: where the file goes.
            boundary: what stands between the parts of the body.
            limit: most bytes of the file.
            owner: name of the key that sends it.

        Raises:
            FormParserError: the boundary cannot be one.
        """
        self._uploads = uploads
        self._folder = uploads.new_folder()
        self._limit = limit
        self._owner = owner
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
        """Take the next bytes of the body.

        Raises:
            FormParserError: they are no multipart body.
            ProblemError: the file is too large, or has a name that is not allowed.
        """
        self._parser.write(data)

    def finish(self) -> Stored:
        """Make the file visible.

        Raises:
            ProblemError: the body had no file, a wrong one, or broke off.
        """
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
        try:
            sniff(self._path, self._path.name)  # the caller learns nothing of the server's folders
        except InputError as error:
            item = ProblemItem(pointer="#/file", detail=str(error))
            raise ProblemError("invalid-input", f"#/file: {item.detail}", [item]) from error
        return self._uploads.record(
            self._path, size=self._bytes, sha256=self._digest.hexdigest(), owner=self._owner
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

    Raises:
        ProblemError: the ending is none of a format that is read.
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


def sniff(path: Path, name: str) -> None:
    """Look whether the first bytes of a file are what its ending says.

    Args:
        path: the file.
        name: how an error calls it.

    Raises:
        InputError: they are something else.
    """
    if path.name.endswith(".parquet"):
        try:
            _ = pq.read_schema(path).names
        except UnicodeDecodeError as error:
            raise InputError(f"{name}: a column's name is not UTF-8") from error
        except (pa.ArrowException, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise InputError(f"{name}: not a readable Parquet file: {reason}") from error
        return
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if path.name.endswith(".gz"):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, _HEAD_BYTES)
        except zlib.error as error:
            raise InputError(f"{name}: not a gzip file: {error}") from error
    if is_wide(head):  # a job's encoding may read it
        return
    refuse_other_format(name, head)
    if b"\0" in head:
        raise InputError(f"{name}: holds NUL characters; needed is text in UTF-8")
