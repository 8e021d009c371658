"""Polars: an expression in a lazy query, which streams from file to file."""

import polars as pl
from arguments import parse, timed

from pingti.integrations.polars import classify


def main() -> None:
    """Classify the files without holding all rows in memory."""
    arguments = parse(__doc__)
    students = arguments.students
    with timed(arguments):
        rows = pl.scan_parquet(arguments.files).with_columns(classify(arguments.text, students))
        rows.unnest("pingti").sink_parquet(arguments.out)


if __name__ == "__main__":
    main()
