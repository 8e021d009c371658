"""DuckDB: a function of SQL."""

import duckdb
from arguments import parse, timed

from pingti.integrations.duckdb import register


def main() -> None:
    """Classify the files by a query."""
    arguments = parse(__doc__)
    students = arguments.students
    connection = duckdb.connect()
    register(connection, students)
    column = '"' + arguments.text.replace('"', '""') + '"'
    query = f"select *, unnest(pingti({column})) from read_parquet($files)"
    with timed(arguments):
        connection.sql(query, params={"files": arguments.files}).write_parquet(arguments.out)


if __name__ == "__main__":
    main()
