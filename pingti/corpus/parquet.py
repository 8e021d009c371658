"""Rows of a Parquet file as whole columns, where nothing in them needs a look of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.values import FIRST, latest

_TICKS = {"s": 1_000_000, "ms": 1_000, "us": 1}  # microseconds


def whole(
    columns: Sequence[pa.Array], rows: NDArray[np.int64], first: int, schema: pa.Schema, *, identified: bool
) -> pa.RecordBatch | None:
    """The rows ``rows`` of ``columns`` as a batch of ``schema``, or None where one must be read by itself.

    ``columns`` are text, id (where ``identified``) and time (where the schema has one), without nulls in
    ``rows``; ``first`` is the number of their first row.
    """
    everything = bool(len(rows)) and rows[-1] - rows[0] + 1 == len(rows)
    taken = [
        column.slice(rows[0], len(rows)) if everything else column.take(pa.array(rows)) for column in columns
    ]
    found = {"row": pa.array(first + rows)}
    try:
        found["text"] = _text(taken.pop(0)).cast(pa.large_string())
        found["id"] = _identity(taken.pop(0)) if identified else found["row"].cast(pa.string())
        if taken:
            found["time"] = _time(taken.pop(0))
    except (pa.ArrowException, _Unusual):  # bytes that are not UTF-8, a time that does not fit
        return None
    return pa.record_batch([found[name] for name in schema.names], schema=schema)


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
    if pa.types.is_integer(array.type):
        return array.cast(pa.string())
    return _text(array).cast(pa.string())


def _time(array: pa.Array) -> pa.Array:
    kind = array.type
    if not pa.types.is_timestamp(kind) or kind.unit not in _TICKS:
        raise _Unusual
    ticks: Any = pc.multiply_checked(array.cast(pa.int64()), _TICKS[kind.unit])
    extremes: Any = pc.min_max(ticks)
    if len(ticks) and not FIRST <= extremes["min"].as_py() <= extremes["max"].as_py() <= latest():
        raise _Unusual
    return ticks.cast(pa.timestamp("us", "UTC"))


def value(scalar: pa.Scalar) -> Any:
    """One value as Python's; strings as bytes, because a Parquet string may hold bytes that are not UTF-8.

    Timestamps come as seconds: Python has none of nanoseconds, nor of years above 9999.
    """
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.dictionary[scalar.index.as_py()] if scalar.is_valid else pa.scalar(None)
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if _is_text(kind):
        return scalar.as_buffer().to_pybytes()
    if pa.types.is_timestamp(kind):
        units = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[kind.unit]
        return scalar.value / units
    return scalar.as_py()
