"""Columns of the inputs that go along into the results, each in the type that the inputs have.

The ids do so, too, where all inputs are Parquet and have them in one type: 7 stays the number 7. In CSV and
JSON lines every value is text; what is no string in JSON lines is the text of its JSON.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from pingti.corpus.columns import Columns
from pingti.corpus.formats import format_of, parquet_file
from pingti.corpus.paths import folder_values
from pingti.errors import InputError

PREFIX = "keep."
"""Before the names of these columns in the batches of ``read_rows``."""

Types = Mapping[str, pa.DataType]


def types_in(path: str, columns: Columns) -> Types:
    """The types of the columns that go along from a file.

    Raises:
        InputError: it cannot be opened, or a type is none that a result, or an id, can have.
    """
    if format_of(path) != ".parquet" or not (columns.id or columns.keep):
        return dict.fromkeys(_names(columns), pa.string())
    with parquet_file(path) as file:
        return types_of(path, file.schema_arrow, columns)


def types_of(path: str, schema: pa.Schema, columns: Columns) -> Types:
    """As ``types_in``, of a Parquet file of this schema."""
    in_folders = folder_values(path)
    types = {}
    for name in _names(columns):
        types[name] = kind = _plain(schema.field(name).type) if name in schema.names else pa.string()
        if name == columns.id and pa.types.is_nested(kind):
            raise InputError.in_file(
                path,
                f"column {name!r} is of type {kind}, of which no id can be; name one of text, numbers, "
                "dates, times or UUIDs",
            )
        if name in columns.keep and not (_is_scalar(kind) or name in in_folders):
            raise InputError.in_file(
                path,
                f"column {name!r} is of type {kind}; kept are text, numbers, booleans, decimals, dates, "
                "times and UUIDs: leave it out of keep",
            )
    return types


class Carrying:
    """What goes along from many inputs, one after the other."""

    def __init__(self, columns: Columns) -> None:
        self._columns = columns
        self._types: dict[str, pa.DataType] = {}
        self._seen_in: dict[str, str] = {}

    def add(self, path: str, types: Types) -> None:
        """Take the types of a further input.

        Raises:
            InputError: a kept column is of another type than in those before.
        """
        for name, kind in types.items():
            before = self._types.get(name, pa.null())
            if pa.types.is_null(before):
                self._types[name], self._seen_in[name] = kind, path
            elif kind != before and not pa.types.is_null(kind):
                if name in self._columns.keep:
                    raise InputError.in_file(
                        path,
                        f"column {name!r} is of type {kind}, but of {before} in {self._seen_in[name]}; a "
                        "kept column needs one type: leave it out of keep, or write one of the files anew",
                    )
                self._types[name] = pa.string()

    def columns(self) -> Columns:
        """The columns to read, with the types of what goes along."""
        fields = [
            (name, kind)
            for name, kind in self._types.items()
            if name in self._columns.keep or (_is_scalar(kind) and not pa.types.is_string(kind))
        ]
        if not fields:
            return self._columns
        schema = pa.schema(fields).serialize().to_pybytes()
        return replace(self._columns, carried=base64.b64encode(schema).decode())


def carried_types(columns: Columns) -> pa.Schema:
    """The types of what goes along; empty where nothing does."""
    if columns.carried is None:
        return pa.schema([])
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(columns.carried)))


def carried_fields(columns: Columns) -> list[pa.Field]:
    """The fields of what goes along in the batches of ``read_rows``."""
    return [field.with_name(f"{PREFIX}{field.name}") for field in carried_types(columns)]


class Along:
    """What goes along of the rows of one batch of a Parquet file."""

    def __init__(self, columns: Mapping[str, pa.Array], types: pa.Schema) -> None:
        """Bring columns into their types.

        Args:
            columns: as they are in the file, by their names.
            types: in which they go along.
        """
        self.broken: dict[int, dict[str, bytes]] = {}
        """Values that are not UTF-8 where they should be, by the places of their rows."""
        self._columns = [(field, self._typed(columns[field.name], field)) for field in types]

    def _typed(self, array: pa.Array, field: pa.Field) -> pa.Array:
        if not pa.types.is_string(field.type):
            try:
                return _as_type(array, field.type)
            except pa.ArrowException as error:
                raise InputError(
                    f"column {field.name!r} is of type {array.type}, but of {field.type} in other inputs; "
                    "leave it out of keep, or write one of the files anew"
                ) from error
        try:
            return _as_type(array, field.type)
        except pa.ArrowInvalid:
            texts = []
            for place, value in enumerate(_as_type(array, pa.large_binary()).to_pylist()):
                try:
                    texts.append(None if value is None else value.decode())
                except UnicodeDecodeError:
                    texts.append(None)
                    self.broken.setdefault(place, {})[field.name] = value
            return pa.array(texts, field.type)

    def with_rows(self, rows: pa.RecordBatch, first: int) -> pa.RecordBatch:
        """Rows of the batch, with what goes along of them.

        Args:
            rows: some of them, as ``read_rows`` has them.
            first: number of the batch's first row in the file.
        """
        if not self._columns:
            return rows
        columns, fields = rows.columns, list(rows.schema)
        places = pc.subtract(rows.column("row"), first)
        for field, array in self._columns:
            columns.append(array if len(array) == len(rows) else array.take(places))
            fields.append(field.with_name(f"{PREFIX}{field.name}"))
        return pa.record_batch(columns, schema=pa.schema(fields))


def _as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(kind) and not pa.types.is_null(array.type):  # a Parquet string may hold any bytes
        return array.cast(pa.large_binary()).cast(pa.large_string()).cast(kind)
    return array if array.type == kind else array.cast(kind)


def _names(columns: Columns) -> dict[str, None]:
    return dict.fromkeys(name for name in (columns.id, *columns.keep) if name is not None)


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_primitive(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_string(kind)
        or pa.types.is_null(kind)
        or isinstance(kind, pa.UuidType)
    )
