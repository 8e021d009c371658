"""Columns of a caller's frame as an Arrow table, and an Arrow table as a frame of the caller's library."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from pingti.errors import InputError, UnavailableError
from pingti.frames.texts import column_names, is_frame, library, listed, series_array, shown, text_array

Form: TypeAlias = Literal["arrow", "pandas", "polars"]

_TEXT_TYPES = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_null,
)


def columns_of(frame: Any, *, text: str, others: Mapping[str, str | None] | None = None) -> pa.Table:
    """Take some columns of a frame.

    Examples:
        >>> frame = {"post": ["a", None], "number": [7, 8], "likes": [1, 2]}
        >>> columns_of(frame, text="post", others={"id": "number"}).to_pydict()
        {'post': ['a', None], 'number': [7, 8]}

    Args:
        frame: of pandas, polars or datasets, an Arrow table or batch, or a mapping of columns.
        text: the column of the texts.
        others: further columns by what they are for ("id", "time"); None: there is none.

    Returns:
        The columns under their names; that of the texts is large_string, or large_binary where a text has a
        lone surrogate. Nothing else of the frame is looked at.

    Raises:
        InputError: no frame, no such column or two of one name, or a column that Arrow has no type for.
    """
    if not is_frame(frame):
        raise InputError(
            f"{shown(frame)} was given; needed is a frame of pandas, polars or datasets, or an Arrow table"
        )
    wanted = {"text": text, **{use: name for use, name in (others or {}).items() if name is not None}}
    names = column_names(frame)
    for use, name in wanted.items():
        if names.count(name) != 1:
            what = "there is no column" if name not in names else f"{names.count(name)} columns are named"
            raise InputError(f"the frame: {what} {name!r}; {use}=... names one of {listed(names)}")
    raw = _whole(frame)
    columns = {name: raw[name] for name in dict.fromkeys(wanted.values())}
    return pa.table({name: _column(column, name, text=text) for name, column in columns.items()})


def rows_of(rows: Any, *, text: str = "text", id: str | None = None) -> pa.RecordBatch:
    """Rows to classify.

    Examples:
        >>> rows_of({"post": ["a", None], "likes": [1, 2]}, text="post").to_pydict()
        {'id': ['0', '1'], 'text': ['a', None]}

    Args:
        rows: texts, as ``text_array`` takes them, or a frame, as ``columns_of`` does.
        text: of a frame, the column of the texts.
        id: of a frame, the column of the ids; "id" if absent and there is one, else the rows are numbered.

    Returns:
        id (string) and text (large_string or large_binary).

    Raises:
        InputError: as ``text_array`` or ``columns_of``.
    """
    if is_frame(rows):
        if id is None and "id" in column_names(rows) and text != "id":
            id = "id"
        table = columns_of(rows, text=text, others={"id": id})
        texts = table.column(text)
        ids = None if id is None else table.column(id)
    else:
        texts, ids = text_array(rows), None
    return pa.record_batch(
        {
            "id": _numbers(len(texts)) if ids is None else _one_chunk(ids.cast(pa.string())),
            "text": _one_chunk(texts),
        }
    )


def as_form(table: pa.Table, form: Form) -> Any:
    """An Arrow table as a frame.

    Examples:
        >>> as_form(pa.table({"id": ["0"], "sport": ["yes"]}), "arrow").to_pylist()
        [{'id': '0', 'sport': 'yes'}]

    Args:
        table: the table.
        form: the library of the frame.

    Returns:
        The table itself, or a DataFrame.

    Raises:
        InputError: another form.
        UnavailableError: the library is not installed.
    """
    if form == "arrow":
        return table
    package = needed(form)
    return table.to_pandas() if form == "pandas" else package.from_arrow(table)


def needed(form: Form) -> Any:
    """The library of a form; None of "arrow".

    Raises:
        InputError: another form.
        UnavailableError: the library is not installed.
    """
    if form not in ("arrow", "pandas", "polars"):
        raise InputError(f'form is {form!r}; allowed are "arrow", "pandas" and "polars"')
    try:
        return None if form == "arrow" else import_module(form)
    except ImportError as error:
        raise UnavailableError(f"results as {form} need it: pip install {form}") from error


def _whole(frame: Any) -> Any:
    """The frame with its columns in memory, each to be had by its name."""
    if library(frame) == "datasets":
        if type(frame).__name__ == "IterableDataset":
            raise InputError(
                "the frame: an IterableDataset is read only once; give a Dataset (from_list makes one)"
            )
        return frame.with_format("arrow")[:]  # with its rows chosen and ordered as the caller did
    return frame.collect() if type(frame).__name__ == "LazyFrame" else frame


def _column(column: Any, name: str, *, text: str) -> pa.Array | pa.ChunkedArray:
    if name == text:
        try:
            texts = text_array(column)
        except InputError as error:
            raise InputError(f"the frame: column {name!r}: {error}", faults=error.faults) from error
        if not _is_text(texts.type):
            raise InputError(
                f"the frame: column {name!r} is of type {texts.type}; needed are strings; "
                "text=... names the column of the texts"
            )
        try:
            return texts.cast(pa.large_string())
        except pa.ArrowInvalid:  # bytes that are not UTF-8: whoever reads them says of which row
            return texts.cast(pa.large_binary())
    if isinstance(column, (pa.Array, pa.ChunkedArray)):
        return column
    array = series_array(column)
    if array is None:
        raise InputError(f"the frame: column {name!r} mixes values of several types; needed is one")
    return array


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return any(check(kind) for check in _TEXT_TYPES)


def _numbers(count: int) -> pa.Array:
    return pa.array(range(count), pa.int64()).cast(pa.string())


def _one_chunk(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    if not isinstance(array, pa.ChunkedArray):
        return array
    combined = array.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
