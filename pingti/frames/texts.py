"""Texts as an Arrow array, whatever holds them; a missing one, however it is written, is a null."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from pingti.errors import Fault, InputError

_SHOWN = 40  # characters of a value in an error


def text_array(texts: Any) -> pa.Array | pa.ChunkedArray:
    """Put texts into an Arrow array.

    Examples:
        >>> text_array("one text").to_pylist()
        ['one text']
        >>> text_array(["a", None, float("nan")]).to_pylist()
        ['a', None, None]

    Args:
        texts: an Arrow array; a string, which is one text; a Series of pandas or polars, a column of
            datasets, a NumPy array of one dimension, or any iterable of strings. None, NaN and pd.NA are
            nulls.

    Returns:
        An Arrow array as it was given; else one of large_string, or of what the Series' library makes of it.
        A string with a lone surrogate becomes, with all others, bytes that are not UTF-8.

    Raises:
        InputError: a frame, which has columns of which one must be named; or a value that is no string.
    """
    if isinstance(texts, (pa.Array, pa.ChunkedArray)):
        return texts
    if isinstance(texts, (str, bytes)):
        texts = [texts]
    elif is_frame(texts):
        raise InputError(
            f"texts: a {type(texts).__name__} with the columns {listed(column_names(texts))} was given; "
            'needed is one of its columns, such as frame["text"]'
        )
    elif getattr(texts, "ndim", 1) != 1:
        raise InputError(f"texts: an array of {texts.ndim} dimensions was given; needed is one dimension")
    elif library(texts) in ("pandas", "polars"):
        array = series_array(texts)
        if array is not None:
            return array.cast(pa.large_string()) if array.null_count == len(array) else array
    try:
        values = list(texts)
    except TypeError as error:
        raise InputError(
            f"texts: {shown(texts)} was given; needed are strings: a list, a Series, an Arrow array"
        ) from error
    return _array_of(values)


def is_frame(value: Any) -> bool:
    """Whether a value has columns: a frame or table of any library, or a mapping of them."""
    if isinstance(value, (str, bytes, pa.Array, pa.ChunkedArray)):
        return False
    if isinstance(value, (pa.Table, pa.RecordBatch, Mapping)):
        return True
    library_name, type_name = library(value), type(value).__name__
    if library_name in ("pandas", "polars"):
        return type_name in ("DataFrame", "LazyFrame")
    return library_name == "datasets" and type_name in ("Dataset", "IterableDataset")


def column_names(frame: Any) -> list[str]:
    """The names of a frame's columns, in their order; one that is no string as Python writes it."""
    if isinstance(frame, Mapping):
        names: Iterable[Any] = frame
    elif isinstance(frame, (pa.Table, pa.RecordBatch)):
        names = frame.schema.names
    elif library(frame) == "datasets":
        names = frame.column_names or []
    else:
        names = frame.collect_schema().names() if hasattr(frame, "collect_schema") else frame.columns
    return [str(name) for name in names]


def series_array(series: Any) -> pa.Array | pa.ChunkedArray | None:
    """A Series of pandas or polars as its library puts it into Arrow; None where Arrow has no type for it."""
    try:
        return series.to_arrow() if library(series) == "polars" else pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, UnicodeEncodeError):  # TypeError: of pd.NA alone
        return None


def library(value: Any) -> str:
    """The name of the package that a value's type comes from, such as "pandas"."""
    return type(value).__module__.partition(".")[0]


def listed(names: Iterable[str]) -> str:
    """Names in quotes, one behind the other; "none" where there is none."""
    return ", ".join(map(repr, names)) or "none"


def shown(value: Any) -> str:
    """A value of a wrong type in an error: its type, and its beginning."""
    text = repr(value)
    return f"{type(value).__name__} ({text if len(text) <= _SHOWN else text[:_SHOWN] + '...'})"


def _array_of(values: list[Any]) -> pa.Array:
    kind = pa.large_string()
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return _with_missing(values, [_utf8(value) for value in values], pa.large_binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return _with_missing(values, values, kind)


def _with_missing(values: list[Any], encoded: list[Any], kind: pa.DataType) -> pa.Array:
    """The array of ``encoded``, pandas' missing values being nulls; errors show ``values``."""
    try:
        return pa.array(encoded, kind, from_pandas=True)
    except UnicodeEncodeError:  # a lone surrogate behind a missing value
        return _with_missing(values, [_utf8(value) for value in encoded], pa.large_binary())
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        row = next((row for row, value in enumerate(encoded) if not _usable(value, kind)), None)
        what = str(error) if row is None else f"row {row} is {shown(values[row])}"
        raise InputError(
            f"texts: every one must be a string or None (NaN and pd.NA count as None); {what}",
            faults=[Fault(detail=what, row=row)],
        ) from error


def _utf8(value: Any) -> Any:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def _usable(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True
