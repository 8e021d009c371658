"""Files of rows: which format they are of by their names, and how they are opened, packed or not."""

import functools
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pingti.errors import InputError

FORMATS = (".parquet", ".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz")
LINE_BYTES = 16 << 20
"""Of a line of text; of a longer one only the beginning is read, so that none fills the memory."""
_UNCHECKED_BYTES = 256 << 20  # unpacked; below, nobody asks how well a file is packed
_MOST_PACKED = 200  # texts shrink to a tenth or so; gzip can shrink zeros to a thousandth
_MAGIC = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF document",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"ARROW1": "an Arrow file",
    b"SQLite f": "an SQLite database",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


def format_of(path: str) -> str:
    """Which of ``FORMATS`` a file is of by its name; ``.gz`` is left out.

    Raises:
        InputError: none of them.
    """
    name = path.lower().removesuffix(".gz")
    for suffix in FORMATS:
        if name.endswith(suffix) and not (suffix == ".parquet" and path.lower().endswith(".gz")):
            return suffix
    raise InputError.in_file(path, f"the name ends in none of the formats that are read: {' '.join(FORMATS)}")


@contextmanager
def open_binary(path: str) -> Iterator[IO[bytes]]:
    """Open a local file, or one at an address that fsspec knows.

    Raises:
        InputError: it is missing, a folder, or cannot be opened.
    """
    try:
        opener = fsspec.open(path, "rb").open if "://" in path else functools.partial(open, path, "rb")
        file: Any = opener()
    except FileNotFoundError:
        raise InputError.in_file(path, "no such file") from None
    except IsADirectoryError:
        raise InputError.in_file(path, "is a folder; a file is needed") from None
    except (OSError, ValueError, ImportError) as error:  # fsspec: unknown scheme, missing driver
        raise InputError.in_file(path, f"not readable: {error}") from error
    with file:
        yield file


@contextmanager
def parquet_file(path: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file.

    Raises:
        InputError: it cannot be opened, is empty or damaged.
    """
    with open_binary(path) as file:
        if not file.read(1):
            raise InputError.in_file(path, "the file is empty")
        file.seek(0)
        with readable_parquet(path):
            parquet = pq.ParquetFile(file)
        yield parquet


@contextmanager
def readable_parquet(path: str) -> Iterator[None]:
    """Turn what Arrow raises while it reads a Parquet file into an InputError that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
        raise InputError.in_file(path, f"not a readable Parquet file: {first_line(error)}") from error


@contextmanager
def text_lines(path: str) -> Iterator[Iterator[bytes]]:
    """The lines of a text file, unpacked, as bytes; see ``is_cut``."""
    with open_binary(path) as raw:
        packed = path.lower().endswith(".gz")
        file: Any = _Unpacked(path, raw) if packed else raw
        buffered = io.BufferedReader(file) if packed or not hasattr(file, "peek") else file
        try:
            start = buffered.peek(8)[:8]
            if not start:
                raise InputError.in_file(path, "the file is empty")
            refuse_other_format(path, start)
            yield _bounded(buffered.readline)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError.in_file(path, f"not a whole gzip file: {error}") from error


class _Unpacked(io.RawIOBase):
    """What is in a gzip file, up to what an honest one can hold."""

    def __init__(self, path: str, packed: Any) -> None:
        self._path, self._packed = path, packed
        self._file = gzip.GzipFile(fileobj=packed)
        self._bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self._file.readinto(buffer)
        self._bytes += count
        if self._bytes > _UNCHECKED_BYTES and self._bytes > _MOST_PACKED * self._packed.tell():
            raise InputError.in_file(
                self._path,
                f"unpacks to more than {_MOST_PACKED} times its size, as no text does; "
                "give it unpacked if it is one",
            )
        return int(count)


def _bounded(readline: Callable[[int], bytes]) -> Iterator[bytes]:
    while line := readline(LINE_BYTES):
        yield line
        while is_cut(line):  # the rest of it
            line = readline(LINE_BYTES)


def is_cut(line: bytes) -> bool:
    """Whether a line of ``text_lines`` is the beginning of one that is longer than ``LINE_BYTES``."""
    return len(line) == LINE_BYTES and not line.endswith(b"\n")


def refuse_other_format(path: str, start: bytes) -> None:
    """Refuse a text file that begins as one of another format than its name says.

    Raises:
        InputError: with the format that it looks like.
    """
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError.in_file(path, f"looks like {what}, not like {format_of(path)} as its name says")


def first_line(error: Exception) -> str:
    """The first line of an error's message; Arrow's go on over many."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
