"""Files of rows whose fields are read as they stand: a number in a CSV file stays what is written there.

What ``reader`` is for texts, this is for files of anything else beside a text, such as a model's answers.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pingti.corpus import json_lines, parquet
from pingti.corpus.columns import BadRow, Columns, OnBadRow
from pingti.corpus.delimited import Faulty, Table
from pingti.corpus.formats import format_of, parquet_file, readable_parquet, text_lines
from pingti.corpus.paths import folder_values

_LOOKED_AT = 1000  # lines of JSONL, whose objects may leave out what they have not
_BATCH_ROWS = 16_384


@dataclass(frozen=True, kw_only=True)
class Look:
    """What the beginning of a file shows."""

    names: tuple[str, ...]
    """Of its fields; of JSONL those of the first thousand lines."""
    notices: tuple[str, ...] = ()
    """What is otherwise than the file's name says, a sentence each."""


def look_at(path: str, columns: Columns) -> Look:
    """Look at the beginning of a file.

    Args:
        path: of the file.
        columns: how it is written; a CSV or TSV file must have its ``text``.

    Raises:
        InputError: the file cannot be opened, or is of no format that is read.
    """
    partitions = tuple(folder_values(path))
    if format_of(path) == ".parquet":
        with parquet_file(path) as file:
            return Look(names=(*file.schema_arrow.names, *partitions))
    with text_lines(path, columns.encoding) as lines:
        if format_of(path) != ".jsonl":
            table = Table.open(path, lines, columns)
            return Look(names=(*table.header, *partitions), notices=table.layout.notices)
        objects = (json_lines.json_object(line) for line in itertools.islice(lines, _LOOKED_AT))
        names = dict.fromkeys(name for record in objects for name in record or ())
        return Look(names=(*names, *partitions))


def read_fields(
    path: str, names: Sequence[str], columns: Columns, on_bad_row: OnBadRow
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file: the number of each, from 0, and its fields of these names, as far as it has them.

    In CSV and TSV every value is a string, in Parquet a string may be bytes, and a time is an ``Instant``.

    Args:
        path: of the file.
        names: of the fields.
        columns: as of ``look_at``; its ``id`` is one that a Parquet file may have as UUID and the like.
        on_bad_row: is told of each row that cannot be read.

    Raises:
        InputError: as of ``look_at``; or the file is damaged.
    """
    constant = {name: value for name, value in folder_values(path).items() if name in names}
    read = {".parquet": _of_parquet, ".jsonl": _of_jsonl}.get(format_of(path), _of_delimited)
    for number, fields in read(path, names, columns, on_bad_row):
        yield number, {**constant, **fields}


_Rows = Iterator[tuple[int, dict[str, Any]]]


def _of_delimited(path: str, names: Sequence[str], columns: Columns, on_bad_row: OnBadRow) -> _Rows:
    with text_lines(path, columns.encoding) as lines:
        table = Table.open(path, lines, columns)
        places = {name: table.header.index(name) for name in names if name in table.header}
        records = (record for record in table.records() if record is not None)
        for number, record in enumerate(records):
            if isinstance(record, Faulty):
                on_bad_row(BadRow(file=path, row=number, id=None, reason=record.reason))
            elif len(record) != len(table.header):
                reason = f"{len(record)} fields; the header has {len(table.header)}"
                on_bad_row(BadRow(file=path, row=number, id=None, reason=reason))
            else:
                yield number, {name: record[place] for name, place in places.items()}


def _of_jsonl(path: str, names: Sequence[str], columns: Columns, on_bad_row: OnBadRow) -> _Rows:
    with text_lines(path, columns.encoding) as lines:
        for number, line in enumerate(line for line in lines if line.strip()):
            record = json_lines.json_object(line)
            if record is None:
                on_bad_row(BadRow(file=path, row=number, id=None, reason=json_lines.json_problem(line)))
            else:
                yield number, {name: record[name] for name in names if name in record}


def _of_parquet(path: str, names: Sequence[str], columns: Columns, _: OnBadRow) -> _Rows:
    with parquet_file(path) as file:
        own = [name for name in dict.fromkeys(names) if name in file.schema_arrow.names]
        batches = file.iter_batches(_BATCH_ROWS, columns=own)
        first = 0
        while True:
            with readable_parquet(path):
                batch = next(batches, None)
            if batch is None:
                return
            values = [_values(batch.column(name), name == columns.id) for name in own]
            for number, row in enumerate(zip(*values, strict=True), first):
                yield number, dict(zip(own, row, strict=True))
            first += len(batch)


def _values(column: pa.Array, is_id: bool) -> list[Any]:
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        values: list[Any] = column.to_pylist()
        return values
    if is_id:
        return [parquet.identity_value(column.slice(row, 1)) for row in range(len(column))]
    return [parquet.python_value(value) for value in column]
