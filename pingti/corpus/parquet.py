"""Rows of a Parquet file: in batches that fit into memory, and as whole columns where that can be."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from typing import IO, Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pingti.corpus.columns import Columns
from pingti.corpus.dictionary_pages import UnknownPageError, longest_value
from pingti.corpus.formats import open_binary
from pingti.corpus.paths import NO_VALUE
from pingti.corpus.values import EARLIEST, Instant, latest, microseconds, recent_ticks

BATCH_BYTES = 32 << 20
"""About how many bytes of texts are read at once."""
_MEAN_BYTES = BATCH_BYTES // 4  # by a row group's mean: some rows are longer than others
_ENOUGH_ROWS = 500  # a look for how many more would fit costs more than it saves
_FEW_ROWS = 64  # where nothing is known of how long a value can be
_WINDOW = 32  # row groups that are looked at before the first of them is read
_BUFFER_BYTES = 1 << 16
_COUNTED_ROWS = 1 << 16
_MOST_COUNTED_ROWS = 1 << 26
_MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}


def bounded_batches(
    path: str, file: pq.ParquetFile, names: list[str], most: int, groups: Iterable[int]
) -> Iterator[pa.RecordBatch]:
    """The columns ``names`` of some row groups, in batches of bounded rows and bytes.

    Many rows of a Parquet file can share one value. So neither its size nor what it says of its columns'
    sizes bounds what they become; the longest value that a row group's dictionaries hold does.

    Args:
        path: of the file; it is opened a second time where its dictionaries have to be looked at.
        file: the same, opened.
        names: columns, each once.
        most: rows of a batch at most; fewer where they are long.
        groups: numbers of row groups, ascending.

    Raises:
        pa.ArrowException, OSError: the file is damaged.
    """
    with _RowLimits(path, file, names, most) as limits:
        # One reader for groups that are read alike: its batches go over their borders.
        runs = itertools.groupby(groups, lambda group: (limits.rows(group), group // _WINDOW))
        yield from _merged(
            (
                batch
                for (rows, _), run in runs
                for batch in file.iter_batches(
                    rows,
                    row_groups=list(run),
                    columns=names,
                    use_threads=pa.cpu_count() > 1,  # a pool of one thread only costs a small file time
                )
            ),
            most,
        )


def partitions(path: str, file: pq.ParquetFile, columns: Columns) -> dict[str, pa.Scalar]:
    """Values of id and time that the names of a table's folders tell (day=2025-11-03), and not the file.

    Args:
        path: of the file.
        file: the same, opened.
        columns: that are read of it.
    """
    own = (columns.text, *file.schema_arrow.names)
    values: dict[str, pa.Scalar] = {}
    for folder in path.split("/")[:-1]:
        name, equals, value = map(unquote, folder.partition("="))
        if not equals or name not in (columns.id, columns.time) or name in own:
            continue
        values[name] = pa.scalar(None if value == NO_VALUE else value, pa.string())
        if name == columns.time and name != columns.id:
            # Once for all rows; where it is no time each of them is a bad row.
            with suppress(ValueError):
                instant = microseconds(name, value, columns.time_format, columns.time_unit)
                values[name] = pa.scalar(instant, pa.timestamp("us", "UTC"))
    return values


def string_bytes(array: pa.Array) -> int:
    """Bytes of the strings of an array, each as often as it is there; 0 for other types."""
    if isinstance(array, pa.DictionaryArray):
        lengths = _lengths(array.dictionary)
        indices: Any = array.indices.drop_null()
        return int(lengths[indices.to_numpy(zero_copy_only=False)].sum()) if len(lengths) else 0
    if pa.types.is_string(array.type) and len(array):
        ends = np.frombuffer(array.buffers()[1], np.int32)
        return int(ends[array.offset + len(array)] - ends[array.offset])
    return int(_lengths(array).sum())


def _lengths(array: pa.Array) -> NDArray[np.int64]:
    """Bytes of each value (n,); (0,) where they are no strings."""
    kind = array.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        array = array.cast(pa.large_binary())
        kind = array.type
    if not (_is_text(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        return np.empty(0, np.int64)
    lengths: Any = pc.binary_length(array).fill_null(0)
    values: NDArray[np.int64] = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    return values


def unpacked_bytes(path: str, file: pq.ParquetFile, names: list[str], enough: int) -> int:
    """Bytes of the strings in the columns ``names``; counting stops above ``enough``, and at many rows.

    The strings themselves are not unpacked where dictionaries hold them. 0 where that cannot be told so.
    """
    schema = file.schema
    flat = [schema.column(number).path for number in range(len(schema))]
    kinds = [schema.column(number).physical_type for number in range(len(schema))]
    columns = [name for name, kind in zip(flat, kinds, strict=True) if kind == "BYTE_ARRAY" and name in names]
    if not columns:
        return 0
    total = rows = 0
    with open_binary(path) as source:
        reader = pq.ParquetFile(
            source, metadata=file.metadata, read_dictionary=columns, buffer_size=_BUFFER_BYTES
        )
        try:
            for batch in reader.iter_batches(_COUNTED_ROWS, columns=columns, use_threads=False):
                if not all(isinstance(column, pa.DictionaryArray) for column in batch.columns):
                    return 0
                total += sum(map(string_bytes, batch.columns))
                rows += batch.num_rows
                if total > enough or rows > _MOST_COUNTED_ROWS:
                    break
        except OSError:  # values that are told by the one before (DELTA_BYTE_ARRAY), or a damaged page
            return 0
    return total


class _RowLimits(ExitStack):
    """How many rows of a row group may be read at once."""

    def __init__(self, path: str, file: pq.ParquetFile, names: list[str], most: int) -> None:
        super().__init__()
        self._path, self._file, self._most = path, file, most
        self._source: IO[bytes] | None = None
        self._reader: pq.ParquetFile | None = None
        columns = [file.schema.column(number) for number in range(len(file.schema))]
        # Values of other types are a few bytes.
        self._columns = [
            number
            for number, column in enumerate(columns)
            if column.physical_type == "BYTE_ARRAY"
            and any(f"{column.path}.".startswith(f"{name}.") for name in names)
        ]
        self._paths = [columns[number].path for number in self._columns]
        self._flat = set(self._paths) <= set(names)

    def rows(self, group: int) -> int:
        metadata = self._file.metadata.row_group(group)
        # All values of the group, each once; no single one is longer.
        size = sum(metadata.column(number).total_uncompressed_size for number in self._columns)
        fits: int = BATCH_BYTES // max(1, size)
        if metadata.num_rows * size <= 4 * BATCH_BYTES:
            fits = max(fits, metadata.num_rows)
        if fits >= min(_ENOUGH_ROWS, self._most):
            return min(1 << fits.bit_length(), self._most)  # alike for groups that are about alike
        limit: int = self._most
        if size > 2 * BATCH_BYTES:
            limit = min(limit, max(1, metadata.num_rows * _MEAN_BYTES // size))
        if limit <= _FEW_ROWS:
            return limit
        # Of lists and the like no row is good.
        longest: int | None = self._longest(group) if self._flat else None
        return min(limit, _FEW_ROWS if longest is None else max(1, 2 * BATCH_BYTES // max(1, longest)))

    def _longest(self, group: int) -> int | None:
        """Bytes of the longest values of the group's dictionaries together; None where that is not known."""
        metadata = self._file.metadata.row_group(group)
        if self._source is None:
            # Of a file of its own: the other reader may be reading ahead in its threads.
            self._source = self.enter_context(open_binary(self._path))
        try:
            return sum(longest_value(self._source, metadata.column(number)) for number in self._columns)
        except UnknownPageError:
            return self._longest_by_arrow(group)

    def _longest_by_arrow(self, group: int) -> int | None:
        """As ``_longest``; slower, but whatever a page is packed by."""
        if self._reader is None:
            source = self.enter_context(open_binary(self._path))
            metadata = self._file.metadata
            self._reader = pq.ParquetFile(
                source,
                metadata=metadata,
                read_dictionary=self._paths,
                buffer_size=_BUFFER_BYTES,
                pre_buffer=False,
            )
        try:
            batches = self._reader.iter_batches(1, row_groups=[group], columns=self._paths, use_threads=False)
            row = next(batches)
        except OSError:  # values that are told by the one before (DELTA_BYTE_ARRAY) cannot be read so
            return None
        if not all(isinstance(column, pa.DictionaryArray) for column in row.columns):
            return None
        return sum(pc.max(pc.binary_length(column.dictionary)).as_py() or 0 for column in row.columns)


def _merged(batches: Iterable[pa.RecordBatch], most: int) -> Iterator[pa.RecordBatch]:
    """Small batches put together, as each costs time: up to ``most`` rows and about ``BATCH_BYTES``."""
    pending: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        shared = any(pa.types.is_dictionary(field.type) for field in batch.schema)  # its bytes say nothing
        more = BATCH_BYTES if shared else batch.nbytes
        rows, size = rows + batch.num_rows, size + more
        if pending and (rows > most or size > BATCH_BYTES):
            yield _joined(pending)
            pending, rows, size = [], batch.num_rows, more
        pending.append(batch)
    if pending:
        yield _joined(pending)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def convert(
    columns: Sequence[pa.Array],
    rows: NDArray[np.int64],
    first: int,
    schema: pa.Schema,
    *,
    identified: bool,
    plain_times: bool = True,
) -> pa.RecordBatch | None:
    """Some rows of a batch's columns in the types of ``schema``, or None where one must be read by itself.

    Args:
        columns: text, id (where ``identified``) and time (where the schema has one), without nulls in
            ``rows``.
        rows: ascending row numbers within the columns.
        first: number in the file of the columns' first row.
        schema: see ``reader.schema``.
        identified: whether there is a column of ids; the row's number stands for them where not.
        plain_times: whether nobody says how times that are numbers or text are meant.
    """
    contiguous = bool(len(rows)) and rows[-1] - rows[0] + 1 == len(rows)
    taken = [
        column.slice(rows[0], len(rows)) if contiguous else column.take(pa.array(rows)) for column in columns
    ]
    converted = {"row": pa.array(first + rows)}
    try:
        converted["text"] = _text(taken.pop(0)).cast(pa.large_string())
        converted["id"] = _identity(taken.pop(0)) if identified else converted["row"].cast(pa.string())
        if taken:
            times = _plain(taken.pop(0))
            if not (plain_times or pa.types.is_temporal(times.type)):
                raise _Unusual
            converted["time"] = _time(times)
    except (pa.ArrowException, _Unusual):  # bytes that are not UTF-8, a time that does not fit
        return None
    return pa.record_batch([converted[name] for name in schema.names], schema=schema)


class _Unusual(Exception):
    """A type that is read row by row."""


def _plain(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _text(array: pa.Array) -> pa.Array:
    array = _plain(array)
    if not _is_text(array.type):
        raise _Unusual
    # A Parquet string may hold any bytes; the way back from binary looks at them.
    narrow = pa.types.is_string(array.type)
    array = array.cast(pa.binary() if narrow else pa.large_binary())
    return array.cast(pa.string() if narrow else pa.large_string())


def _identity(array: pa.Array) -> pa.Array:
    array = _plain(array)
    kind = array.type
    if pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0):
        return array.cast(pa.string())
    if pa.types.is_floating(kind):  # as pandas makes them of integers beside a gap
        return array.cast(pa.int64()).cast(pa.string())  # raises where one is not whole
    if isinstance(kind, pa.UuidType):
        return pa.array(map(str, array.to_pylist()), pa.string())
    if pa.types.is_temporal(kind):
        return array.cast(pa.string())
    return _text(array).cast(pa.string())


def identities(array: pa.Array) -> pa.Array | None:
    """The ids in an array as strings, nulls left out; None where each must be read by itself."""
    try:
        return _identity(array.drop_null())
    except (pa.ArrowException, _Unusual):
        return None


def identity_value(array: pa.Array) -> Any:
    """The id in an array of one value: as ``convert`` has it, else as ``python_value``."""
    try:
        return _identity(array)[0].as_py() if array[0].is_valid else None
    except (pa.ArrowException, _Unusual):
        return python_value(array[0])


def _time(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_date(kind):
        array = array.cast(pa.timestamp("s" if pa.types.is_date32(kind) else "ms"))
        kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _recent(array)
    if not pa.types.is_timestamp(kind):
        raise _Unusual
    ticks: Any = array.cast(pa.int64())
    if kind.unit == "ns":
        ticks = pa.array(ticks.to_numpy() // 1_000)
    else:
        ticks = pc.multiply_checked(ticks, _MICROSECONDS[kind.unit])
    extremes: Any = pc.min_max(ticks)
    if len(ticks) and not EARLIEST <= extremes["min"].as_py() <= extremes["max"].as_py() <= latest():
        raise _Unusual
    return ticks.cast(pa.timestamp("us", "UTC"))


def _recent(array: pa.Array) -> pa.Array:
    """Numbers since 1970, where it is plain of which unit they are."""
    numbers = array.to_numpy(zero_copy_only=False)
    per_second = recent_ticks(numbers) if len(numbers) else 1
    if per_second is None:
        raise _Unusual
    if numbers.dtype.kind == "f":
        ticks = np.rint(numbers * (1_000_000 / per_second)).astype(np.int64)
    elif per_second <= 1_000_000:
        ticks = numbers.astype(np.int64) * (1_000_000 // per_second)
    else:
        ticks = numbers.astype(np.int64) // (per_second // 1_000_000)
    return pa.array(ticks).cast(pa.timestamp("us", "UTC"))


def python_value(scalar: pa.Scalar) -> Any:
    """One value as Python's; strings as bytes, because a Parquet string may hold bytes that are not UTF-8.

    Timestamps come as ``Instant``: Python has none of nanoseconds, nor of years above 9999.
    """
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.dictionary[scalar.index.as_py()] if scalar.is_valid else pa.scalar(None)
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if _is_text(kind):
        return scalar.as_buffer().to_pybytes()
    if pa.types.is_timestamp(kind):
        ticks: int = scalar.value
        return Instant(ticks // 1_000 if kind.unit == "ns" else ticks * _MICROSECONDS[kind.unit])
    if pa.types.is_duration(kind):
        return scalar.value
    return scalar.as_py()
