"""Files of texts: read row by row, with every unreadable row reported and none of them fatal."""

import codecs
import csv
import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pingti.corpus import parquet
from pingti.corpus.formats import (
    LINE_BYTES,
    first_line,
    format_of,
    is_cut,
    parquet_file,
    readable_parquet,
    text_lines,
)
from pingti.corpus.values import microseconds, string
from pingti.errors import InputError

_LONGEST_FIELD = 1 << 26  # characters: a quote that is never closed must not swallow a whole file in silence
_TOO_LONG = f"a line is longer than {LINE_BYTES:,} bytes"
_PART = 512  # rows of a Parquet file that are read one by one when one of them is bad


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns (or JSON fields) of a file are what."""

    text: str = "text"
    id: str | None = None
    """The row's number stands for it where absent."""
    time: str | None = None
    """Not read where absent."""


@dataclass(frozen=True, kw_only=True)
class BadRow:
    """A row that could not be read, and why."""

    file: str
    row: int
    """Number of the data row in its file, from 0; a header does not count."""
    id: str | None
    reason: str


Row = tuple[int, str, str, int]
"""Number, id, text, time in microseconds since 1970 (UTC; 0 where no time column is read)."""

OnBadRow = Callable[[BadRow], None]


def schema(columns: Columns) -> pa.Schema:
    """Schema of the batches that ``read_rows`` yields."""
    fields = [("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string())]
    if columns.time is not None:
        fields.append(("time", pa.timestamp("us", "UTC")))
    return pa.schema(fields)


def expand(pattern: str, base: Path) -> list[str]:
    """The files that a path, pattern or URL names, in order of their names.

    Raises:
        InputError: there is none.
    """
    if "://" in pattern:
        filesystem, path = fsspec.core.url_to_fs(pattern)
        paths = [filesystem.unstrip_protocol(name) for name in sorted(filesystem.glob(path))]
    else:
        # A file of that very name first: its name may hold characters that mean something in a pattern.
        names = [pattern]
        if not (base / pattern).is_file():  # not Path.glob: the pattern may be absolute
            names = glob.glob(pattern, root_dir=base, recursive=True)  # noqa: PTH207
        paths = sorted(str(base / name) for name in names if (base / name).is_file())
    if not paths:
        raise InputError.in_file(pattern, f"no such file (looked from {base})")
    return paths


def expand_all(patterns: Iterable[str], base: Path) -> list[str]:
    """The files that several patterns name, as ``expand``; a file that two of them name comes once."""
    by_real_path: dict[str, str] = {}
    for path in (path for pattern in patterns for path in expand(pattern, base)):
        by_real_path.setdefault(path if "://" in path else os.path.realpath(path), path)
    return list(by_real_path.values())


def check_input(path: str, columns: Columns) -> None:
    """Open a file, and check its format and that it has the columns.

    Raises:
        InputError: the file is missing, empty, of another format, or lacks a column.
    """
    if format_of(path) == ".parquet":
        with parquet_file(path) as file:
            _check_columns(path, file.schema_arrow.names, columns)
        return
    with text_lines(path) as lines:
        if format_of(path) == ".jsonl":
            for line in lines:
                fields = _json_object(line)
                if fields is not None:
                    _check_columns(path, list(fields), columns)
                    return
                if is_cut(line):
                    raise InputError.in_file(path, _TOO_LONG)
            raise InputError.in_file(path, "no line of it is a JSON object; one object a line is needed")
        _header(path, _Decoded(path, lines), columns)


def read_rows(
    path: str,
    columns: Columns,
    on_bad_row: OnBadRow,
    *,
    batch_rows: int = 16_384,
    groups: range | None = None,
) -> Iterator[pa.RecordBatch]:
    """Batches of row number, id, text and (where asked for) time; see ``schema``.

    Reads Parquet, JSONL, CSV and TSV (by the file's name), the last three also with ``.gz``. A row with a
    missing or wrong field, or with bytes that are not UTF-8, goes to ``on_bad_row``; all others come out,
    in order. Memory is bounded: a batch has at most ``batch_rows`` rows, fewer where their texts are long;
    a text above ``LINE_BYTES`` is a bad row. ``groups``: only these row groups of a Parquet file.

    Raises:
        InputError: as ``check_input``; or the file ends in the middle of its compressed data.
    """
    kind = format_of(path)
    if kind == ".parquet":
        yield from _parquet_batches(path, columns, on_bad_row, batch_rows, groups)
        return
    rows = (_jsonl_rows if kind == ".jsonl" else _csv_rows)(path, columns, on_bad_row)
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row[2])
        if len(batch) == batch_rows or 4 * size >= parquet.BATCH_BYTES:  # a character has up to four bytes
            yield _batch(batch, columns)
            batch, size = [], 0
    if batch:
        yield _batch(batch, columns)


def _batch(rows: list[Row], columns: Columns) -> pa.RecordBatch:
    wanted = schema(columns)
    return pa.record_batch(
        [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), wanted, strict=False)
        ],
        schema=wanted,
    )


def _check_columns(path: str, names: list[str], columns: Columns) -> None:
    for name in (columns.text, columns.id, columns.time):
        if name is not None and name not in names:
            raise InputError.in_file(path, f"no column {name!r}; there are {', '.join(map(repr, names))}")
        if name is not None and names.count(name) > 1:
            raise InputError.in_file(path, f"{names.count(name)} columns are named {name!r}; one is needed")


def _parquet_batches(
    path: str, columns: Columns, on_bad_row: OnBadRow, batch_rows: int, groups: range | None
) -> Iterator[pa.RecordBatch]:
    names = [name for name in (columns.text, columns.id, columns.time) if name is not None]
    with parquet_file(path) as file:
        _check_columns(path, file.schema_arrow.names, columns)
        groups = range(file.metadata.num_row_groups) if groups is None else groups
        first = sum(file.metadata.row_group(group).num_rows for group in range(groups.start if groups else 0))
        batches = parquet.bounded_batches(path, file, list(dict.fromkeys(names)), batch_rows, groups)
        while True:
            with readable_parquet(path):
                batch = next(batches, None)
            if batch is None:
                return
            values = [batch.column(name) for name in names]
            yield from _converted(path, columns, values, first, on_bad_row)
            first += len(batch)


def _converted(
    path: str, columns: Columns, values: list[pa.Array], first: int, on_bad_row: OnBadRow
) -> Iterator[pa.RecordBatch]:
    """The good rows of one batch of a Parquet file, whose first row is the file's row ``first``."""

    def read(index: int) -> Row | None:
        row = iter([parquet.python_value(column[index]) for column in values])
        text = next(row)
        identity = next(row) if columns.id is not None else None
        time = next(row) if columns.time is not None else None
        return _row(path, first + index, columns, identity, text, time, on_bad_row)

    null = np.zeros(len(values[0]), np.bool_)
    for column in values:
        null |= column.is_null().to_numpy(zero_copy_only=False)
    for index in np.flatnonzero(null).tolist():
        read(index)
    wanted = schema(columns)
    identified = columns.id is not None
    rows = np.flatnonzero(~null)
    whole = _short(parquet.convert(values, rows, first, wanted, identified=identified))
    if whole is not None:
        if len(whole):
            yield whole
        return
    # One of them at least is bad, or of a type that needs a look: those are looked for in parts.
    for start in range(0, len(rows), _PART):
        part = rows[start : start + _PART]
        converted = _short(parquet.convert(values, part, first, wanted, identified=identified))
        if converted is None:
            good = [row for row in map(read, part.tolist()) if row is not None]
            converted = _batch(good, columns) if good else None
        if converted is not None:
            yield converted


def _short(batch: pa.RecordBatch | None) -> pa.RecordBatch | None:
    """The batch, or None where a text of it is too long."""
    if batch is None or batch.nbytes <= LINE_BYTES:
        return batch
    longest: int = pc.max(pc.binary_length(batch["text"])).as_py() or 0
    return batch if longest <= LINE_BYTES else None


def _jsonl_rows(path: str, columns: Columns, on_bad_row: OnBadRow) -> Iterator[Row]:
    with text_lines(path) as lines:
        number = -1
        for line in lines:
            if not line.strip():
                continue
            number += 1
            fields = _json_object(line)
            if fields is None:
                on_bad_row(BadRow(file=path, row=number, id=None, reason=_json_problem(line)))
                continue
            identity = fields.get(columns.id) if columns.id else None
            time = fields.get(columns.time) if columns.time else None
            row = _row(path, number, columns, identity, fields.get(columns.text), time, on_bad_row)
            if row is not None:
                yield row


def _json_object(line: bytes) -> dict[str, Any] | None:
    if is_cut(line):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return value if isinstance(value, dict) else None


def _json_problem(line: bytes) -> str:
    if is_cut(line):
        return _TOO_LONG
    try:
        json.loads(line)
    except UnicodeDecodeError:
        return "the line is not UTF-8"
    except (ValueError, RecursionError) as error:
        return f"the line is not JSON: {first_line(error)}"
    return "the line is not a JSON object"


def _csv_rows(path: str, columns: Columns, on_bad_row: OnBadRow) -> Iterator[Row]:
    with text_lines(path) as raw:
        lines = _Decoded(path, raw)
        reader, header = _header(path, lines, columns)
        text_at = header.index(columns.text)
        id_at = header.index(columns.id) if columns.id else None
        time_at = header.index(columns.time) if columns.time else None
        number = -1
        while True:
            before = reader.line_num
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                on_bad_row(BadRow(file=path, row=number, id=None, reason=f"not readable as CSV: {error}"))
                continue
            if not fields:  # an empty line
                continue
            number += 1
            if lines.ended:  # the reader asks for a further line only inside quotes
                taken = reader.line_num - before
                reason = f"a quote in it is never closed; {taken} lines to the end of the file belong to it"
                on_bad_row(BadRow(file=path, row=number, id=None, reason=reason))
                continue
            if len(fields) != len(header):
                reason = f"{len(fields)} fields; the header has {len(header)}"
                on_bad_row(BadRow(file=path, row=number, id=None, reason=reason))
                continue
            identity = fields[id_at] if id_at is not None else None
            time = fields[time_at] if time_at is not None else None
            row = _row(path, number, columns, identity, fields[text_at], time, on_bad_row)
            if row is not None:
                yield row


class _Decoded:
    """Lines as strings, without a byte order mark; bytes that are not UTF-8 stay recognisable."""

    def __init__(self, path: str, lines: Iterator[bytes]) -> None:
        self._path, self._lines = path, lines
        self._first = True
        self.ended = False
        """Whether a line was asked for behind the last."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        if is_cut(line):  # of what follows nobody can say where a row starts
            raise InputError.in_file(self._path, _TOO_LONG)
        if self._first:
            self._first, line = False, line.removeprefix(codecs.BOM_UTF8)
        return line.decode("utf-8", "surrogateescape")


def _header(path: str, lines: _Decoded, columns: Columns) -> tuple[Any, list[str]]:
    """A reader behind the header, and the header."""
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(lines, delimiter="\t" if format_of(path) == ".tsv" else ",")
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise InputError.in_file(path, f"its header is not readable: {error}") from error
    _check_columns(path, header, columns)
    return reader, header


def _row(
    path: str, number: int, columns: Columns, identity: Any, text: Any, time: Any, on_bad_row: OnBadRow
) -> Row | None:
    """The row, or None and a report."""
    name: str | None = str(number)
    try:
        if columns.id is not None:
            name = None
            name = string(columns.id, identity if not isinstance(identity, int) else str(identity))
        checked = string(columns.text, text)
        if 4 * len(checked) > LINE_BYTES and len(checked.encode()) > LINE_BYTES:
            raise ValueError(f"field {columns.text!r} is longer than {LINE_BYTES:,} bytes")
        return number, str(name), checked, microseconds(columns.time, time) if columns.time else 0
    except ValueError as error:
        on_bad_row(BadRow(file=path, row=number, id=name, reason=str(error)))
        return None
