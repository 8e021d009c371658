"""Files of texts: read row by row, with every unreadable row reported and none of them fatal."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pingti.corpus import json_lines, parquet
from pingti.corpus.columns import BadRow, Columns, OnBadRow, check_columns
from pingti.corpus.delimited import Faulty, Table
from pingti.corpus.formats import (
    LINE_BYTES,
    TOO_PACKED,
    format_of,
    most_unpacked,
    parquet_file,
    readable_parquet,
    size_of,
    text_lines,
)
from pingti.corpus.paths import expand, expand_all
from pingti.corpus.values import microseconds, spelled, string
from pingti.errors import InputError

_log = logging.getLogger(__name__)
__all__ = [
    "BadRow",
    "Columns",
    "OnBadRow",
    "check_input",
    "expand",
    "expand_all",
    "read_rows",
    "schema",
]
_PASSED_BYTES = 16 << 20  # of a text file, after which a batch comes even if there is no row in it
_LINE_COST = 64  # bytes that could be read in the time that a line costs, however short it is
_PART = 512  # rows of a Parquet file that are read one by one when one of them is bad


Row = tuple[int, str, str, int]
"""Number, id, text, time in microseconds since 1970 (UTC; 0 where no time column is read)."""


def schema(columns: Columns) -> pa.Schema:
    """Schema of the batches that ``read_rows`` yields."""
    fields = [("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string())]
    if columns.time is not None:
        fields.append(("time", pa.timestamp("us", "UTC")))
    return pa.schema(fields)


def check_input(path: str, columns: Columns) -> tuple[str, ...]:
    """Open a file, and check its format and that it has the columns.

    Returns:
        What is otherwise than the file's name says and was seen by its first lines, a sentence each.

    Raises:
        InputError: the file is missing, empty, of another format, or lacks a column.
    """
    if format_of(path) == ".parquet":
        with parquet_file(path) as file:
            check_columns(path, [*file.schema_arrow.names, *parquet.partitions(path, file, columns)], columns)
            _refuse_packed(path, file, columns)
        return ()
    with text_lines(path, columns.encoding) as lines:
        if format_of(path) == ".jsonl":
            check_columns(path, list(json_lines.first_object(path, lines)), columns)
            return ()
        return Table.open(path, lines, columns).layout.notices


def column_names(path: str, columns: Columns) -> list[str]:
    """The columns that a file has, in its order, by its header; of JSONL, the first object's fields.

    Args:
        path: of the file.
        columns: how a text file is laid out; the names in it are not looked for.

    Raises:
        InputError: the file is missing, empty or of another format, or its header is not readable.
    """
    if format_of(path) == ".parquet":
        with parquet_file(path) as file:
            return list(file.schema_arrow.names)
    with text_lines(path, columns.encoding) as lines:
        if format_of(path) == ".jsonl":
            return list(json_lines.first_object(path, lines))
        return Table.with_header(path, lines, columns).header


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
    in order. Memory is bounded, and so is the time to the next batch, whatever the file holds: a batch of
    a text file may have no row at all. A batch has at most ``batch_rows`` rows, fewer where their texts are
    long; a text above ``LINE_BYTES`` is a bad row. ``groups``: only these row groups of a Parquet file.

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
        if row is None:
            yield _batch(batch, columns)  # an empty one, too: who reads looks up meanwhile
            batch, size = [], 0
            continue
        batch.append(row)
        size += len(row[2])
        if len(batch) == batch_rows or 4 * size >= parquet.BATCH_BYTES:  # a character has up to four bytes
            yield _batch(batch, columns)
            batch, size = [], 0
    if batch:
        yield _batch(batch, columns)


def _batch(rows: list[Row], columns: Columns) -> pa.RecordBatch:
    wanted = schema(columns)
    if not rows:
        return pa.RecordBatch.from_pylist([], schema=wanted)
    return pa.record_batch(
        [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), wanted, strict=False)
        ],
        schema=wanted,
    )


def _parquet_batches(
    path: str, columns: Columns, on_bad_row: OnBadRow, batch_rows: int, groups: range | None
) -> Iterator[pa.RecordBatch]:
    with parquet_file(path) as file:
        partitions = parquet.partitions(path, file, columns)
        check_columns(path, [*file.schema_arrow.names, *partitions], columns)
        names = [name for name in columns.names if name not in partitions]
        groups = range(file.metadata.num_row_groups) if groups is None else groups
        first = sum(file.metadata.row_group(group).num_rows for group in range(groups.start if groups else 0))
        batches = parquet.bounded_batches(path, file, list(dict.fromkeys(names)), batch_rows, groups)
        last = first + sum(file.metadata.row_group(group).num_rows for group in groups)
        unpacked, most = 0, most_unpacked(size_of(path))
        while True:
            with readable_parquet(path):
                batch = next(batches, None)
            if batch is None:
                break
            values = [
                pa.repeat(partitions[name], len(batch)) if name in partitions else batch.column(name)
                for name in columns.names
            ]
            unpacked += sum(parquet.string_bytes(batch.column(name)) for name in names)
            if unpacked > most:
                raise InputError.in_file(path, f"{TOO_PACKED}; write each text out, as JSONL does")
            yield from _converted(path, columns, values, first, on_bad_row)
            first += len(batch)
        if first != last:
            raise InputError.in_file(
                path, f"not a readable Parquet file: {last:,} rows are named in it, {first:,} came"
            )


def _refuse_packed(path: str, file: pq.ParquetFile, columns: Columns) -> None:
    """Refuse a file of which many rows share long values, before any of them is unpacked."""
    size = size_of(path)
    if 2 * file.metadata.num_rows < size:  # such a file takes less of a row; others show while they are read
        return
    most = most_unpacked(size)
    with readable_parquet(path):
        unpacked = parquet.unpacked_bytes(path, file, columns.names, most)
    if unpacked > most:
        raise InputError.in_file(path, f"{TOO_PACKED}; write each text out, as JSONL does, if it is right")


def _converted(
    path: str, columns: Columns, values: list[pa.Array], first: int, on_bad_row: OnBadRow
) -> Iterator[pa.RecordBatch]:
    """The good rows of one batch of a Parquet file, whose first row is the file's row ``first``."""

    def read(index: int) -> Row | None:
        text = parquet.python_value(values[0][index])
        identity = parquet.identity_value(values[1].slice(index, 1)) if columns.id is not None else None
        time = parquet.python_value(values[-1][index]) if columns.time is not None else None
        return _row(path, first + index, columns, identity, text, time, on_bad_row)

    null = np.zeros(len(values[0]), np.bool_)
    for column in values:
        null |= column.is_null().to_numpy(zero_copy_only=False)
    for index in np.flatnonzero(null).tolist():
        read(index)
    wanted = schema(columns)
    how = {
        "identified": columns.id is not None,
        "plain_times": columns.time_format is None and columns.time_unit is None,
    }
    rows = np.flatnonzero(~null)
    whole = _short(parquet.convert(values, rows, first, wanted, **how))
    if whole is not None:
        if len(whole):
            yield whole
        return
    # One of them at least is bad, or of a type that needs a look: those are looked for in parts.
    for start in range(0, len(rows), _PART):
        part = rows[start : start + _PART]
        converted = _short(parquet.convert(values, part, first, wanted, **how))
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


def _jsonl_rows(path: str, columns: Columns, on_bad_row: OnBadRow) -> Iterator[Row | None]:
    """The rows of a file, and None after every few megabytes: much may lie between two rows."""
    with text_lines(path, columns.encoding) as lines:
        number, passed = -1, 0
        for line in lines:
            passed += _LINE_COST + len(line)
            if passed >= _PASSED_BYTES:
                passed = 0
                yield None
            if not line.strip():
                continue
            number += 1
            fields = json_lines.json_object(line)
            if fields is None:
                on_bad_row(BadRow(file=path, row=number, id=None, reason=json_lines.json_problem(line)))
                continue
            identity = fields.get(columns.id) if columns.id else None
            if isinstance(identity, float) and columns.id:
                identity = json_lines.exactly(line, columns.id)
            time = fields.get(columns.time) if columns.time else None
            row = _row(path, number, columns, identity, fields.get(columns.text), time, on_bad_row)
            if row is not None:
                yield row


def _csv_rows(path: str, columns: Columns, on_bad_row: OnBadRow) -> Iterator[Row | None]:
    """As ``_jsonl_rows``."""
    with text_lines(path, columns.encoding) as raw:
        table = Table.open(path, raw, columns)
        for notice in table.layout.notices:
            _log.info("%s: %s", path, notice)
        header = table.header
        text_at = header.index(columns.text)
        id_at = header.index(columns.id) if columns.id else None
        time_at = header.index(columns.time) if columns.time else None
        number = -1
        for fields in table.records():
            if fields is None:
                yield None
                continue
            number += 1
            if isinstance(fields, Faulty):
                on_bad_row(BadRow(file=path, row=number, id=None, reason=fields.reason))
                continue
            if reason := table.misfit(fields):
                on_bad_row(BadRow(file=path, row=number, id=None, reason=reason))
                continue
            identity = fields[id_at] if id_at is not None else None
            time = fields[time_at] if time_at is not None else None
            row = _row(path, number, columns, identity, fields[text_at], time, on_bad_row)
            if row is not None:
                yield row


def _row(
    path: str, number: int, columns: Columns, identity: Any, text: Any, time: Any, on_bad_row: OnBadRow
) -> Row | None:
    """The row, or None and a report."""
    name: str | None = str(number)
    try:
        if columns.id is not None:
            name = None
            name = string(columns.id, spelled(columns.id, identity))
        checked = string(columns.text, text)
        if 4 * len(checked) > LINE_BYTES and len(checked.encode()) > LINE_BYTES:
            raise ValueError(f"field {columns.text!r} is longer than {LINE_BYTES:,} bytes")
        if columns.time is None:
            return number, str(name), checked, 0
        form, unit = columns.time_format, columns.time_unit
        return number, str(name), checked, microseconds(columns.time, time, form, unit)
    except ValueError as error:
        on_bad_row(BadRow(file=path, row=number, id=name, reason=str(error)))
        return None
