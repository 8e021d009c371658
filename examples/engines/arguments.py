"""What all examples take on the command line, and how they say how fast they were."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq

from pingti.integrations import Students


class Arguments(argparse.Namespace):
    """The parsed command line."""

    files: list[str]
    """Parquet files."""
    text: str
    """Their column of texts."""
    out: str
    """The results: the files' own columns, and for each task its decision and score."""
    home: Path
    task: list[str]

    @property
    def students(self) -> Students:
        """The students that are promoted now."""
        return Students.of(self.home, self.task)


def parse(description: str | None) -> Arguments:
    """Read the command line.

    Args:
        description: of the example.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("files", nargs="+", help="Parquet files")
    parser.add_argument("--text", default="text", help="their column of texts")
    parser.add_argument("--out", required=True, help="file of the results; for Ray and Spark a folder")
    parser.add_argument("--home", type=Path, default=Path("workspace"), help="the workspace")
    parser.add_argument("--task", action="append", required=True, help="a label task; repeatable")
    return parser.parse_args(namespace=Arguments())


@contextmanager
def timed(arguments: Arguments) -> Iterator[None]:
    """Say how many rows a second went through the block, reading and writing included.

    Args:
        arguments: name the files.
    """
    rows = sum(pq.read_metadata(file).num_rows for file in arguments.files)
    start = time.perf_counter()
    yield
    seconds = time.perf_counter() - start
    print(f"{rows:,} rows in {seconds:.1f} s: {rows / seconds:,.0f} rows/s")
