"""DuckDB: a vectorized function of SQL, ``select unnest(pingti(title)) from posts``."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pingti.integrations.students import Students

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def register(connection: "DuckDBPyConnection", students: Students, name: str = "pingti") -> None:
    """Give a connection a function of a VARCHAR that returns a STRUCT of the results.

    A NULL gives a STRUCT of NULLs.

    Args:
        connection: an open one.
        students: which decide.
        name: the function's name in SQL.
    """
    import duckdb

    def classify(texts: pa.ChunkedArray) -> pa.Array:
        table = students.extend(pa.table({"": texts}), "").drop_columns([""])
        return table.to_struct_array().combine_chunks()

    kinds = {
        field.name: duckdb.sqltype("VARCHAR" if pa.types.is_string(field.type) else "FLOAT")
        for field in students.schema
    }
    create: Any = connection.create_function  # its types know enums alone, which have moved between versions
    create(
        name,
        classify,
        [duckdb.sqltype("VARCHAR")],
        duckdb.struct_type(kinds),
        type="arrow",
        null_handling="special",
    )
