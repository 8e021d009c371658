"""Every engine decides as ``pingti classify`` does, row by row. An engine that is missing is skipped."""

import os
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.reader import Columns
from pingti.errors import InputError
from pingti.inference.files import classify_files
from pingti.integrations import Students
from pingti.integrations.ray_data import Classify
from pingti.workspace.registry import Workspace
from tests.support.paths import ROOT
from tests.support.workspaces import with_rules

TASKS = ["sport@strict", "tech", "topic"]
Engine = Callable[[pa.Table, Students], list[dict[str, Any]]]


@pytest.fixture
def students(workspace: Workspace) -> Students:
    return Students.of(with_rules(workspace).root, TASKS)


@pytest.fixture
def posts(texts: list[str]) -> pa.Table:
    """Texts with a missing one in the middle."""
    rows = [*texts[:150], None, *texts[150:300]]
    return pa.table({"key": [f"r{n}" for n in range(len(rows))], "title": pa.array(rows, pa.string())})


@pytest.fixture
def wanted(students: Students, posts: pa.Table, tmp_path: Path) -> list[dict[str, Any]]:
    """What ``pingti classify`` writes; the row that it lists as bad is one of nulls here."""
    pq.write_table(posts, tmp_path / "posts.parquet")
    columns = Columns(text="title", id="key")
    inputs = [str(tmp_path / "posts.parquet")]
    counts = classify_files(inputs, columns, students.classifier, tmp_path / "out", threads=1)
    assert counts.failed == 1
    results = {row.pop("id"): row for row in pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()}
    assert {row["tech"] for row in results.values()} == {"yes", "no", None}
    nothing = dict.fromkeys(students.schema.names)
    return [{"key": key, **results.get(key, nothing)} for key in posts["key"].to_pylist()]


def in_ray(posts: pa.Table, students: Students) -> list[dict[str, Any]]:
    ray = pytest.importorskip("ray", reason="the engine Ray is not installed: extra engines")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own, of its next versions
        paths = {"env_vars": {"PYTHONPATH": str(ROOT)}}
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=paths)
        try:
            data = ray.data.from_arrow(posts).map_batches(
                Classify, fn_constructor_args=(students, "title"), batch_format="pyarrow", concurrency=1
            )
            return sorted(data.take_all(), key=lambda row: int(row["key"][1:]))
        finally:
            ray.shutdown()


def in_spark(posts: pa.Table, students: Students) -> list[dict[str, Any]]:
    sql = pytest.importorskip("pyspark.sql", reason="the engine Spark is not installed: extra engines")
    if shutil.which("java") is None:
        pytest.skip("Spark needs a Java, and there is none")
    from pingti.integrations.spark import classify, result_schema

    os.environ.update(PYSPARK_PYTHON=sys.executable, PYTHONPATH=str(ROOT), SPARK_LOCAL_IP="127.0.0.1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Spark's own, of its next versions
        spark = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
        try:
            frame = spark.createDataFrame(posts.to_pylist(), "key string, title string")
            kinds = result_schema(frame.schema, students)
            rows = frame.mapInArrow(classify(students, "title"), kinds).collect()
        finally:
            spark.stop()
    return sorted((row.asDict() for row in rows), key=lambda row: int(row["key"][1:]))


def in_duckdb(posts: pa.Table, students: Students) -> list[dict[str, Any]]:
    duckdb = pytest.importorskip("duckdb", reason="the engine DuckDB is not installed: extra engines")
    from pingti.integrations.duckdb import register

    with duckdb.connect() as connection:
        register(connection, students)
        connection.register("posts", posts)
        results = connection.sql("select key, title, unnest(pingti(title)) from posts").to_arrow_table()
    return results.to_pylist()  # type: ignore[no-any-return]


def in_polars(posts: pa.Table, students: Students) -> list[dict[str, Any]]:
    pl = pytest.importorskip("polars", reason="the engine Polars is not installed: extra engines")
    from pingti.integrations.polars import classify

    frame = pl.DataFrame(posts).lazy().with_columns(classify("title", students)).unnest("pingti")
    return frame.collect().to_dicts()  # type: ignore[no-any-return]


def in_pandas(posts: pa.Table, students: Students) -> list[dict[str, Any]]:
    pd = pytest.importorskip("pandas", reason="the engine pandas is not installed: extra engines")
    from pingti.integrations.pandas import classify

    frame = posts.to_pandas().set_index(pd.Index(range(1000, 1000 + len(posts))))
    results = classify(frame, "title", students)
    assert results.index.equals(frame.index)
    return pa.Table.from_pandas(results, preserve_index=False).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("engine", [in_ray, in_spark, in_duckdb, in_polars, in_pandas])
def test_an_engine_decides_as_pingti_classify_does(
    engine: Engine, posts: pa.Table, students: Students, wanted: list[dict[str, Any]]
) -> None:
    rows = engine(posts, students)
    assert [row.pop("title") for row in rows] == posts["title"].to_pylist()
    assert rows == wanted


@pytest.mark.parametrize("missing", ["None", "nan", "NA"])
def test_what_pandas_calls_missing_gives_nulls(students: Students, missing: str) -> None:
    pd = pytest.importorskip("pandas", reason="the engine pandas is not installed: extra engines")
    from pingti.integrations.pandas import classify

    value = {"None": None, "nan": float("nan"), "NA": pd.NA}[missing]
    results = classify(pd.DataFrame({"title": ["goal match", value]}), "title", students)
    assert results["topic"].isna().tolist() == [False, True]
    with pytest.raises(InputError, match="column 'title': every value must be a string or missing"):
        classify(pd.DataFrame({"title": ["goal", 7]}), "title", students)


@pytest.mark.parametrize(
    ("names", "kind", "sentence"),
    [
        (["key", "text"], pa.string(), "no column 'title'; there are 'key', 'text'"),
        (["key", "title"], pa.int64(), "column 'title' is of type int64; needed is a column of strings"),
        (["topic", "title"], pa.string(), "column 'topic' is there already, and a result would be named so"),
    ],
)
def test_a_table_that_cannot_be_classified_is_refused_in_one_sentence(
    students: Students, names: list[str], kind: pa.DataType, sentence: str
) -> None:
    table = pa.table({name: pa.nulls(2, kind) for name in names})
    with pytest.raises(InputError, match=sentence):
        students.extend(table, "title")


def test_texts_are_taken_as_everywhere(students: Students, posts: pa.Table) -> None:
    column = posts["title"]
    wanted = students.classify(column.combine_chunks())
    assert students.classify(column).equals(wanted)
    assert students.classify(column.to_pylist()).equals(wanted)
    assert students.classify(column[0].as_py()).to_pylist() == wanted.slice(0, 1).to_pylist()
    with pytest.raises(InputError, match="needed is one of its columns"):
        students.classify(posts)


def test_an_empty_table_and_one_of_nulls_keep_their_rows(students: Students) -> None:
    for table in (pa.table({"title": pa.nulls(3)}), pa.table({"title": pa.array([], pa.string())})):
        results = students.extend(table, "title")
        assert results.num_rows == table.num_rows
        assert results.column_names == ["title", *students.schema.names]
        assert all(results[name].null_count == table.num_rows for name in students.schema.names)


@pytest.mark.parametrize("rows", [0, 2])
def test_a_column_of_pandas_without_a_text_is_one_of_floats(students: Students, rows: int) -> None:
    pd = pytest.importorskip("pandas", reason="the engine pandas is not installed: extra engines")
    from pingti.integrations.pandas import classify

    frame = pd.DataFrame({"title": pd.Series([float("nan")] * rows, dtype="float64")})
    results = classify(frame, "title", students)
    assert results.columns.tolist() == ["title", *students.schema.names]
    assert results["topic"].isna().tolist() == [True] * rows


def test_bytes_of_pandas_are_no_texts(students: Students) -> None:
    pd = pytest.importorskip("pandas", reason="the engine pandas is not installed: extra engines")
    from pingti.integrations.pandas import classify

    with pytest.raises(InputError, match="column 'title': every value must be a string or missing"):
        classify(pd.DataFrame({"title": ["a goal", b"a goal"]}), "title", students)


def test_one_task_may_be_named_alone(students: Students) -> None:
    assert Students.of(students.home, "topic") == Students.of(students.home, ["topic"])


def test_the_students_of_a_job_are_those_of_its_results(
    students: Students, wanted: list[dict[str, Any]], tmp_path: Path
) -> None:
    again = Students.of_results(students.home, tmp_path / "out" / "results.parquet")
    assert (again, len(wanted)) == (students, 301)
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(InputError, match=r"other\.parquet: no pingti\.tasks in its metadata"):
        Students.of_results(students.home, tmp_path / "other.parquet")
    with pytest.raises(InputError, match="not readable as results"):
        Students.of_results(students.home, tmp_path / "absent.parquet")


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
