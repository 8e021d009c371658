"""Part files as one stream: the same rows in every format, in the memory of a batch."""

import io
import json
import math
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.rest.result_formats import ResultFormat, stream

SCHEMA = pa.schema(
    [("id", pa.string()), ("sport", pa.string()), ("sport_score", pa.float32())], metadata={"job": "job-1"}
)


def part(folder: Path, number: int, rows: list[tuple[str, str | None, float | None]]) -> Path:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    path = folder / f"{number:05}.parquet"
    pq.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), path)
    return path


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    return [
        part(tmp_path, 0, [('a,"1"\n', "yes", 0.9), ("题", "no", 1e-9)]),
        part(tmp_path, 1, []),
        part(tmp_path, 2, [("", None, None)]),
    ]


ROWS = [
    {"id": 'a,"1"\n', "sport": "yes", "sport_score": 0.9},
    {"id": "题", "sport": "no", "sport_score": 1e-9},
    {"id": "", "sport": None, "sport_score": None},
]


def test_jsonl(parts: list[Path]) -> None:
    text = b"".join(stream(parts, SCHEMA, ResultFormat.JSONL)).decode()
    assert [json.loads(line) for line in text.splitlines()] == ROWS
    assert "0.9}" in text  # the shortest text of the float32


@given(st.lists(st.tuples(st.text(), st.none() | st.text(), st.none() | st.floats(width=32)), min_size=1))
def test_any_text_survives_jsonl(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = part(tmp_path_factory.mktemp("any"), 0, rows)
    lines = b"".join(stream([path], SCHEMA, ResultFormat.JSONL)).decode().removesuffix("\n").split("\n")
    read = [json.loads(line) for line in lines]
    assert [(row["id"], row["sport"]) for row in read] == [row[:2] for row in rows]
    # JSON has neither NaN nor infinity. The shortest text of a float32 gives the same float32 again.
    scores = [score if score is not None and math.isfinite(score) else None for _, _, score in rows]
    assert [None if row["sport_score"] is None else np.float32(row["sport_score"]) for row in read] == scores


def test_parquet(parts: list[Path]) -> None:
    data = b"".join(stream(parts, SCHEMA, ResultFormat.PARQUET))
    table = pq.read_table(io.BytesIO(data))
    assert table.schema.equals(SCHEMA, check_metadata=True)
    assert table.equals(pa.concat_tables(map(pq.read_table, parts)))


def test_csv(parts: list[Path]) -> None:
    data = b"".join(stream(parts, SCHEMA, ResultFormat.CSV))
    assert data.startswith(b'"id","sport","sport_score"\n')
    options = pyarrow.csv.ConvertOptions(
        column_types=SCHEMA, strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    read = pyarrow.csv.read_csv(io.BytesIO(data), convert_options=options, parse_options=parse)
    assert read.to_pylist() == pa.concat_tables(map(pq.read_table, parts)).to_pylist()


@pytest.mark.parametrize("form", ResultFormat)
def test_a_job_without_parts_gives_an_empty_file_of_the_format(form: ResultFormat) -> None:
    data = b"".join(stream([], SCHEMA, form))
    if form is ResultFormat.PARQUET:
        assert pq.read_table(io.BytesIO(data)).schema.equals(SCHEMA)
    else:
        assert data == (b'"id","sport","sport_score"\n' if form is ResultFormat.CSV else b"")


@pytest.mark.parametrize("form", ResultFormat)
def test_memory_is_that_of_a_batch(tmp_path: Path, form: ResultFormat) -> None:
    paths = []
    for number in range(12):
        text = [f"{number:03}-{row:09}" * 8 for row in range(20_000)]
        paths.append(part(tmp_path, number, [(value, "yes", 0.5) for value in text]))
    whole = sum(pq.read_table(path).nbytes for path in paths)
    before = pa.total_allocated_bytes()
    most = 0
    for chunk in stream(paths, SCHEMA, form):
        most = max(most, pa.total_allocated_bytes() - before, len(chunk))
    assert most < whole / 3


KEPT = pa.table(
    {
        "id": pa.array([2**60, None]),
        "size": pa.array([Decimal("1.50"), None]),
        "on": pa.array([True, None]),
        "day": pa.array([date(2025, 1, 2), None]),
        "at": pa.array([datetime(2025, 1, 2, 3, 4, tzinfo=UTC), None], pa.timestamp("ms", "UTC")),
        "key": pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()),
        "nothing": pa.nulls(2),
    }
)


def test_kept_columns_of_any_type_as_text(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    pq.write_table(KEPT, path)
    key = "00000000-0000-0000-0000-000000000007"
    lines = b"".join(stream([path], KEPT.schema, ResultFormat.JSONL)).splitlines()
    row, empty = map(json.loads, lines)
    assert row == {
        "id": 2**60,
        "size": "1.50",
        "on": True,
        "day": "2025-01-02",
        "at": "2025-01-02 03:04:00.000Z",
        "key": key,
        "nothing": None,
    }
    assert empty == dict.fromkeys(KEPT.column_names)
    text = b"".join(stream([path], KEPT.schema, ResultFormat.CSV)).decode()
    assert text.splitlines()[1] == f'{2**60},"1.50",true,2025-01-02,2025-01-02 03:04:00.000Z,"{key}",'
    assert text.splitlines()[2] == "," * 6
