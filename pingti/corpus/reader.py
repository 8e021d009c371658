"""Files of texts: read row by row, with every unreadable row reported and none of them fatal."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pingti.corpus import json_lines, parquet
from pingti.corpus.blocks.delimited import delimited_batches
from pingti.corpus.blocks.jsonl import jsonl_batches
from pingti.corpus.blocks.rows import Row, batch_of, row_of, schema, sized
from pingti.corpus.columns import BadRow, Columns, OnBadRow, check_columns
from pingti.corpus.delimited import Table
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
from pingti.corpus.kept import Along, carried_types
from pingti.corpus.paths import expand, expand_all, folder_values
from pingti.errors import InputError

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
_PART = 512  # rows of a Parquet file that are read one by one when one of them is bad


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
    read = jsonl_batches if kind == ".jsonl" else delimited_batches
    with text_lines(path, columns.encoding) as lines:
        yield from sized(read(path, lines, columns, on_bad_row), batch_rows, parquet.BATCH_BYTES)


def _parquet_batches(
    path: str, columns: Columns, on_bad_row: OnBadRow, batch_rows: int, groups: range | None
) -> Iterator[pa.RecordBatch]:
    with parquet_file(path) as file:
        partitions = parquet.partitions(path, file, columns)
        check_columns(path, [*file.schema_arrow.names, *partitions], columns)
        carried = carried_types(columns)
        in_folders = folder_values(path)
        names = [name for name in columns.names if name not in partitions]
        names += [name for name in carried.names if name in file.schema_arrow.names]
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
            unpacked += sum(parquet.string_bytes(column) for column in batch.columns)
            if unpacked > most:
                raise InputError.in_file(path, f"{TOO_PACKED}; write each text out, as JSONL does")
            along = {
                field.name: batch.column(field.name)
                if field.name in names
                else pa.array([in_folders[field.name]] * len(batch), pa.string())
                for field in carried
            }
            try:
                taken_along = Along(along, carried)
            except InputError as error:
                raise InputError.in_file(path, str(error)) from error
            yield from _converted(path, columns, values, taken_along, first, on_bad_row)
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
    path: str,
    columns: Columns,
    values: list[pa.Array],
    along: Along,
    first: int,
    on_bad_row: OnBadRow,
) -> Iterator[pa.RecordBatch]:
    """The good rows of one batch of a Parquet file, whose first row is the file's row ``first``."""
    bare = replace(columns, carried=None)

    def read(index: int) -> Row | None:
        text = parquet.python_value(values[0][index])
        identity = parquet.identity_value(values[1].slice(index, 1)) if columns.id is not None else None
        time = parquet.python_value(values[-1][index]) if columns.time is not None else None
        return row_of(
            path, first + index, bare, identity, text, time, on_bad_row, along.broken.get(index, {})
        )

    null = np.zeros(len(values[0]), np.bool_)
    null[list(along.broken)] = True
    for column in values:
        null |= column.is_null().to_numpy(zero_copy_only=False)
    for index in np.flatnonzero(null).tolist():
        read(index)
    wanted = schema(bare)
    how = {
        "identified": columns.id is not None,
        "plain_times": columns.time_format is None and columns.time_unit is None,
    }
    rows = np.flatnonzero(~null)
    whole = _short(parquet.convert(values, rows, first, wanted, **how))
    if whole is not None:
        if len(whole):
            yield along.with_rows(whole, first)
        return
    # One of them at least is bad, or of a type that needs a look: those are looked for in parts.
    for start in range(0, len(rows), _PART):
        part = rows[start : start + _PART]
        converted = _short(parquet.convert(values, part, first, wanted, **how))
        if converted is None:
            good = [row for row in map(read, part.tolist()) if row is not None]
            converted = batch_of(good, bare) if good else None
        if converted is not None:
            yield along.with_rows(converted, first)


def _short(batch: pa.RecordBatch | None) -> pa.RecordBatch | None:
    """The batch, or None where a text of it is too long."""
    if batch is None or batch.nbytes <= LINE_BYTES:
        return batch
    longest: int = pc.max(pc.binary_length(batch["text"])).as_py() or 0
    return batch if longest <= LINE_BYTES else None
