import bz2
import errno
import gzip
import io
import json
import lzma
import os
import re
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pingti.corpus import parquet as parquet_rows
from pingti.corpus.formats import FORMATS, LINE_BYTES
from pingti.corpus.reader import BadRow, Columns, check_input, expand, expand_all, read_rows, schema
from pingti.errors import InputError

TEXTS = ['谁在"表扬"单上呢?', "a,b\tc", "two\nlines", " é ", "x"]
TIMES = ["2025-01-02T03:04:05+00:00", "1735787046.5", "2025-01-02", "2025-01-02T03:04:05", "0"]
MICROSECONDS = [1_735_787_045_000_000, 1_735_787_046_500_000, 1_735_776_000_000_000, 1_735_787_045_000_000, 0]
ALL = Columns(text="said", id="key", time="at")


def quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def write(path: Path, columns: dict[str, list[str]]) -> str:
    """The columns as a file of the format that its name says; gives the name."""
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, row_group_size=2)
        return str(path)
    if ".jsonl" in path.name:
        lines = [json.dumps(dict(zip(columns, row, strict=True)), ensure_ascii=False) for row in rows]
    else:
        separator = "\t" if ".tsv" in path.name else ","
        lines = [separator.join(map(quoted, row)) for row in [list(columns), *rows]]
    return write_bytes(path, "".join(line + "\n" for line in lines).encode())


def write_bytes(path: Path, data: bytes) -> str:
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def read(path: str, columns: Columns, batch_rows: int = 2) -> tuple[list[dict[str, object]], list[BadRow]]:
    bad: list[BadRow] = []
    batches = list(read_rows(path, columns, bad.append, batch_rows=batch_rows))
    assert all(batch.schema == schema(columns) for batch in batches)
    assert all(1 <= batch.num_rows <= batch_rows for batch in batches)
    return pa.Table.from_batches(batches, schema(columns)).to_pylist(), bad


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    path = write(
        tmp_path / f"a{suffix}",
        {"other": list("abcde"), "said": TEXTS, "key": ["k1", "七", "k1", "", "k5"], "at": TIMES},
    )
    check_input(path, ALL)
    rows, bad = read(path, ALL)
    assert bad == []
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["id"] for row in rows] == ["k1", "七", "k1", "", "k5"]
    assert [row["text"] for row in rows] == TEXTS
    assert [row["time"] for row in rows] == [datetime.fromtimestamp(t / 1e6, UTC) for t in MICROSECONDS]
    rows, bad = read(path, Columns(text="other"))
    assert [values(row) for row in rows] == [(i, str(i), letter) for i, letter in enumerate("abcde")]


def values(row: dict[str, object]) -> tuple[object, ...]:
    return tuple(row.values())


def test_parquet_columns_of_every_fitting_type(tmp_path: Path) -> None:
    day = datetime(2025, 1, 2, tzinfo=UTC)
    for number, (ids, times, texts) in enumerate(
        [
            (pa.array([7, 8]), pa.array([day, day], pa.timestamp("ns", "UTC")), pa.array(["a", "b"])),
            (pa.array(["7", "8"]), pa.array([day, day], pa.timestamp("s")), pa.array([b"a", b"b"])),
            (pa.array(["7", "8"]).dictionary_encode(), pa.array([day.date()] * 2), pa.array(["a", "b"])),
            (
                pa.array(["7", "8"], pa.large_string()),
                pa.array([day.timestamp()] * 2),
                pa.array(["a", "b"], pa.string_view()),
            ),
        ]
    ):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(pa.table({"key": ids, "at": times, "said": texts}), path)
        rows, bad = read(str(path), ALL)
        assert bad == []
        assert [values(row) for row in rows] == [(0, "7", "a", day), (1, "8", "b", day)]


FIRST, SECOND = uuid.UUID(int=7), uuid.UUID(int=1 << 127)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        (pa.array([9_007_199_254_740_993, -1]), ["9007199254740993", "-1"]),
        (pa.array([2**64 - 1, 0], pa.uint64()), ["18446744073709551615", "0"]),
        (pa.array([Decimal("9007199254740993"), Decimal(10**37)], pa.decimal128(38, 0)), None),
        (pa.array([Decimal("0.00000001"), Decimal("1.50000000")], pa.decimal128(18, 8)), None),
        (pa.array([12.0, 1e15]), ["12", "1000000000000000"]),
        (pa.array([12.0, 0.1]), ["12", "0.1"]),
        (pa.array([1e300, 2.5]), [str(int(1e300)), "2.5"]),
        (pa.array([12, 2.5], pa.float32()), ["12", "2.5"]),
        (pa.array([FIRST.bytes, SECOND.bytes], pa.uuid()), [str(FIRST), str(SECOND)]),
        (pa.array([b"abcd", b"efgh"], pa.binary(4)), ["abcd", "efgh"]),
        (pa.array([True, False]), ["True", "False"]),
        (pa.array([0, 20_000], pa.date32()), ["1970-01-01", "2024-10-04"]),
        (pa.array([1, 10**18 + 1], pa.timestamp("ns")), None),
        (pa.array([1, 10**15], pa.timestamp("us", "UTC")), None),
        (pa.array([1, 2], pa.time64("ns")), ["00:00:00.000000001", "00:00:00.000000002"]),
        (pa.array([1, 2], pa.duration("ns")), ["1", "2"]),
    ],
)
def test_ids_of_every_scalar_type_are_kept_exactly(
    tmp_path: Path, ids: pa.Array, names: list[str] | None
) -> None:
    if names is None:
        names = ids.cast(pa.string()).to_pylist()
        if pa.types.is_decimal(ids.type):
            names = [format(value, "f") for value in ids.to_pylist()]
    missing = pa.nulls(1, ids.type)
    path = tmp_path / "a.parquet"
    keys = pa.chunked_array([pa.concat_arrays([ids, missing])]).combine_chunks()
    # At once, and row by row, as where another row is bad.
    for texts, good in ((["a", "b", "c"], names), (["a", "b" * (LINE_BYTES + 1), "c"], names[:1])):
        pq.write_table(pa.table({"key": keys, "said": texts}), path)
        rows, bad = read(str(path), Columns(text="said", id="key"), batch_rows=9)
        assert [row["id"] for row in rows] == good
        assert "field 'key' is missing or null" in bad[0].reason
        assert [row.id for row in bad[1:]] == names[len(good) :]


def test_an_id_that_is_not_a_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"key": [1.0, float("nan")], "said": ["a", "b"]}), path)
    rows, bad = read(str(path), Columns(text="said", id="key"))
    assert ([row["id"] for row in rows], [row.reason for row in bad]) == (
        ["1"],
        ["field 'key' is missing or null"],
    )


@pytest.mark.parametrize(
    ("number", "name"),
    [
        ("12.0", "12"),
        ("9007199254740993.0", "9007199254740993"),
        ("12345678901234567.25", "12345678901234567.25"),
        ("0.1000000000000000000001", "0.1000000000000000000001"),
        ("1e22", "10000000000000000000000"),
        ("9007199254740993", "9007199254740993"),
    ],
)
def test_a_number_of_json_is_an_id_with_all_its_digits(tmp_path: Path, number: str, name: str) -> None:
    path = write_bytes(tmp_path / "a.jsonl", f'{{"said": "a", "key": {number}}}'.encode())
    rows, bad = read(path, Columns(text="said", id="key"))
    assert ([row["id"] for row in rows], bad) == ([name], [])


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_an_infinite_id_is_a_bad_row(tmp_path: Path, name: str) -> None:
    if name == "a.parquet":
        ids = pa.array([float("inf"), float("-inf"), 5.0])
        pq.write_table(pa.table({"key": ids, "said": ["a", "b", "c"]}), tmp_path / name)
    else:
        lines = [f'{{"said": "a", "key": {number}}}\n' for number in ("1e400", "-Infinity", "5")]
        write_bytes(tmp_path / name, "".join(lines).encode())
    rows, bad = read(str(tmp_path / name), Columns(text="said", id="key"))
    assert [row["id"] for row in rows] == ["5"]
    assert [row.reason for row in bad] == [
        "field 'key' is an infinite number; a string or a finite number is needed"
    ] * 2


def parquet(texts: pa.Array) -> bytes:
    sink = io.BytesIO()
    keys = [f"k{i}" for i in range(len(texts))]
    pq.write_table(pa.table({"key": keys, "said": texts}), sink)
    return sink.getvalue()


# A Parquet file whose column is called text, but whose bytes are not UTF-8.
NOT_UTF8 = pa.Array.from_buffers(
    pa.string(),
    3,
    [None, pa.py_buffer(pa.array([0, 1, 2, 3], pa.int32()).buffers()[1]), pa.py_buffer(b"a\xffc")],
)


@pytest.mark.parametrize(
    ("name", "data", "good", "bad"),
    [
        ("null.parquet", parquet(pa.array(["a", None, "c"])), [0, 2], (1, "k1", "'said' is missing or null")),
        ("type.parquet", parquet(pa.array([[1], [2]])), [], (0, "k0", "of type list; a string is needed")),
        ("utf8.parquet", parquet(NOT_UTF8), [0, 2], (1, "k1", "'said' is not UTF-8")),
        (
            "null.jsonl",
            b'{"key": "x", "said": "a"}\n\n{"key": 12, "said": null}\n{"key": "z", "said": "c"}',
            [0, 2],
            (1, "12", "'said' is missing or null"),
        ),
        (
            "no id.jsonl",
            b'{"said": "a"}\n{"key": "", "said": ""}',
            [1],
            (0, None, "'key' is missing or null"),
        ),
        ("line.jsonl", b'{"key": "x", "said": "a"}\n{"key": "y"', [0], (1, None, "the line is not JSON")),
        ("list.jsonl", b'[]\n{"key": "x", "said": "a"}', [1], (0, None, "not a JSON object")),
        ("deep.jsonl", b'{"key": "x", "said": "a"}\n' + b"[" * 100_000, [0], (1, None, "nested too deeply")),
        (
            "digits.jsonl",
            b'{"key": "x", "said": "a"}\n{"key": ' + b"9" * 5_000 + b"}",
            [0],
            (1, None, "a number of too many digits"),
        ),
        ("number.jsonl", b'{"key": "x", "said": 5}', [], (0, "x", "of type int; a string is needed")),
        ("half.jsonl", b'{"key": "x", "said": "\\ud83d"}', [], (0, "x", "'said' is not UTF-8")),
        ("utf8.jsonl.gz", b'{"key": "\xff", "said": "a"}\n' * 2, None, (0, None, "the line is not UTF-8")),
        (
            "utf8.csv",
            b"\xef\xbb\xbfsaid,key\na,k0\nb\xff,k1\n\nc,k2\n",
            [0, 2],
            (1, "k1", "'said' is not UTF-8"),
        ),
        ("cr.csv", b"said,key\na,k0\nb\rb,k1\nc,k2\n", [0, 2], (1, None, "a carriage return stands within")),
        ("few.tsv", b"said\tkey\na\tk0\nb\nc\tk2\n", [0, 2], (1, None, "1 fields; the header has 2")),
        ("many.csv.gz", b"said,key\na,k0\nb,k1,c\n", [0], (1, None, "3 fields; the header has 2")),
        (
            "quote.csv",
            b'said,key\n"a\nb",k0\n"never,k1\nc,k2\nd,k3\n',
            [0, 2, 3],
            (1, None, "a quote in it (line 4) is never closed as it should be; the lines behind it are read"),
        ),
    ],
)
def test_a_bad_row_is_reported_and_the_others_come_out(
    tmp_path: Path, name: str, data: bytes, good: list[int] | None, bad: tuple[int, str | None, str]
) -> None:
    path = write_bytes(tmp_path / name, data)
    columns = Columns(text="said", id="key")
    if good is None:  # not one row of it can be read: then the file is at fault
        with pytest.raises(InputError, match="no line of it is a JSON object"):
            check_input(path, columns)
    rows, bad_rows = read(path, columns)
    assert [row["row"] for row in rows] == (good or [])
    assert (bad_rows[0].file, bad_rows[0].row, bad_rows[0].id) == (path, *bad[:2])
    assert bad[2] in bad_rows[0].reason
    numbers = [row["row"] for row in rows] + [row.row for row in bad_rows]
    assert sorted(map(int, map(str, numbers))) == list(range(len(numbers)))


@pytest.mark.parametrize("time", ["soon", "", "9" * 400, "nan", "99999999999999"])
def test_a_time_that_is_none_is_a_bad_row(tmp_path: Path, time: str) -> None:
    path = write(tmp_path / "a.csv", {"said": ["a", "b"], "key": ["1", "2"], "at": [time, "2025-01-01"]})
    rows, bad = read(path, ALL)
    assert [row["id"] for row in rows] == ["2"]
    assert [(row.row, row.id) for row in bad] == [(0, "1")]
    assert "needed is a timestamp, ISO 8601 or Unix seconds" in bad[0].reason


IN_TIME = 1_736_937_000  # 2025-01-15, half past ten


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([9 * IN_TIME * 10**3], "later than now;"),
        ([9 * IN_TIME * 10**6], "later than now;"),
        ([9 * IN_TIME * 10**9 // 2], "later than now;"),
        (["9999-12-31", "9999-12-31T00:00:00Z"], "later than now;"),
        ([253_402_214_400], "later than now;"),
        ([20251345], "20251345'?; needed is a timestamp"),
        (["0000-00-00"], "'0000-00-00'; needed is a timestamp"),
    ],
)
def test_a_time_to_come_is_a_bad_row(tmp_path: Path, suffix: str, times: list[object], said: str) -> None:
    for number, time in enumerate(times):
        path = tmp_path / f"{number}{suffix}"
        if suffix == ".parquet":
            pq.write_table(pa.table({"said": ["a", "b"], "at": pa.array([time, time])}), path)
        else:
            write(path, {"said": ["a", "b"], "at": [str(time)] * 2})
        rows, bad = read(str(path), Columns(text="said", time="at"))
        assert rows == []
        assert len(bad) == 2
        assert re.search(said, bad[0].reason), bad[0].reason


MOMENT = datetime(2025, 1, 15, 10, 30, tzinfo=UTC)
NEW_YEAR = datetime(2019, 1, 1, tzinfo=UTC)


def read_times(path: Path, values: list[object], **how: Any) -> tuple[list[object], list[str]]:
    """The times of a file of some values, and the reasons of its bad rows."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"said": ["a"] * len(values), "at": pa.array(values)}), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"said": "a", "at": value}) + "\n" for value in values))
    else:
        write(path, {"said": ["a"] * len(values), "at": list(map(str, values))})
    rows, bad = read(str(path), Columns(text="said", time="at", **how), batch_rows=9)
    return [row["time"] for row in rows], [row.reason for row in bad]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("values", "moment"),
    [
        ([IN_TIME, IN_TIME], MOMENT),
        ([IN_TIME * 10**3], MOMENT),
        ([IN_TIME * 10**6], MOMENT),
        ([IN_TIME * 10**9], MOMENT),
        ([IN_TIME * 1e3, float(IN_TIME)], MOMENT),  # as pandas writes whole numbers beside a gap
        ([f"{IN_TIME}000", f"{IN_TIME}.0"], MOMENT),
        ([IN_TIME * 10**3 + 1], MOMENT + timedelta(milliseconds=1)),
        ([IN_TIME * 10**9 + 1001], MOMENT + timedelta(microseconds=1)),
        ([2019, 201901, 20190101], NEW_YEAR),
        ([2019.0, 201901.0, 20190101.0], NEW_YEAR),
        (["2019", "201901", "2019-01", "2019/1/1", "2019.01.01", "2019年1月1日", "2019年1月"], NEW_YEAR),
        (["2025-01-15 10:30:00 UTC", "2025-01-15 10:30:00.000000 UTC", "2025-01-15 10:30 UTC"], MOMENT),
        (["2025/1/15 10:30", "2025/01/15 10:30:00", " 2025-1-15 10:30", "2025.1.15 10:30"], MOMENT),
        (["2025-01-15T18:30:00+08:00", "2025-01-15T10:30:00Z"], MOMENT),
    ],
)
def test_times_as_other_programs_write_them(
    tmp_path: Path, suffix: str, values: list[object], moment: datetime
) -> None:
    assert read_times(tmp_path / f"a{suffix}", values) == ([moment] * len(values), [])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize("value", [1, 45_678, 20_000.5, 202413, 987_654, "03/11/2025", "11:30", "2025/13/1"])
def test_what_may_be_no_time_is_refused_with_the_keys_to_set(
    tmp_path: Path, suffix: str, value: object
) -> None:
    times, bad = read_times(tmp_path / f"a{suffix}", [value])
    assert times == []
    assert re.search("; needed is a timestamp, .* or set time_format or time_unit$", bad[0]), bad


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    ("value", "how", "moment"),
    [
        ("15.01.2025 10:30", {"time_format": "%d.%m.%Y %H:%M"}, MOMENT),
        ("15 Jan 2025 18:30 +0800", {"time_format": "%d %b %Y %H:%M %z"}, MOMENT),
        (2019001, {"time_format": "%Y%j"}, NEW_YEAR),
        (86_400, {"time_unit": "s"}, datetime(1970, 1, 2, tzinfo=UTC)),
        (86_400_000, {"time_unit": "ms"}, datetime(1970, 1, 2, tzinfo=UTC)),
        (2019, {"time_unit": "s"}, datetime(1970, 1, 1, 0, 33, 39, tzinfo=UTC)),
    ],
)
def test_a_caller_says_how_times_are_meant(
    tmp_path: Path, suffix: str, value: object, how: dict[str, str], moment: datetime
) -> None:
    assert read_times(tmp_path / f"a{suffix}", [value], **how) == ([moment], [])


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_what_is_not_as_a_caller_says_is_a_bad_row(tmp_path: Path, suffix: str) -> None:
    times, bad = read_times(tmp_path / f"a{suffix}", ["2025-01-15"], time_format="%d.%m.%Y")
    assert (times, "as time_format = '%d.%m.%Y' says" in bad[0]) == ([], True)
    times, bad = read_times(tmp_path / f"b{suffix}", [IN_TIME * 1000], time_unit="s")
    assert (times, ", later than now;" in bad[0]) == ([], True)
    times, bad = read_times(tmp_path / f"c{suffix}", ["1" * 500_000])
    assert (times, len(bad[0]) < 300) == ([], True)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_files_own_times_are_converted_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    """Row by row they took 38 times as long."""
    monkeypatch.setattr(parquet_rows, "python_value", None)
    times = [MOMENT, datetime(1969, 12, 31, 23, tzinfo=UTC), datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)]
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"said": list("abc"), "at": pa.array(times, pa.timestamp(unit, "UTC"))}), path)
    rows, bad = read(str(path), Columns(text="said", time="at"), batch_rows=9)
    assert ([row["time"] for row in rows], bad) == (times, [])


def test_a_parquet_files_own_times_to_come_are_bad_rows(tmp_path: Path) -> None:
    tomorrow = datetime.now(UTC) + timedelta(hours=20)  # a zone that is absent
    times = [datetime(2025, 1, 15, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC), tomorrow]
    for unit in ("s", "ms", "us"):
        path = tmp_path / f"{unit}.parquet"
        column = pa.array(times).cast(pa.timestamp(unit, "UTC"), safe=False)
        pq.write_table(pa.table({"said": list("abc"), "at": column}), path)
        rows, bad = read(str(path), Columns(text="said", time="at"), batch_rows=3)
        assert [row["text"] for row in rows] == ["a", "c"]
        assert [row.row for row in bad] == [1]
        assert "later than now;" in bad[0].reason


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_digits_may_be_a_date(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    digits = [20250115, 20240229]
    if suffix == ".parquet":
        pq.write_table(pa.table({"said": ["a", "b"], "at": digits}), path)
    elif suffix == ".csv":
        write(path, {"said": ["a", "b"], "at": list(map(str, digits))})
    else:
        path.write_text("".join(json.dumps({"said": "a", "at": date}) + "\n" for date in digits))
    rows, bad = read(str(path), Columns(text="said", time="at"))
    assert bad == []
    assert [row["time"] for row in rows] == [
        datetime(2025, 1, 15, tzinfo=UTC),
        datetime(2024, 2, 29, tzinfo=UTC),
    ]
    # As a file's own type a moment of 1970 stays what it is.
    pq.write_table(
        pa.table({"said": ["a"], "at": pa.array([20250115], pa.timestamp("s"))}), tmp_path / "b.parquet"
    )
    rows, bad = read(str(tmp_path / "b.parquet"), Columns(text="said", time="at"))
    assert rows[0]["time"] == datetime.fromtimestamp(20250115, UTC)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "the file is empty"),
        ("a.jsonl.gz", b"", "the file is empty"),
        ("a.parquet", b"", "the file is empty"),
        ("a.parquet", b"text\nhello\n", "not a readable Parquet file"),
        ("a.csv", b"said,other\n1,2\n", "no column 'text'; there are 'said', 'other'"),
        ("a.csv", b"text,text\n1,2\n", "2 columns are named 'text'"),
        ("a.jsonl", b'{"said": "a"}\n', "no column 'text'; there are 'said'"),
        ("a.jsonl", b"text\nhello\n", "no line of it is a JSON object"),
        ("a.parquet", parquet(pa.array(["a"])), "no column 'text'; there are 'key', 'said'"),
        ("a.csv", parquet(pa.array(["a"])), "looks like a Parquet file, not like .csv"),
        ("a.tsv", b"PK\x03\x04rest", "looks like a zip archive or an Excel workbook"),
        ("a.csv", gzip.compress(b"text\na\n", mtime=0), "looks like a gzip file"),
        ("a.csv", "text\nhello\n".encode("utf-16"), "looks like UTF-16 text"),
        ("a.jsonl", bz2.compress(b'{"text": "a"}'), "looks like a bzip2 file"),
        ("a.csv", lzma.compress(b"text\na\n"), "looks like an xz file"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1rest", "looks like an old Excel workbook"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\noid x\n", "a pointer of Git LFS"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\noid x\n", "a pointer of Git LFS"),
        ("a.parquet", gzip.compress(b"text\na\n", mtime=0), "looks like a gzip file, not like .parquet"),
        ("a.csv", b"BZhang\n1\n", "no column 'text'; there are 'BZhang'"),
        ("a.xlsx", b"PK", "the name ends in none of the formats that are read: .parquet .jsonl"),
        ("a.parquet.gz", b"PK", "the name ends in none of the formats"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = write_bytes(tmp_path / name, data)
    with pytest.raises(InputError) as caught:
        check_input(path, Columns())
    assert str(caught.value).startswith(path)
    assert message in str(caught.value)
    (fault,) = caught.value.faults
    assert (fault.file, f"{fault.file}: {fault.detail}") == (path, str(caught.value))


def test_a_file_that_is_not_there_a_folder_and_half_a_gzip(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.csv: no such file"):
        check_input(str(tmp_path / "a.csv"), Columns())
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(InputError, match=r"b\.csv: is a folder"):
        check_input(str(tmp_path / "b.csv"), Columns())
    os.mkfifo(tmp_path / "pipe.csv")  # nobody writes into it: whoever opened it would wait
    with pytest.raises(InputError, match=r"pipe\.csv: is a pipe or a device; a file is needed"):
        check_input(str(tmp_path / "pipe.csv"), Columns())
    with pytest.raises(InputError, match=r"not readable: .*too long"):
        check_input("x" * 5_000 + ".csv", Columns())
    (tmp_path / "c.csv.gz").write_bytes(b"text\nplain\n")
    with pytest.raises(InputError, match=r"c\.csv.gz: not a whole gzip file"):
        check_input(str(tmp_path / "c.csv.gz"), Columns())
    data = gzip.compress(b"text\n" + bytes(range(32, 127)) * 1000 + b"\n")
    (tmp_path / "d.csv.gz").write_bytes(data[:-9])
    with pytest.raises(InputError, match=r"d\.csv.gz: not a whole gzip file"):
        read(str(tmp_path / "d.csv.gz"), Columns())


def test_a_damaged_page_of_a_parquet_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"text": [f"{i * i}" for i in range(5000)]}), path, compression="zstd", use_dictionary=False
    )
    data = bytearray(path.read_bytes())
    data[400:800] = bytes(400)
    path.write_bytes(data)
    check_input(str(path), Columns())
    with pytest.raises(InputError, match=r"a\.parquet: not a readable Parquet file"):
        read(str(path), Columns())


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_text_of_several_megabytes_comes_out_whole(tmp_path: Path, suffix: str) -> None:
    texts = ["长" * 1_000_000, "", "next"]
    rows, bad = read(write(tmp_path / f"a{suffix}", {"text": texts, "n": list("abc")}), Columns())
    assert bad == []
    assert [row["text"] for row in rows] == texts


LONG = "长" * 700
SHARED = pa.array([LONG, "short"]).take(pa.array([0, 1] * 1000))
SHARED_AND_LONG: dict[str, tuple[pa.Array, dict[str, Any]]] = {
    "a value that all rows share": (SHARED, {}),
    "a type that says so": (SHARED.dictionary_encode(), {}),
    "the same in small groups": (SHARED, {"row_group_size": 100}),
    "values told by the one before": (
        pa.array([f"{LONG}{n % 7}" for n in range(2000)]),
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
    ),
    "long texts": (pa.array([f"{n}{LONG}" for n in range(2000)]), {"use_dictionary": False}),
}


@pytest.mark.parametrize("name", [*SHARED_AND_LONG, "lines"])
def test_what_is_read_at_once_is_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module, constant, value in (
        (parquet_rows, "BATCH_BYTES", 1 << 16),
        (parquet_rows, "_MEAN_BYTES", 1 << 14),
    ):
        monkeypatch.setattr(module, constant, value)
    if name == "lines":
        texts = pa.array([f"{n}{LONG}" for n in range(2000)])
        path = write(tmp_path / "a.jsonl", {"text": texts.to_pylist()})
    else:
        texts, options = SHARED_AND_LONG[name]
        path = str(tmp_path / "a.parquet")
        pq.write_table(pa.table({"text": texts}), path, compression="zstd", **options)
    batches = list(read_rows(path, Columns(), lambda _: None))
    assert max(batch.nbytes for batch in batches) < 4 << 16
    read_texts = pa.chunked_array([batch["text"] for batch in batches])
    assert read_texts.to_pylist() == texts.to_pylist()
    assert [row for batch in batches for row in batch["row"].to_pylist()] == list(range(2000))


def test_a_small_file_that_unpacks_to_much_is_read_in_small_batches(tmp_path: Path) -> None:
    """Seven hundred megabytes of texts in some hundred bytes."""
    path = tmp_path / "a.parquet"
    shared = pa.DictionaryArray.from_arrays(pa.array([0] * 60_000, pa.int32()), pa.array(["长" * 4000]))
    pq.write_table(pa.table({"text": shared}), path, compression="zstd")
    assert path.stat().st_size < 2000
    first = next(read_rows(str(path), Columns(), lambda _: None, batch_rows=32_768))
    assert first.nbytes <= 2 * parquet_rows.BATCH_BYTES


@pytest.mark.parametrize(
    ("rows", "length", "column"),
    [(3_000_000, 1 << 20, "text"), (100_000, 20 << 20, "text"), (9_000, 1 << 17, "id")],
)
def test_a_file_whose_rows_share_a_long_value_is_refused_before_it_is_unpacked(
    tmp_path: Path, rows: int, length: int, column: str
) -> None:
    indices = pa.array(np.zeros(rows, np.int32))
    shared = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * length]))
    short = pa.DictionaryArray.from_arrays(indices, pa.array(["x"]))
    path = tmp_path / "a.parquet"
    names = {"text": short, "id": short, column: shared}
    pq.write_table(pa.table(names), path, compression="zstd")
    assert path.stat().st_size < 20_000
    before = pa.total_allocated_bytes()
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        check_input(str(path), Columns(id="id"))
    assert pa.total_allocated_bytes() - before < 100 << 20
    # Who does not check is stopped on the way.
    read_bytes = 0
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        for batch in read_rows(str(path), Columns(id="id"), lambda _: None):
            read_bytes += batch.nbytes
    assert read_bytes < 400 << 20


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}, {"row_group_size": 1000}])
def test_honest_files_of_equal_rows_are_read(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "a.parquet"
    texts = pa.array(["same", None, "other"] * 100_000)
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", **options)
    check_input(str(path), Columns())
    bad: list[BadRow] = []
    rows = sum(batch.num_rows for batch in read_rows(str(path), Columns(), bad.append))
    assert (rows, len(bad)) == (200_000, 100_000)


@pytest.mark.parametrize("suffix", [".parquet", ".csv"])
def test_a_text_longer_than_a_line_may_be_is_a_bad_row(tmp_path: Path, suffix: str) -> None:
    half = "a" * (LINE_BYTES // 2)
    texts = ["first", f"{half}\n{half}", half, "last"]
    rows, bad = read(write(tmp_path / f"a{suffix}", {"text": texts, "n": list("abcd")}), Columns())
    assert [row["text"] for row in rows] == ["first", half, "last"]
    assert [(row.row, row.reason) for row in bad] == [(1, "field 'text' is longer than 16,777,216 bytes")]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)))
def test_any_text_survives_csv_and_jsonl(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    folder = tmp_path_factory.mktemp("any")
    columns = {"text": texts, "n": ["1"] * len(texts)}
    for suffix in (".csv", ".jsonl") if texts else (".csv",):
        rows, bad = read(write(folder / f"a{suffix}", columns), Columns())
        assert bad == []
        assert [row["text"] for row in rows] == texts


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.csv", "a.csv", "[a].csv", "deep/er/c.csv", "d.txt", "folder.csv/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["[a].csv", "a.csv", "b.csv"]),
        ("[ab].csv", ["a.csv", "b.csv"]),
        ("[a].csv", ["[a].csv"]),
        ("deep/../b.csv", ["deep/../b.csv"]),
        ("**/*.csv", ["[a].csv", "a.csv", "b.csv", "deep/er/c.csv"]),
        ("{}/?.csv", ["a.csv", "b.csv"]),
    ],
)
def test_a_pattern_names_files_in_order(tree: Path, pattern: str, names: list[str]) -> None:
    assert expand(pattern.format(tree), tree) == [str(tree / name) for name in names]
    for letter in "qwertyuiop":  # a folder lists its files in any order
        (tree / "deep" / f"{letter}.tsv").touch()
    assert expand("deep/*.tsv", tree) == sorted(
        str(tree / "deep" / f"{letter}.tsv") for letter in "qwertyuiop"
    )


def test_links_that_lead_in_a_circle_are_not_followed(tree: Path) -> None:
    for number in range(9):  # each doubles the ways around
        (tree / "deep" / f"up{number}").symlink_to("..")
    for pattern in ("**/*.csv", "deep/**/*.csv", "**", "**/er/**", "**/deep/**/c.csv", "**/" * 40 + "*.csv"):
        names = [path.removeprefix(f"{tree}/") for path in expand(pattern, tree)]
        assert "deep/er/c.csv" in names
        assert not any("up" in name for name in names)
    assert expand(f"{tree}/**/c.csv", Path("/")) == [str(tree / "deep/er/c.csv")]
    assert expand("deep/up0/**/c.csv", tree) == [str(tree / "deep/up0/deep/er/c.csv")]  # it is named


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Tables as engines write them: two parts, partitions, and what their writer keeps for itself."""
    for name in (
        "spark.parquet/part-00000.snappy.parquet",
        "spark.parquet/part-00001.snappy.parquet",
        "hive/day=2025-11-03/part-0.parquet",
        "hive/day=2025-11-03/hour=8/part-1.PARQUET",
        "hive/day=2025-11-04/part-0.parquet",
        "plain/a.csv",
        "plain/deep/b.jsonl.gz",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.lower().endswith(".parquet"):
            pq.write_table(pa.table({"text": [name]}), path)
        else:
            path.touch()
    for name in (
        "spark.parquet/_SUCCESS",
        "spark.parquet/.part-00000.snappy.parquet.crc",
        "spark.parquet/._hidden.parquet",
        "spark.parquet/_temporary/0/part-9.parquet",
        "hive/day=2025-11-03/.staging/part-9.parquet",
        "hive/_delta_log/0.parquet",
        "plain/notes.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


SPARK = ["spark.parquet/part-00000.snappy.parquet", "spark.parquet/part-00001.snappy.parquet"]
HIVE = [
    "hive/day=2025-11-03/hour=8/part-1.PARQUET",
    "hive/day=2025-11-03/part-0.parquet",
    "hive/day=2025-11-04/part-0.parquet",
]


@pytest.mark.parametrize("address", ["{}/", "file://{}/"])
@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("spark.parquet", SPARK),
        ("spark.parquet/", SPARK),
        ("spark.parquet/part-*", SPARK),
        ("*.parquet", SPARK),
        ("hive", HIVE),
        ("hive/day=*", HIVE),
        ("hive/day=2025-11-04", HIVE[2:]),
        ("hive/*/part-0.parquet", HIVE[1:]),
        ("plain", ["plain/a.csv", "plain/deep/b.jsonl.gz"]),
        ("plain/*.csv", ["plain/a.csv"]),
    ],
)
def test_a_folder_stands_for_the_files_of_a_table(
    tables: Path, address: str, pattern: str, names: list[str]
) -> None:
    start = address.format(tables)
    assert expand(start + pattern, tables) == [start + name for name in names]
    if pattern != "plain":
        texts = [row["text"] for path in expand(start + "hive", tables) for row in read(path, Columns())[0]]
        assert texts == HIVE


def test_a_partition_tells_a_time(tmp_path: Path) -> None:
    times = {
        "day=2025-01-15 10%3A30": MOMENT,
        "day=20190101": NEW_YEAR,
        "day=__HIVE_DEFAULT_PARTITION__": None,
        "day": None,
    }
    columns = Columns(time="day", id="id")
    for folder, moment in times.items():
        path = tmp_path / "text=b" / folder / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table({"text": ["a", "b"], "id": ["7", "8"]}), path)
        if folder == "day":
            for use in (check_input, read):
                with pytest.raises(InputError, match="no column 'day'; there are 'text', 'id'"):
                    use(str(path), columns)
            continue
        check_input(str(path), columns)
        rows, bad = read(str(path), columns)
        assert [values(row) for row in rows] == [
            (at, str(at + 7), "ab"[at], moment) for at in range(2 if moment else 0)
        ]
        assert [row.row for row in bad] == ([] if moment else [0, 1])
    # What the file itself says holds.
    path = tmp_path / "id=9" / "part-0.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({"text": ["a"], "id": ["7"]}), path)
    assert read(str(path), Columns(id="id"))[0] == [{"row": 0, "id": "7", "text": "a"}]


def test_a_folder_without_files_of_rows_is_refused_and_a_pattern_takes_no_other_folder(tables: Path) -> None:
    for pattern in ("empty", "*", "plain/d*", f"file://{tables}/empty"):
        with pytest.raises(InputError, match="no such file"):
            expand(pattern, tables / "empty" if pattern == "*" else tables)


def test_a_file_that_two_patterns_name_is_read_once(tree: Path) -> None:
    (tree / "link.csv").symlink_to(tree / "b.csv")
    patterns = ["b.csv", "?.csv", str(tree / "b.csv"), "deep/../a.csv", f"file://{tree}/b.csv", "link.csv"]
    paths = expand_all(patterns, tree)
    # A URL is left as it is: what it points at is not known.
    assert paths == [str(tree / "b.csv"), str(tree / "a.csv"), f"file://{tree}/b.csv"]


def test_a_url_is_read_and_a_pattern_without_files_is_refused(tree: Path) -> None:
    (tree / "b.csv").write_text("text\nhello\n")
    (url,) = expand(f"file://{tree}/b*", Path("/"))
    assert url == f"file://{tree}/b.csv"
    rows, _ = read(url, Columns())
    assert rows == [{"row": 0, "id": "0", "text": "hello"}]
    for pattern in ("*.jsonl", "folder.csv", f"file://{tree}/z*"):
        with pytest.raises(InputError, match="no such file"):
            expand(pattern, tree)
    with pytest.raises(InputError, match="not readable"):
        check_input("nosuch://a.csv", Columns())
    # The drivers of some addresses are packages of their own, and nobody need be at the others.
    for pattern in ("nosuch://a/*.csv", "http://127.0.0.1:1/*.csv", "hdfs://h/a.csv"):
        with pytest.raises(InputError, match=re.escape(f"{pattern}: not readable: ")):
            expand(pattern, tree)
    with pytest.raises(InputError, match="not readable: File name too long"):
        expand("x" * 5_000, tree)


def test_a_folder_of_somebody_else_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_file", denied)  # whoever runs the tests may read all
    with pytest.raises(InputError, match=r"deep: not readable: Permission denied$"):
        expand("deep", tree)


def test_a_json_line_that_is_too_long_is_a_bad_row_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    long = b'{"text": "' + b"x" * (2 * LINE_BYTES) + b'"}\n'
    path.write_bytes(b'{"text": "first"}\n' + long + b'{"text": "last"}\n')
    bad: list[BadRow] = []
    batches = list(read_rows(str(path), Columns(), bad.append))
    assert [text for batch in batches for text in batch["text"].to_pylist()] == ["first", "last"]
    assert [(row.row, "longer than" in row.reason) for row in bad] == [(1, True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.tsv"])
def test_a_batch_comes_after_some_megabytes_even_if_there_is_no_row_in_them(
    tmp_path: Path, name: str
) -> None:
    first, second = (b'{"text": "x"}\n', b'{"text": "y"}\n') if "jsonl" in name else (b"text\nx\n", b"y\n")
    blank = (b" " * (1 << 20) + b"\n") * 40 if "jsonl" in name else b"\n" * (5 << 19)
    path = write_bytes(tmp_path / name, first + blank + second)
    batches = list(read_rows(path, Columns(), pytest.fail))
    assert len(batches) > 2
    rows = pa.Table.from_batches(batches).to_pylist()
    assert [(row["row"], row["text"]) for row in rows] == [(0, "x"), (1, "y")]


def test_very_many_empty_lines_before_the_header_are_passed_over(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a.csv", b"\n" * (3 << 20) + b"text\nx\n")
    rows, bad = read(path, Columns())
    assert ([row["text"] for row in rows], bad) == (["x"], [])


@pytest.mark.parametrize(
    ("name", "line", "says"),
    [
        ("a.csv", b"\n", "its first 4,194,304 lines are empty; a header is needed"),
        ("a.jsonl", b"\n", "no line of its first 4,194,304 bytes is a JSON object"),
        (
            "a.jsonl",
            b"[1, 2, 3, 4, 5, 6, 7, 8, 9]\n",
            "no line of its first 4,194,304 bytes is a JSON object",
        ),
    ],
)
def test_who_submits_a_file_waits_for_a_few_megabytes_at_most(
    tmp_path: Path, name: str, line: bytes, says: str
) -> None:
    last = b'{"text": "x"}\n' if "jsonl" in name else b"text\nx\n"
    path = write_bytes(tmp_path / name, line * ((5 << 20) // (len(line) if "jsonl" in name else 1)) + last)
    with pytest.raises(InputError, match=says):
        check_input(path, Columns())


def test_a_table_that_has_fewer_rows_than_it_says_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["a", "b", "c"]}), path)
    real = parquet_rows.bounded_batches
    monkeypatch.setattr(
        parquet_rows, "bounded_batches", lambda *given: (batch.slice(1) for batch in real(*given))
    )
    with pytest.raises(InputError, match=r"a\.parquet: .*: 3 rows are named in it, 1 came"):
        read(str(path), Columns())


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_of_very_many_columns_some_are_named(tmp_path: Path, name: str) -> None:
    columns = {"x" * 5_000: ["a"], **{f"c{number}": ["a"] for number in range(2_000)}}
    path = write(tmp_path / name, columns)
    with pytest.raises(
        InputError, match=r"no column 'text'; there are 'x+\.\.\.', 'c0', .*, 1,981 more$"
    ) as error:
        check_input(path, Columns())
    assert len(str(error.value)) < len(path) + 400


@pytest.mark.parametrize("data", [b"\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_a_file_without_a_header_has_no_columns(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(InputError, match="no column 'text'; there are none"):
        check_input(write_bytes(tmp_path / "a.csv", data), Columns())


@pytest.mark.parametrize(("columns", "says"), [
    (Columns(text="body"), "no column 'body'; there are 'text', and by the names of its folders 'day'$"),
    (Columns(text="text", id="day"), "no column 'day'; .*; of a text file these can only be kept$"),
])  # fmt: skip
def test_columns_that_the_folders_names_are_stand_in_the_sentence(
    tmp_path: Path, columns: Columns, says: str
) -> None:
    path = tmp_path / "day=2025-11-03" / "a.csv"
    path.parent.mkdir()
    path.write_text("text\na goal\n")
    with pytest.raises(InputError, match=says):
        check_input(str(path), columns)
