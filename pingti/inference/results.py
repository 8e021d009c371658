"""The columns of results: the id, what goes along from the input, and the decisions."""

from collections.abc import Sequence

import pyarrow as pa

from pingti.corpus.columns import Columns
from pingti.corpus.kept import PREFIX, carried_types
from pingti.errors import InputError
from pingti.inference.pins import Pin, columns_of


def check_keep(keep: Sequence[str], pins: Sequence[Pin]) -> None:
    """Refuse columns that cannot go along.

    Args:
        keep: their names.
        pins: tasks that are asked, whose columns the results have, too.

    Raises:
        InputError: a name twice, or one that a column of the results has.
    """
    taken = {"id", *(name for pin in pins if not pin.hidden for name in columns_of(pin))}
    for name in keep:
        if keep.count(name) > 1:
            raise InputError(f"keep: {name!r} is there twice; name each column once")
        if name in taken:
            raise InputError(
                f"keep: the results have a column {name!r} of their own; leave it out, or rename it "
                "in the input"
            )


def results_schema(schema: pa.Schema, columns: Columns) -> pa.Schema:
    """The schema of results: the decisions behind the id, then what goes along.

    Args:
        schema: of what the classifier gives: id and decisions.
        columns: that are read.
    """
    types = carried_types(columns)
    fields = list(schema)
    if columns.id in types.names:
        fields[0] = types.field(columns.id).with_name("id")
    return pa.schema([*fields, *(types.field(name) for name in columns.keep)], metadata=schema.metadata)


def with_carried(decided: pa.RecordBatch, rows: pa.RecordBatch, columns: Columns) -> pa.RecordBatch:
    """Decisions with what goes along.

    Args:
        decided: what the classifier gives for ``rows``.
        rows: as ``read_rows`` has them.
        columns: that are read.
    """
    if columns.carried is None:
        return decided
    types = carried_types(columns)
    arrays = decided.columns
    if columns.id in types.names:
        arrays[0] = rows.column(f"{PREFIX}{columns.id}")
    arrays += [rows.column(f"{PREFIX}{name}") for name in columns.keep]
    return pa.record_batch(arrays, schema=results_schema(decided.schema, columns))
