"""Polars: an expression, ``frame.with_columns(classify("title", students)).unnest("pingti")``."""

from typing import TYPE_CHECKING

import pyarrow as pa

from pingti.integrations.students import Students

if TYPE_CHECKING:
    import polars as pl


def classify(column: str, students: Students, name: str = "pingti") -> "pl.Expr":
    """Make an expression whose value is a struct of the results; a null gives a struct of nulls.

    Args:
        column: the frame's column of texts.
        students: which decide.
        name: of the expression's own column.
    """
    import polars as pl

    def results(series: "pl.Series") -> "pl.Series":
        table = students.extend(pa.table({column: series.to_arrow()}), column).drop_columns([column])
        return pl.DataFrame(table).to_struct(name)

    kinds = {
        field.name: pl.String if pa.types.is_string(field.type) else pl.Float32 for field in students.schema
    }
    return pl.col(column).map_batches(results, return_dtype=pl.Struct(kinds), is_elementwise=True).alias(name)
