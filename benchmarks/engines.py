"""Other engines that run the student, as ``examples/engines`` does: from a Parquet file to Parquet."""

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.folded import Trained, write_rows
from benchmarks.harness import Contender
from pingti.integrations import Students
from pingti.workspace.registry import Workspace

NAMES = ("ray", "spark", "duckdb", "polars")

Run = Callable[[str, str], object]
"""Classifies a file into another, or into a folder."""


def contenders(
    trained: Trained, workspace: Workspace, folder: Path, *, copies: int
) -> Iterator[tuple[str, Callable[[], Contender]]]:
    """The name of each engine, and what makes its contender; ImportError where it is not installed."""
    students = Students.of(workspace.root, ["bench"])
    numbers = itertools.count()

    def make(name: str, engine: Callable[[Any], Run]) -> Contender:
        classify = engine(students)

        def prepare(count: int) -> Callable[[], object]:
            file = write_rows(folder / f"texts-{count}.parquet", trained.texts.timed, count)
            return lambda: classify(str(file), str(folder / f"{name}{next(numbers)}.parquet"))

        return Contender(
            name=name,
            prepare=prepare,
            limit=copies * len(trained.texts.timed),
            least=min(100_000, copies * len(trained.texts.timed)),
            what="Parquet to Parquet, as in examples/engines",
        )

    for name, engine in zip(NAMES, (_ray, _spark, _duckdb, _polars), strict=True):
        yield name, lambda name=name, engine=engine: make(name, engine)  # type: ignore[misc]


def _ray(students: Any) -> Run:
    import ray

    from pingti.integrations.ray_data import Classify

    ray.init(log_to_driver=False, num_cpus=2)

    def run(source: str, target: str) -> None:
        rows = ray.data.read_parquet(source)
        rows.map_batches(
            Classify,
            fn_constructor_args=(students, "text"),
            batch_format="pyarrow",
            batch_size=65_536,
            concurrency=1,
        ).write_parquet(target)

    return run


def _spark(students: Any) -> Run:
    from pyspark.sql import SparkSession

    from pingti.integrations.spark import classify, result_schema

    # Spark's workers take the PATH's python3, which has no Pingti where the environment is not activated.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.appName("pingti").master("local[1]").getOrCreate()

    def run(source: str, target: str) -> None:
        frame = spark.read.parquet(source)
        schema = result_schema(frame.schema, students)
        frame.mapInArrow(classify(students, "text"), schema).write.parquet(target)

    return run


def _duckdb(students: Any) -> Run:
    import duckdb

    from pingti.integrations.duckdb import register

    connection = duckdb.connect()
    register(connection, students)

    def run(source: str, target: str) -> None:
        query = "select *, unnest(pingti(text)) from read_parquet($file)"
        connection.sql(query, params={"file": source}).write_parquet(target)

    return run


def _polars(students: Any) -> Run:
    import polars

    from pingti.integrations.polars import classify

    def run(source: str, target: str) -> None:
        rows = polars.scan_parquet(source).with_columns(classify("text", students))
        rows.unnest("pingti").sink_parquet(target)

    return run
