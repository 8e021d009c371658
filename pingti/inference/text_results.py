"""Results as lines of text, JSON or CSV, a batch at a time."""

import io
import json
from json.encoder import encode_basestring
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv


def json_lines(batch: pa.RecordBatch) -> bytes:
    """An object a row.

    Numbers are numbers, but for decimals, which stay exact as text; times are text as ISO 8601 writes them.
    """
    if not batch.num_rows:
        return b""
    pieces: list[Any] = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        pieces += [f"{', ' if pieces else '{'}{json.dumps(name, ensure_ascii=False)}: ", _json(column)]
    # Joined by Arrow, and read as the one buffer in which it keeps the lines behind one another: some
    # ten times faster than a Python object a row.
    lines = pc.binary_join_element_wise(*pieces, "}\n", "")
    return lines.buffers()[2].to_pybytes()[: pc.sum(pc.binary_length(lines)).as_py()]  # type: ignore[no-any-return]


def csv_lines(batch: pa.RecordBatch, *, header: bool, delimiter: str = ",") -> bytes:
    """A line a row; null is an empty field without quotes."""
    sink = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=header, delimiter=delimiter)
    with pyarrow.csv.CSVWriter(sink, csv_schema(batch.schema), write_options=options) as writer:
        writer.write_batch(csv_batch(batch))
    return sink.getvalue()


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of what ``csv_batch`` gives."""
    return pa.schema([field.with_type(pa.string()) if _needs_text(field.type) else field for field in schema])


def csv_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with text in the place of what Arrow writes to no CSV."""
    columns = [_text(column) if _needs_text(column.type) else column for column in batch.columns]
    return pa.record_batch(columns, schema=csv_schema(batch.schema))


def _needs_text(kind: pa.DataType) -> bool:
    return isinstance(kind, pa.UuidType) or pa.types.is_null(kind) or pa.types.is_decimal(kind)


def _text(column: pa.Array) -> pa.Array:
    if isinstance(column.type, pa.UuidType):
        values = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.array(values, pa.string())
    return column.cast(pa.string())


def _json(column: pa.Array) -> pa.Array:
    """Each value as JSON text. A float32 has its shortest text: 0.9, not 0.8999999761581421."""
    kind = column.type
    if pa.types.is_floating(kind):
        text = pc.if_else(pc.is_finite(column), column.cast(pa.string()), None)
    elif pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        text = column.cast(pa.string())
    else:
        # A class is written once, not once a row.
        encoded = (column if pa.types.is_string(kind) else _text(column)).dictionary_encode()
        values = [encode_basestring(value) for value in encoded.dictionary.to_pylist()]
        text = pa.array(values, pa.string()).take(encoded.indices)
    return text.fill_null("null")
