"""Rows and the batches that are made of them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from pingti.corpus.columns import BadRow, Columns, OnBadRow
from pingti.corpus.formats import LINE_BYTES
from pingti.corpus.kept import carried_fields
from pingti.corpus.values import microseconds, spelled, string

Row = tuple[Any, ...]
"""Number, id, text, time in microseconds since 1970 (UTC; 0 where no time column is read), what is kept."""
_BEFORE_KEPT = 4


def schema(columns: Columns) -> pa.Schema:
    """Schema of the batches that ``read_rows`` yields."""
    fields = [("row", pa.int64()), ("id", pa.string()), ("text", pa.large_string())]
    if columns.time is not None:
        fields.append(("time", pa.timestamp("us", "UTC")))
    return pa.schema([*fields, *carried_fields(columns)])


def batch_of(rows: Sequence[Row], columns: Columns) -> pa.RecordBatch:
    """The rows as a batch of ``schema``."""
    wanted = schema(columns)
    if not rows:
        return pa.RecordBatch.from_pylist([], schema=wanted)
    values = list(zip(*rows, strict=True))
    if columns.time is None:
        del values[_BEFORE_KEPT - 1]
    arrays = [pa.array(some, field.type) for some, field in zip(values, wanted, strict=False)]
    return pa.record_batch(arrays, schema=wanted)


def row_of(
    path: str,
    number: int,
    columns: Columns,
    identity: Any,
    text: Any,
    time: Any,
    on_bad_row: OnBadRow,
    kept: Mapping[str, Any] = MappingProxyType({}),
) -> Row | None:
    """The row of these values, or None and a report.

    Args:
        path: of the file.
        number: of the row in it.
        columns: which the values are of.
        identity: the id; not looked at where there is no column of it.
        text: the text.
        time: as ``identity``.
        on_bad_row: is told of a row that is none.
        kept: what goes along, by the columns' names.
    """
    name: str | None = str(number)
    try:
        if columns.id is not None:
            name = None
            name = string(columns.id, spelled(columns.id, identity))
        checked = string(columns.text, text)
        if 4 * len(checked) > LINE_BYTES and len(checked.encode()) > LINE_BYTES:
            raise ValueError(f"field {columns.text!r} is longer than {LINE_BYTES:,} bytes")
        along = [None if value is None else string(key, value) for key, value in kept.items()]
        if columns.time is None:
            return number, str(name), checked, 0, *along
        form, unit = columns.time_format, columns.time_unit
        return number, str(name), checked, microseconds(columns.time, time, form, unit), *along
    except ValueError as error:
        on_bad_row(BadRow(file=path, row=number, id=name, reason=str(error)))
        return None


def with_kept(
    numbers: pa.Array, ids: pa.Array, texts: pa.Array, kept: Sequence[pa.Array], columns: Columns
) -> pa.RecordBatch:
    """Good rows as a batch of ``schema``, where no time is read.

    Args:
        numbers: of the rows.
        ids: of any type that has a text.
        texts: strings.
        kept: what goes along, of any type that has a text.
        columns: that are read.
    """
    wanted = schema(columns)
    arrays = [numbers, ids, texts, *kept]
    return pa.record_batch(
        [array.cast(field.type) for array, field in zip(arrays, wanted, strict=True)], schema=wanted
    )


def sized(pieces: Iterable[pa.RecordBatch], most_rows: int, most_bytes: int) -> Iterator[pa.RecordBatch]:
    """The rows of batches in others, all of ``most_rows`` but the last, or of fewer where they are long.

    An empty batch lets out what there is so far; an empty one, too, where none came since the last of them.
    """
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    quiet = True
    for piece in pieces:
        rest = piece
        fits = max(1, len(piece) * most_bytes // max(1, piece.nbytes))
        while len(rest):
            wanted = min(fits, most_rows - rows)
            taken, rest = rest.slice(0, wanted), rest.slice(wanted)
            pending.append(taken)
            rows, size = rows + len(taken), size + taken.nbytes
            if rows == most_rows or size >= most_bytes:
                yield pa.concat_batches(pending)
                pending, rows, size, quiet = [], 0, 0, False
        if not len(piece):
            if pending or quiet:
                yield pa.concat_batches([*pending, piece])
            pending, rows, size, quiet = [], 0, 0, True
    if pending:
        yield pa.concat_batches(pending)
