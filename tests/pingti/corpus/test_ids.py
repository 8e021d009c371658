"""Ids of rows alone: the same that the whole rows have."""

import datetime
import decimal
import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus import parquet
from pingti.corpus.ids import read_ids
from pingti.corpus.reader import Columns, read_rows
from pingti.errors import InputError

IDS: dict[str, Any] = {
    "text": pa.array(["a", "b", "c"]),
    "whole numbers": pa.array([1, 2, 3], pa.int32()),
    "numbers beside a gap": pa.array([1.0, None, 3.0]),
    "numbers of which one is broken": pa.array([1.0, 2.5, float("nan")]),
    "decimals": pa.array([decimal.Decimal("1.50"), decimal.Decimal("2"), None], pa.decimal128(8, 2)),
    "days": pa.array([datetime.date(2025, 11, day) for day in (3, 4, 5)]),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "bytes": pa.array([b"a", b"\xff", b"c"], pa.binary()),
    "uuid": pa.array([uuid.UUID(int=number).bytes for number in range(3)], pa.uuid()),
}


def of_whole_rows(path: Path, columns: Columns) -> list[str]:
    return [id for batch in read_rows(str(path), columns, lambda _: None) for id in batch["id"].to_pylist()]


def ids_of(path: Path, columns: Columns) -> list[str]:
    return [id for batch in read_ids(str(path), columns) for id in batch]


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_parquet_are_those_of_whole_rows(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": IDS[kind], "text": ["x", "y", "z"]}), path)
    columns = Columns(id="key")
    assert ids_of(path, columns) == of_whole_rows(path, columns)
    assert ids_of(path, columns)


@pytest.mark.parametrize("id", ["key", None])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl"])
def test_ids_of_text_files(tmp_path: Path, name: str, id: str | None) -> None:
    lines = ["key,text", "k1,a", "k2", "k3,c"]
    if name == "a.jsonl":
        lines = [json.dumps({"key": "k1", "text": "a"}), "{", json.dumps({"key": 3, "text": "c"})]
    content = "\n".join(lines).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    columns = Columns(id=id)
    assert ids_of(path, columns) == of_whole_rows(path, columns)
    assert len(ids_of(path, columns)) == 2


def test_of_parquet_no_text_and_no_time_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[list[str]] = []
    bounded_batches = parquet.bounded_batches

    def seen(path: str, file: pq.ParquetFile, names: list[str], *rest: Any) -> Any:
        read.append(names)
        return bounded_batches(path, file, names, *rest)

    monkeypatch.setattr(parquet, "bounded_batches", seen)
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": ["a", "b"], "text": ["x", None], "at": ["no time", "none"]}), path)
    assert ids_of(path, Columns(id="key", time="at")) == ["a", "b"]
    assert read == [["key"]]
    assert ids_of(path, Columns()) == ["0", "1"]
    assert read == [["key"]]


def test_an_id_that_a_folder_s_name_tells(tmp_path: Path) -> None:
    folder = tmp_path / "shop=north%20sea"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["x", "y"]}), folder / "a.parquet")
    assert ids_of(folder / "a.parquet", Columns(id="shop")) == ["north sea"]


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x"]}), path)
    with pytest.raises(InputError, match="no column 'key'; there are 'text'"):
        ids_of(path, Columns(id="key"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable Parquet file"):
        ids_of(path, Columns(id="key"))


def test_long_ids_that_many_rows_share_are_not_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": ["x" * 10_000] * 1000, "text": ["a"] * 1000}), path)
    monkeypatch.setattr("pingti.corpus.formats._UNCHECKED_BYTES", 1000)
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        ids_of(path, Columns(id="key"))
