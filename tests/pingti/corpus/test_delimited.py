"""CSV and TSV as other programs write them: no row is lost in silence."""

import csv
import gzip
from pathlib import Path

import pytest

from pingti.corpus.columns import Quoting, known_encoding
from pingti.corpus.reader import BadRow, Columns, check_input, read_rows
from pingti.errors import InputError

COLUMNS = Columns(id="id")


def read(path: Path, columns: Columns = COLUMNS) -> tuple[dict[str, str], dict[int, str]]:
    """Texts by their ids, and reasons by the numbers of bad rows; check_input accepts the file."""
    check_input(str(path), columns)
    bad: list[BadRow] = []
    batches = list(read_rows(str(path), columns, bad.append))
    texts = {row["id"]: row["text"] for batch in batches for row in batch.to_pylist()}
    assert len(texts) == sum(batch.num_rows for batch in batches)
    return texts, {row.row: row.reason for row in bad}


def lines(texts: list[str], delimiter: str = ",") -> str:
    """Rows without any quoting, numbered from 1, below a header."""
    rows = [f"{number}{delimiter}{text}\n" for number, text in enumerate(texts, 1)]
    return f"id{delimiter}text\n" + "".join(rows)


UNQUOTED = [
    "plain",
    '"Great match tonight',
    "plain",
    "plain",
    '"and what a goal',
    '"all of it"',
    'a "b" c',
    "x",
]


@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz"])
def test_tsv_is_not_quoted_so_a_text_may_begin_with_a_quote(tmp_path: Path, name: str) -> None:
    data = lines(UNQUOTED, "\t").encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    texts, bad = read(tmp_path / name)
    assert (list(texts.values()), bad) == (UNQUOTED, {})


def test_tsv_is_quoted_where_its_header_is_or_a_caller_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('"id"\t"text"\n"1"\t"two\nlines"\n')
    assert read(path) == ({"1": "two\nlines"}, {})
    path.write_text('id\ttext\n1\t"two ""lines"""\n')
    assert read(path) == ({"1": '"two ""lines"""'}, {})
    assert read(path, Columns(id="id", quoting="quoted")) == ({"1": 'two "lines"'}, {})


@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_a_text_that_runs_over_lines_of_unquoted_tsv_is_told_with_the_key(tmp_path: Path, name: str) -> None:
    path = tmp_path / name  # as Excel writes "Unicode text"; its header is not quoted
    path.write_text('text\tid\n"two\nlines"\t1\n')
    texts, bad = read(path)
    assert (texts, list(bad)) == ({"1": 'lines"'}, [0])
    assert bad[0] == '1 fields; the header has 2; set quoting = "quoted" if its fields stand in quotes'
    assert read(path, Columns(id="id", quoting="quoted")) == ({"1": "two\nlines"}, {})


@pytest.mark.parametrize(
    ("texts", "faulty"),
    [
        (UNQUOTED, [1, 4]),  # the second quote stands where none can close the first
        (["a", '"Great', "b", 'and what a goal"', "c"], [1]),  # it stands where it can
        (["a", '"never', "b", "c"], [1]),
        (['"first', "b", '"last'], [0, 2]),
        (["a", '"""three', "b", '"""', "c"], [1, 3]),
    ],
)
def test_csv_without_quoting_loses_no_row_in_silence(
    tmp_path: Path, texts: list[str], faulty: list[int]
) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(texts))
    good, bad = read(path)
    assert sorted(bad) == faulty
    assert [int(name) - 1 for name in good] == [at for at in range(len(texts)) if at not in faulty]
    for row, reason in bad.items():
        assert f"(line {row + 2})" in reason
        assert 'quoting = "none"' in reason
    good, bad = read(path, Columns(id="id", quoting="none"))
    assert (list(good.values()), bad) == (texts, {})


def test_texts_that_run_over_lines_are_one_row(tmp_path: Path) -> None:
    texts = ["two\nlines", "Dear all,\nplease, come", "a,b\n\n1 and 2\n", 'he said "no\n"', "1,2\n3,4"]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *([f"r{at}", text] for at, text in enumerate(texts))])
    good, bad = read(path)
    assert (list(good.values()), bad) == (texts, {})


@pytest.mark.parametrize(("quoting", "rows"), [("auto", 3), ("quoted", 1)])
def test_lines_that_look_like_rows_are_one_row_where_a_caller_says_so(
    tmp_path: Path, quoting: Quoting, rows: int
) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,text\n1,"a\n2,b\n3,c"\n')
    good, bad = read(path, Columns(id="id", quoting=quoting))
    assert len(good) + len(bad) == rows


def test_a_quote_within_a_line_costs_at_most_that_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(["plain", '"Great" match', '"Great" match, "he', "last"]))
    good, bad = read(path)
    assert good == {"1": "plain", "2": "Great match", "4": "last"}
    assert list(bad) == [2]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_the_delimiter_is_seen_and_said(tmp_path: Path, delimiter: str, start: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(start + lines(["中国队赢了", "a, b"], delimiter))
    assert read(path) == ({"1": "中国队赢了", "2": "a, b"}, {})
    (notice,) = check_input(str(path), COLUMNS)
    assert notice.startswith("its fields are separated by")
    assert check_input(str(path), Columns(id="id", delimiter=delimiter)) == ()
    with pytest.raises(InputError, match="no column 'body'; there are 'id', 'text'"):
        check_input(str(path), Columns(text="body"))


def test_a_first_line_may_name_the_delimiter(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfsep=;\r\nid;text\r\n1;a, b\r\n2;\r\n")
    assert read(path) == ({"1": "a, b", "2": ""}, {})
    path.write_text("sep=;\n")
    with pytest.raises(InputError, match="no columns 'text', 'id'; there are none"):
        check_input(str(path), COLUMNS)


SPARK = ['"He said \\"well played\\""', '"She said \\"well, played\\" and left"', "plain", '"back \\\\"']


def test_quotes_behind_backslashes_are_seen_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(SPARK))
    texts = ['He said "well played"', 'She said "well, played" and left', "plain", "back \\"]
    good, bad = read(path)
    assert (list(good.values()), bad) == (texts, {})
    assert check_input(str(path), COLUMNS) == ("its quotes are escaped by backslashes",)
    # Where the first lines have none of them nobody knows; those that come later are reported.
    path.write_text(lines([*["plain"] * 20_000, *SPARK[:2]]))
    good, bad = read(path)
    assert list(bad) == [20_000, 20_001]
    assert "set escape" in bad[20_000]
    good, bad = read(path, Columns(id="id", escape="\\"))
    assert (list(good.values())[-2:], bad) == (texts[:2], {})
    # Beside doubled quotes a backslash is a backslash.
    path.write_text(lines(['"C:\\"', '"a ""b"" c"']))
    assert read(path) == ({"1": "C:\\", "2": 'a "b" c'}, {})


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".csv.gz"])
@pytest.mark.parametrize(
    ("encoding", "proposed"), [("gb18030", "gb18030"), ("latin-1", "cp1252"), ("utf-16", "utf-16")]
)
def test_another_encoding_is_refused_with_the_key_and_read_with_it(
    tmp_path: Path, suffix: str, encoding: str, proposed: str
) -> None:
    texts = ["Großbürger über Köln"] * 9 if encoding == "latin-1" else ["中国队赢了第1场比赛"] * 9
    text = lines(texts)
    if suffix == ".jsonl":
        text = "".join(f'{{"id": "{at}", "text": "{value}"}}\n' for at, value in enumerate(texts))
    data = text.encode(encoding)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith(".gz") else data)
    for use in (lambda: check_input(str(path), COLUMNS), lambda: read(path)):
        with pytest.raises(InputError, match=f'encoding = "{proposed}"'):
            use()
    good, bad = read(path, Columns(id="id", encoding=encoding))
    assert (list(good.values()), bad) == (texts, {})


@pytest.mark.parametrize(
    ("encoding", "text", "says"),
    [
        ("big5", "中國隊贏了第一場比賽", '"big5" would fit, too'),
        ("shift_jis", "日本の試合は楽しい", '"shift_jis" would fit, too'),
        ("utf-16-le", "plain words", 'set encoding = "utf-16-le"'),
        ("utf-16-be", "plain words", 'set encoding = "utf-16-be"'),
    ],
)
def test_where_several_encodings_fit_all_are_named(
    tmp_path: Path, encoding: str, text: str, says: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(lines([text] * 9).encode(encoding))
    with pytest.raises(InputError, match=says):
        check_input(str(path), COLUMNS)
    assert read(path, Columns(id="id", encoding=encoding))[0]["1"] == text


def test_some_bytes_that_are_not_of_the_encoding_are_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(lines(["中国队", "?", "赢了"]).encode("gb18030").replace(b"?", b"\xff\xff"))
    good, bad = read(path, Columns(id="id", encoding="gb18030"))
    assert (good, bad) == ({"1": "中国队", "3": "赢了"}, {1: "field 'text' is not UTF-8"})
    path.write_bytes("id,text\n1,a".encode("utf-16")[:-1])
    with pytest.raises(InputError, match="not of the encoding utf-16: truncated data"):
        read(path, Columns(id="id", encoding="utf-16"))


@pytest.mark.parametrize(
    ("encoding", "proposed"),
    [
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32-le", "utf-32-le"),
        ("utf-32-be", "utf-32-be"),
        ("utf-16", "utf-16"),
        ("utf-32", "utf-32"),
    ],
)
def test_characters_of_several_bytes_are_recognised_with_and_without_a_mark(
    tmp_path: Path, encoding: str, proposed: str
) -> None:
    for suffix, text in ((".csv", lines(["中国队"])), (".jsonl", '{"text": "中国队", "id": "1"}\n')):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(text.encode(encoding))
        with pytest.raises(InputError, match=f'set encoding = "{proposed}"'):
            check_input(str(path), COLUMNS)
        assert read(path, Columns(id="id", encoding=proposed)) == ({"1": "中国队"}, {})


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"id,text\r1,a\r2,b\r"),
        ("a.tsv", b"id\ttext\r1\ta"),
        ("a.jsonl", b'{"text": "a"}\r{"text": "b"}'),
    ],
)
def test_lines_that_end_in_cr_alone_are_told_in_words(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="its lines end in CR alone"):
        check_input(str(tmp_path / name), COLUMNS)


def test_mixed_ends_of_lines_are_read_and_a_lone_cr_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'id,text\r\n1,a\n2,"b\rc"\r\n3,d\r4,e\n5,f\r\n')
    texts, bad = read(path)
    assert texts == {"1": "a", "2": "b\rc", "5": "f"}
    assert bad == {2: "a carriage return stands within the line, outside of quotes; lines end in LF or CRLF"}


def test_one_character_does_not_separate_and_escape(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(lines(["a"]))
    with pytest.raises(InputError, match="',' separates its fields and cannot be escape, too"):
        read(path, Columns(id="id", escape=","))


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "unicode_escape", "Raw-Unicode-Escape", "rot13", "base64", ""]
)
def test_a_codec_that_is_no_encoding_of_files_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no encoding of texts"):
        known_encoding(name)


@pytest.mark.parametrize(
    "name", ["gb18030", "GBK", "utf-16", "utf_7", "cp037", "latin-1", "shift_jis", "iso2022_jp"]
)
def test_encodings_of_files_are_taken_and_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(lines(["plain"]).encode(name))
    assert read(path, Columns(id="id", encoding=known_encoding(name))) == ({"1": "plain"}, {})
