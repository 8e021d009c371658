"""A job's part files as one stream of Parquet, JSONL or CSV, in the memory of one batch of rows."""

import io
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pingti.inference.text_results import csv_batch, csv_schema, json_lines

BATCH_ROWS = 16_384


class ResultFormat(StrEnum):
    """How results leave the server; the value is also the file's ending."""

    PARQUET = (
        "parquet"  # one file, zstd; its schema metadata says job, versions, operating points and thresholds
    )
    JSONL = "jsonl"  # one object a row
    CSV = "csv"  # with a header; null is an empty field without quotes


MEDIA_TYPES = {
    ResultFormat.PARQUET: "application/vnd.apache.parquet",
    ResultFormat.JSONL: "application/jsonl",
    ResultFormat.CSV: "text/csv; charset=utf-8",
}


def stream(parts: Sequence[Path], schema: pa.Schema, form: ResultFormat) -> Iterator[bytes]:
    """Give the rows of part files in their order, as chunks of one file.

    Args:
        parts: Parquet files of one schema.
        schema: what to write where there is no part at all.
        form: the format.
    """
    if parts:
        schema = pq.read_schema(parts[0])
    if form is ResultFormat.JSONL:
        return _jsonl(parts)
    return _written(parts, schema, form)


def _batches(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with pq.ParquetFile(part) as file:
            yield from file.iter_batches(BATCH_ROWS)


class _Sink(io.RawIOBase):
    """A writable file whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        self._written += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


def _written(parts: Sequence[Path], schema: pa.Schema, form: ResultFormat) -> Iterator[bytes]:
    sink = _Sink()
    if form is ResultFormat.CSV:
        writer = pyarrow.csv.CSVWriter(sink, csv_schema(schema))
    else:
        writer = pq.ParquetWriter(sink, schema, compression="zstd")
    for batch in _batches(parts):
        writer.write_batch(csv_batch(batch) if form is ResultFormat.CSV else batch)
        yield sink.take()
    writer.close()
    yield sink.take()


def _jsonl(parts: Sequence[Path]) -> Iterator[bytes]:
    for batch in _batches(parts):
        if batch.num_rows:
            yield json_lines(batch)
