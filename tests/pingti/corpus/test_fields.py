"""Fields of rows, as they stand in the file."""

import datetime
import decimal
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.columns import BadRow, Columns
from pingti.corpus.fields import look_at, read_fields
from pingti.corpus.values import Instant
from pingti.errors import InputError


def read(
    path: Path, *names: str, text: str = "text", **how: str
) -> tuple[list[tuple[int, dict]], list[BadRow]]:
    bad: list[BadRow] = []
    return list(read_fields(str(path), names, Columns(text=text, **how), bad.append)), bad  # type: ignore[arg-type]


def test_what_a_csv_file_holds_stays_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text,label\n007,1.0,NA\n7,2025-01-01,True\n8,null,\n")
    rows, bad = read(path, "id", "text", "label", "none")
    assert rows == [
        (0, {"id": "007", "text": "1.0", "label": "NA"}),
        (1, {"id": "7", "text": "2025-01-01", "label": "True"}),
        (2, {"id": "8", "text": "null", "label": ""}),
    ]
    assert bad == []


def test_rows_that_cannot_be_read_are_told_and_none_is_merged(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\na,yes,no\n"b,no\nc,yes\nd,no\n')
    rows, bad = read(path, "text", "label")
    assert [(number, row["text"]) for number, row in rows] == [(2, "c"), (3, "d")]
    assert [(row.row, row.reason[:14]) for row in bad] == [(0, "3 fields; the "), (1, "a quote in it ")]
    (tmp_path / "a.tsv").write_text('text\tlabel\n"a quote\tyes\nb"x\tno\n')
    assert [row for _, row in read(tmp_path / "a.tsv", "text", "label")[0]] == [
        {"text": '"a quote', "label": "yes"},
        {"text": 'b"x', "label": "no"},
    ]
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": 1}\n\n[1]\n{"text": "b"}\nx\n')
    rows, bad = read(tmp_path / "a.jsonl", "text", "label")
    assert rows == [(0, {"text": "a", "label": 1}), (2, {"text": "b"})]
    assert [row.row for row in bad] == [1, 3]


def test_an_encoding_and_a_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text;label\n你好世界;yes\n中国人民;no\n天气很好;no\n".encode("gb18030"))
    with pytest.raises(InputError, match='set encoding = "gb18030"'):
        look_at(str(path), Columns())
    assert look_at(str(path), Columns(encoding="gb18030")).notices == ("its fields are separated by ';'",)
    rows, _ = read(path, "text", encoding="gb18030")
    assert rows[0] == (0, {"text": "你好世界"})


def test_types_of_parquet(tmp_path: Path) -> None:
    path = tmp_path / "day=2025-11-03" / "a.parquet"
    path.parent.mkdir()
    number, moment = uuid.UUID(int=7), datetime.datetime(2025, 1, 1)
    table = pa.table(
        {
            "id": pa.array([number.bytes], pa.uuid()),
            "text": pa.array(["a"]).dictionary_encode(),
            "label": pa.array([["yes"]]),
            "score": pa.array([decimal.Decimal("0.25")]),
            "time": pa.array([moment], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, path)
    assert look_at(str(path), Columns()).names == ("id", "text", "label", "score", "time", "day")
    (row,), _ = read(path, "id", "text", "label", "score", "time", "day", "none", id="id")
    seconds = int(moment.replace(tzinfo=datetime.UTC).timestamp())
    assert row[1] == {
        "id": str(number),
        "text": b"a",
        "label": ["yes"],
        "score": decimal.Decimal("0.25"),
        "time": Instant(seconds * 1_000_000),
        "day": "2025-11-03",
    }


def test_fields_that_some_lines_leave_out_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b", "label": "no"}\n')
    assert look_at(str(path), Columns()).names == ("text", "label")
    with pytest.raises(InputError, match="none of the formats"):
        look_at(str(tmp_path / "a.xlsx"), Columns())
