"""The ids of a file's rows alone, for who looks up whether a row is there."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pyarrow as pa

from pingti.corpus import parquet
from pingti.corpus.columns import Columns, check_columns
from pingti.corpus.formats import (
    TOO_PACKED,
    format_of,
    most_unpacked,
    parquet_file,
    readable_parquet,
    size_of,
)
from pingti.corpus.reader import read_rows
from pingti.corpus.values import spelled, string
from pingti.errors import InputError

_ROWS = 65_536  # of a batch


def read_ids(path: str, columns: Columns) -> Iterator[list[str]]:
    """The ids of a file's rows in batches, as ``read_rows`` gives them; a row's number where it has none.

    Of a Parquet file no other column is read, so that the id of a row whose text is bad comes, too.

    Args:
        path: of the file.
        columns: of it; times are not looked at.

    Raises:
        InputError: as of ``read_rows``.
    """
    columns = replace(columns, time=None)
    if format_of(path) == ".parquet":
        yield from _parquet_ids(path, columns)
        return
    for batch in read_rows(path, columns, lambda _: None):
        yield batch["id"].to_pylist()


def _parquet_ids(path: str, columns: Columns) -> Iterator[list[str]]:
    with parquet_file(path) as file:
        rows: int = file.metadata.num_rows
        if columns.id is None:
            for first in range(0, rows, _ROWS):
                yield [str(number) for number in range(first, min(first + _ROWS, rows))]
            return
        partitions = parquet.partitions(path, file, columns)
        check_columns(path, [*file.schema_arrow.names, *partitions], columns)
        if columns.id in partitions:
            if rows and partitions[columns.id].is_valid:
                yield [partitions[columns.id].as_py()]
            return
        groups = range(file.metadata.num_row_groups)
        batches = parquet.bounded_batches(path, file, [columns.id], _ROWS, groups)
        unpacked, most = 0, most_unpacked(size_of(path))
        while True:
            with readable_parquet(path):
                batch = next(batches, None)
            if batch is None:
                return
            unpacked += parquet.string_bytes(batch.column(0))
            if unpacked > most:
                raise InputError.in_file(path, TOO_PACKED)
            yield _texts_of(columns.id, batch.column(0))


def _texts_of(name: str, array: pa.Array) -> list[str]:
    converted = parquet.identities(array)
    if converted is not None:
        texts: list[str] = converted.to_pylist()
        return texts
    texts = []
    for number in range(len(array)):
        with suppress(ValueError):  # null, or not UTF-8: a bad row
            texts.append(string(name, spelled(name, parquet.identity_value(array.slice(number, 1)))))
    return texts
