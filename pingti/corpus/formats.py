"""Files of rows opened: of which format they are, packed or not, and within bounds."""

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
_FREE_BYTES = 256 << 20  # unpacked; below, nobody asks how well a file is packed
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
    name = path.lower().removesuffix(".gz")
    for suffix in FORMATS:
        if name.endswith(suffix) and not (suffix == ".parquet" and path.lower().endswith(".gz")):
            return suffix
    raise InputError(f"{path}: the name ends in none of the formats that are read: {' '.join(FORMATS)}")


@contextmanager
def opened(path: str) -> Iterator[IO[bytes]]:
    try:
        opener = fsspec.open(path, "rb").open if "://" in path else functools.partial(open, path, "rb")
        file: Any = opener()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; a file is needed") from None
    except (OSError, ValueError, ImportError) as error:  # fsspec: unknown scheme, missing driver
        raise InputError(f"{path}: not readable: {error}") from error
    with file:
        yield file


@contextmanager
def parquet_file(path: str) -> Iterator[pq.ParquetFile]:
    with opened(path) as file:
        if not file.read(1):
            raise InputError(f"{path}: the file is empty")
        file.seek(0)
        with readable_parquet(path):
            found = pq.ParquetFile(file)
        yield found


@contextmanager
def readable_parquet(path: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
        raise InputError(f"{path}: not a readable Parquet file: {first_line(error)}") from error


@contextmanager
def text_lines(path: str) -> Iterator[Iterator[bytes]]:
    """The lines of a text file, unpacked, as bytes; see ``is_cut``."""
    with opened(path) as raw:
        packed = path.lower().endswith(".gz")
        file: Any = _Unpacked(path, raw) if packed else raw
        buffered = io.BufferedReader(file) if packed or not hasattr(file, "peek") else file
        try:
            start = buffered.peek(8)[:8]
            if not start:
                raise InputError(f"{path}: the file is empty")
            refuse_other_format(path, start)
            yield _bounded(buffered.readline)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(f"{path}: not a whole gzip file: {error}") from error


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
        if self._bytes > _FREE_BYTES and self._bytes > _MOST_PACKED * self._packed.tell():
            raise InputError(
                f"{self._path}: unpacks to more than {_MOST_PACKED} times its size, as no text does; "
                "give it unpacked if it is one"
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
    """InputError where the first bytes of a text file are those of a format that its name does not say."""
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError(f"{path}: looks like {what}, not like {format_of(path)} as its name says")


def first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
