"""Rows and bad rows are the same whether Arrow reads a block or Python its lines, whatever is in it."""

import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pingti.corpus.blocks import lines as blocks
from pingti.corpus.kept import Carrying
from pingti.corpus.reader import BadRow, Columns, read_rows
from pingti.errors import InputError

Read = tuple[list[tuple[Any, ...]], list[BadRow], str | None]
Batches = Callable[..., Iterator[pa.RecordBatch]]
any_file = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
BLOCKS = st.sampled_from([(1, 1), (16, 8), (64, 16), (256, 64), (1 << 20, 1 << 16)])
"""Bytes of a block and of a small one: with few of them rows are cut everywhere."""


def rows_of(path: Path, columns: Columns, batches: Batches) -> Read:
    """Good rows and bad rows; where there is an error its sentence alone, as rows before it may be late."""
    bad: list[BadRow] = []
    rows: list[tuple[Any, ...]] = []
    with patch.object(blocks, "batches", batches):
        try:
            for batch in read_rows(str(path), columns, bad.append, batch_rows=7):
                rows += zip(*(column.to_pylist() for column in batch.columns), strict=True)
        except InputError as error:
            return [], [], str(error)
    return rows, bad, None


def both(path: Path, data: bytes, columns: Columns, sizes: tuple[int, int] = (1 << 20, 1 << 16)) -> Read:
    """The rows of a file, read in both ways; ``by_arrow_blocks`` counts."""
    path.write_bytes(data)
    read_blocks = blocks.batches

    def by_row_alone(lines: Any, columns: Columns, _: Any, by_row: Any) -> Iterator[pa.RecordBatch]:
        return read_blocks(lines, columns, lambda block: None, by_row)

    def counted(lines: Any, columns: Columns, by_arrow: Any, by_row: Any) -> Iterator[pa.RecordBatch]:
        def count(block: bytes) -> pa.RecordBatch | None:
            batch = by_arrow(block)
            by_arrow_blocks[batch is not None] += 1
            return batch

        return read_blocks(lines, columns, count, by_row)

    with patch.multiple(blocks, BLOCK_BYTES=sizes[0], SMALL_BYTES=sizes[1]):
        slow = rows_of(path, columns, by_row_alone)
        assert rows_of(path, columns, counted) == slow
    return slow


by_arrow_blocks = [0, 0]
"""Blocks that Arrow did not read, and those that it did."""


def keeping(columns: Columns, *names: str) -> Columns:
    """The columns, with others of text files that go along."""
    carrying = Carrying(replace(columns, keep=names))
    carrying.add("a.csv", dict.fromkeys(names, pa.string()))
    return carrying.columns()


PIECES = [
    b'"', b'""', b",", b"\n", b"\r\n", b"\r", b"a", b"1", "é".encode(), b"\xff", b"\0", b"\\", b'\\"',
    b"\xef\xbb\xbf", b";", b"\t", b" ", b"NULL", b"\n\n",
]  # fmt: skip
LINES = [
    b"x,y\n", b'"q","z"\n', b'p,"a ""q"", b"\n', b'p,"a,b"\n', b"1,t\n", b'2,a"b\n', b"\n", b"3\n",
    b"a,b,c\n",
    b"r,s\r\n", b",\n", b'"",""\n', b"\xe4\xbd\xa0,\xff\n", b'"a\nb",c\n', b'"x\n', b"5,c\\d\n",
    b'6,"c\\"d"\n',
]  # fmt: skip
HEADERS = [
    b"id,text\n", b"text,id\r\n", b"text\n", b'"id","text"\n', b"\xef\xbb\xbfid,text\n", b"id,text,z\n",
    b"sep=,\nid,text\n", b"a,text,id\n",
]  # fmt: skip
FORMS: list[dict[str, Any]] = [{}, {"quoting": "quoted"}, {"quoting": "none"}, {"escape": "\\"}]
of_pieces = st.lists(st.sampled_from(PIECES + LINES), max_size=40).map(b"".join)
of_lines = st.lists(st.sampled_from(LINES), max_size=60).map(b"".join)


@any_file
@given(
    header=st.sampled_from(HEADERS),
    body=st.one_of(of_pieces, of_lines, st.tuples(of_lines, of_pieces, of_lines).map(b"".join)),
    form=st.sampled_from(FORMS),
    suffix=st.sampled_from([".csv", ".tsv"]),
    identified=st.booleans(),
    sizes=BLOCKS,
)
def test_csv(
    tmp_path: Path,
    header: bytes,
    body: bytes,
    form: dict[str, Any],
    suffix: str,
    identified: bool,
    sizes: tuple[int, int],
) -> None:
    data = header + body
    if suffix == ".tsv":
        data = data.replace(b",", b"\t")
    columns = Columns(id="id" if identified else None, **form)
    both(tmp_path / f"a{suffix}", data, keeping(columns, "z") if b"z" in header else columns, sizes)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-3, 3),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from(["\ud800", "😀", "\0", "NaN", "Inf,", "Infinity]", "}\n{", '"']),
    ),
    lambda values: st.one_of(st.lists(values, max_size=3), st.dictionaries(st.text(max_size=3), values)),
    max_leaves=5,
)


def spelled(value: object, *, ascii_only: bool = False, spaced: bool = True) -> bytes:
    separators = (", ", ": ") if spaced else (",", ":")
    text = json.dumps(value, ensure_ascii=ascii_only, separators=separators)
    return text.encode("utf-8", "surrogatepass")


any_object = st.builds(
    functools.partial(spelled),
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.one_of(st.text(max_size=8), VALUES),
            "id": st.one_of(st.text(max_size=4), st.integers(), VALUES),
            "z": VALUES,
        },
    ),
    ascii_only=st.booleans(),
    spaced=st.booleans(),
)
plain_object = st.builds(
    lambda text, number, kept: spelled({"text": text, "id": number, **kept}),
    st.text(max_size=5),
    st.integers(0, 9),
    st.sampled_from([{}, {"z": 7}, {"z": "b"}]),
)
ODD_LINES = [
    b"", b" ", b"{", b"}", b"[1]", b"\xff", b"\0", b"{}", b"{} {}",
    b'{"text":"a"} {"text":"b"}', b'{"text":"a"}{"text":"b"}', b'{"text":\n"a"}', b'{"text":"a","z":{}\n{}}',
    b'{"text":"\xff"}', b'{"text":"a","z":"\xff"}', b'{"text":"a","z":-NaN}', b'{"text":"a","z":Inf}',
    b'{"text":"a","z":[Inf ]}', b'{"text":"a","z":-Infinity}', b'{"text":"a","text":"b"}',
    b'{"text":null,"text":"b"}', b'{"text":"a","z":1e999}', b'{"id":1.0,"text":"a"}',
    b'{"id":1.50,"text":"a"}',
    b'{"id":-0,"text":"a"}', b'{"id":-0.0,"text":"a"}', b'{"id":123456789012345678901,"text":"a"}',
    b'{"id":true,"text":"a"}', b'{"text":"\\ud800"}', b'{"text":"a\tb"}', b'{"text":"a"}\r',
    b'{"text":"a","z":' + b"[" * 450 + b"]" * 450 + b"}",
    b'{"text":"a","z":' + b"[" * 2500 + b"]" * 2500 + b"}",
    b'{"text":"a","z":' + b"9" * 5000 + b"}",
    b'\xef\xbb\xbf{"text":"a"}', b'{"text":"a"} x', b'{"te\\u0078t":"q","id":"s"}', b'{"text":"a",}',
    b'{"text":"a"', b'\x0b{"text":"a"}', b'{"text":"a"}\x0c', b'{"text":"a\\/b\\u0000"}', b"{'text':'a'}",
]  # fmt: skip


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """An object with some bytes put in or left out somewhere."""
    line = draw(any_object)
    place = draw(st.integers(0, len(line)))
    return line[:place] + draw(st.binary(max_size=2)) + line[place + draw(st.integers(0, 1)) :]


@any_file
@given(
    lines=st.one_of(
        st.lists(plain_object, max_size=30),
        st.lists(st.one_of(plain_object, any_object, st.sampled_from(ODD_LINES), broken()), max_size=12),
    ),
    end=st.sampled_from([b"\n", b"\r\n"]),
    ended=st.booleans(),
    identified=st.booleans(),
    kept=st.booleans(),
    sizes=BLOCKS,
)
def test_json_lines(
    tmp_path: Path,
    lines: list[bytes],
    end: bytes,
    ended: bool,
    identified: bool,
    kept: bool,
    sizes: tuple[int, int],
) -> None:
    data = end.join(lines) + (end if ended else b"")
    columns = Columns(id="id" if identified else None)
    both(tmp_path / "a.jsonl", data, keeping(columns, "z") if kept else columns, sizes)


@pytest.mark.parametrize("line", ODD_LINES)
def test_each_odd_line_between_plain_ones(tmp_path: Path, line: bytes) -> None:
    plain = b'{"text":"a","id":1,"z":2}'
    for number in ("id", None):
        both(tmp_path / "a.jsonl", b"\n".join([plain, line, plain, plain]), Columns(id=number))
        both(tmp_path / "a.jsonl", b"\n".join([line, plain]), Columns(id=number))


PLAIN = {
    "a.csv": b'id,text\n1,a\n2,"b, ""c"""\n,\n',
    "a.tsv": b'id\ttext\n1\t"a\n',
    "a.jsonl": b'{"id":1,"text":"a"}\n{"id":null,"text":"b"}\n{"id":2}\n',
    "b.jsonl": b'{"id":"1","text":"a\\n","more":{"x":[1]}}\n',
    "b.csv": b"id,text\n1,a\n2\n3,b,c\n4,d\n",
}


@pytest.mark.parametrize("name", PLAIN)
def test_arrow_reads_what_is_plain(tmp_path: Path, name: str) -> None:
    by_arrow_blocks[:] = [0, 0]
    rows, bad, error = both(tmp_path / name, PLAIN[name], Columns(id="id"))
    assert by_arrow_blocks == [0, 1]
    assert (len(rows) >= 1, error) == (True, None)
    assert sorted([row[0] for row in rows] + [row.row for row in bad]) == list(range(len(rows) + len(bad)))


def test_one_bad_line_costs_its_small_block_alone(tmp_path: Path) -> None:
    lines = [b"%d,text of some length\n" % number for number in range(20_000)]
    lines[7_000] = b'7000,"never closed\n'
    by_arrow_blocks[:] = [0, 0]
    rows, bad, _ = both(
        tmp_path / "a.csv", b"id,text\n" + b"".join(lines), Columns(id="id"), (1 << 16, 1 << 12)
    )
    assert ([row.row for row in bad], len(rows)) == ([7_000], 19_999)
    refused, read = by_arrow_blocks
    assert 2 <= refused < 6  # the block, the small one within it, and those between, as they grow again
    assert read > 5
