"""Files of rows: which format they are of by their names, and how they are opened, packed or not."""

import codecs
import functools
import gzip
import io
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Self, cast

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from pingti import remote
from pingti.errors import InputError

FORMATS = (".parquet", ".jsonl", ".csv", ".tsv", ".jsonl.gz", ".csv.gz", ".tsv.gz")
LINE_BYTES = 16 << 20
"""Of a line of text; of a longer one only the beginning is read, so that none fills the memory."""
HEAD_BYTES = 4 << 20
"""Of a text file; its first row or header has to come before, as who submits a file waits for it."""
TOO_LONG = f"a line is longer than {LINE_BYTES:,} bytes"
_UNCHECKED_BYTES = 256 << 20  # unpacked; below, nobody asks how well a file is packed
_MOST_PACKED = 200  # texts shrink to a tenth or so; gzip can shrink zeros to a thousandth
_PEEK_BYTES = 8192
_MAGIC_BYTES = 32
_CHUNK_BYTES = 1 << 16
_FEWEST_LINES = 3  # that are not UTF-8: fewer may be bad rows
_LIKE_GB18030 = ("big5", "shift_jis", "cp949")  # whose letters are pairs of bytes, too
_UTF_16 = 'UTF-16 text (set encoding = "utf-16" to read it)'
_UTF_32 = 'UTF-32 text (set encoding = "utf-32" to read it)'
_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_WIDE = {(1, 0): "utf-16-le", (0, 1): "utf-16-be", (1, 0, 0, 0): "utf-32-le", (0, 0, 0, 1): "utf-32-be"}
"""Encodings of several bytes a character, by which of these are not zero in a letter of ASCII."""
TOO_PACKED = f"unpacks to more than {_MOST_PACKED} times its size, as no text does"
_MAGIC = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x89PNG": "a PNG image",
    b"%PDF": "a PDF document",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    **{b"BZh%d1AY&SY" % level: "a bzip2 file" for level in range(1, 10)},
    b"\xfd7zXZ": "an xz file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"version https://git-lfs": "a pointer of Git LFS, which stands for the file",
    b"ARROW1": "an Arrow file",
    b"SQLite f": "an SQLite database",
    b"\xff\xfe\x00\x00": _UTF_32,  # before the mark of UTF-16, with which it begins
    b"\x00\x00\xfe\xff": _UTF_32,
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
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


def most_unpacked(packed: int) -> int:
    """Bytes that an honest file of so many packed bytes can hold."""
    return max(_UNCHECKED_BYTES, _MOST_PACKED * packed)


@contextmanager
def open_binary(path: str) -> Iterator[IO[bytes]]:
    """Open a local file, or one at an address that fsspec knows.

    Raises:
        InputError: it is missing, a folder, or cannot be opened.
        UnavailableError: it is in a store that cannot be reached.
    """
    if remote.of_store(path):
        with remote.open_binary(path) as object:
            yield cast("IO[bytes]", object)
        return
    try:
        if "://" not in path and not _may_be_read_twice(path):
            raise InputError.in_file(path, "is a pipe or a device; a file is needed")
        if "://" in path:
            remote.check_address(path)
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


def _may_be_read_twice(path: str) -> bool:
    """Whether it is a file, or a folder: a pipe would be waited for, and be without its beginning."""
    mode = Path(path).stat().st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def size_of(path: str) -> int:
    """Bytes of a file, as it is.

    Raises:
        InputError: as ``open_binary``.
    """
    if remote.of_store(path) and (entry := remote.look(path)) is not None:
        return entry.size
    with open_binary(path) as file:
        return int(file.seek(0, io.SEEK_END))


@contextmanager
def parquet_file(path: str) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file.

    Raises:
        InputError: it cannot be opened, is empty or damaged.
    """
    with open_binary(path) as file:
        start = file.read(_MAGIC_BYTES)
        if not start:
            raise InputError.in_file(path, "the file is empty")
        if not start.startswith(b"PAR"):
            refuse_other_format(path, start)
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
def text_lines(path: str, encoding: str | None = None) -> Iterator["TextLines"]:
    """The lines of a text file, unpacked, as bytes of UTF-8.

    Args:
        path: of the file.
        encoding: of the file; UTF-8 where absent.

    Raises:
        InputError: the file cannot be opened, is empty, or looks like one of another format or encoding.
    """
    with open_binary(path) as raw:
        packed = path.lower().endswith(".gz")
        file: Any = _Unpacked(path, raw) if packed else raw
        if encoding is not None:
            file = _Recoded(path, file, encoding)
        buffered = io.BufferedReader(file) if file is not raw or not hasattr(file, "peek") else file
        try:
            start = buffered.peek(_PEEK_BYTES)
            if not start:
                raise InputError.in_file(path, "the file is empty")
            refuse_other_format(path, start[:_MAGIC_BYTES])
            _refuse_other_encoding(path, start)
            _refuse_other_lines(path, start)
            yield TextLines(buffered)
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
        if self._bytes > most_unpacked(self._packed.tell()):
            raise InputError.in_file(self._path, f"{TOO_PACKED}; give it unpacked if it is one")
        return int(count)


class _Recoded(io.RawIOBase):
    """A text file as UTF-8; what is not of its encoding is left in bytes that are not UTF-8 either."""

    def __init__(self, path: str, file: Any, encoding: str) -> None:
        self._path, self._file, self._encoding = path, file, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        self._ready = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready and not self._ended:
            chunk = self._file.read(_CHUNK_BYTES)
            self._ended = not chunk
            try:
                text = self._decoder.decode(chunk, final=self._ended)
            except UnicodeDecodeError as error:  # an encoding of which half a character may be left
                raise InputError.in_file(
                    self._path, f"not of the encoding {self._encoding}: {error.reason}"
                ) from error
            self._ready = text.encode("utf-8", "surrogateescape")
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count


def _refuse_other_encoding(path: str, start: bytes) -> None:
    """Refuse a text file most of whose first lines are not UTF-8, with the key to set."""
    if wide := _wide(start):  # with a mark it was refused already
        raise InputError.in_file(path, f'not UTF-8; it looks like {wide}: set encoding = "{wide}"')
    lines = start.split(b"\n")
    if len(lines) > 1:  # the last may be cut in the middle of a character
        lines = lines[:-1]
    foreign = [line for line in lines if not line.isascii()]
    broken = [line for line in foreign if _decoded(line, "utf-8") is None]
    if len(broken) < _FEWEST_LINES or len(broken) < len(foreign) or 2 * len(broken) < len(lines):
        return
    if all(_decoded(line, "gb18030") is not None for line in broken) and _in_pairs(b"".join(broken)):
        others = [
            f'"{name}"' for name in _LIKE_GB18030 if all(_decoded(line, name) is not None for line in broken)
        ]
        also = f"; {' and '.join(others)} would fit, too, if it is that" if others else ""
        raise InputError.in_file(path, f'not UTF-8; it looks like GB18030: set encoding = "gb18030"{also}')
    raise InputError.in_file(path, 'not UTF-8; set encoding, such as encoding = "cp1252", to what it is')


def is_wide(start: bytes) -> bool:
    """Whether a file that begins so is text of several bytes a character, UTF-16 or UTF-32."""
    return start.startswith(_WIDE_MARKS) or _wide(start) is not None


def _wide(start: bytes) -> str | None:
    """The encoding of several bytes a character, without a mark, of which the first two characters are."""
    for form, name in _WIDE.items():
        if tuple(map(bool, start[: 2 * len(form)])) == 2 * form:
            return name
    return None


def _refuse_other_lines(path: str, start: bytes) -> None:
    """Refuse a text file whose lines end as those of old Macintosh programs do: it would be a single one."""
    if b"\r" in start.rstrip() and b"\n" not in start:
        raise InputError.in_file(
            path, "its lines end in CR alone, as old Macintosh programs write; write them with LF or CRLF"
        )


def _in_pairs(data: bytes) -> bool:
    """Whether bytes above ASCII stand together, as those of Chinese do; European letters stand alone."""
    runs = re.findall(rb"[\x80-\xff]+", data)
    return sum(len(run) for run in runs if len(run) > 1) >= 0.8 * sum(map(len, runs))


def _decoded(line: bytes, encoding: str) -> str | None:
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return None


class TextLines:
    """The lines of a text file: one by one (see ``is_cut``), or many of them as one block of bytes."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._returned = io.BytesIO()
        self.position = 0
        """Bytes that were passed so far."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        line = self._readline()
        if not line:
            raise StopIteration
        self.position += len(line)
        rest = line
        while is_cut(rest):
            rest = self._readline()
            self.position += len(rest)
        return line

    def _readline(self) -> bytes:
        line = self._returned.readline(LINE_BYTES)
        if line.endswith(b"\n") or len(line) == LINE_BYTES:
            return line
        more: bytes = self._file.readline(LINE_BYTES - len(line))
        return line + more

    def block(self, size: int) -> bytes:
        """The next lines, of about ``size`` bytes together; empty at the end of the file.

        The last of them is unfinished where it is longer than ``LINE_BYTES``.
        """
        block: bytes = self._returned.read(size) or self._file.read(size)
        if not block.endswith(b"\n"):
            block += self._readline()
        self.position += len(block)
        return block

    def give_back(self, lines: bytes) -> None:
        """Give these lines, which were given last, once more."""
        self.position -= len(lines)
        place = self._returned.tell()
        if len(lines) <= place < self._returned.getbuffer().nbytes:  # they came from there
            self._returned.seek(place - len(lines))
        else:
            self._returned = io.BytesIO(lines + self._returned.read())


def is_cut(line: bytes) -> bool:
    """Whether a line of ``text_lines`` is the beginning of one that is longer than ``LINE_BYTES``."""
    return len(line) == LINE_BYTES and not line.endswith(b"\n")


def refuse_other_format(path: str, start: bytes) -> None:
    """Refuse a file that begins as one of another format than its name says.

    Raises:
        InputError: with the format that it looks like.
    """
    for magic, what in _MAGIC.items():
        if start.startswith(magic):
            raise InputError.in_file(path, f"looks like {what}, not like {format_of(path)} as its name says")


def first_line(error: Exception) -> str:
    """The first line of an error's message; Arrow's go on over many."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
