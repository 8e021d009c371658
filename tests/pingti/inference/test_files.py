import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.reader import Columns
from pingti.errors import ConflictError, InputError
from pingti.inference import bad_rows
from pingti.inference.bad_rows import check_bad, parse_max_bad
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import Workspace

COLUMNS = Columns(text="said", id="key")


@pytest.fixture
def classifier(workspace: Workspace) -> Classifier:
    return Classifier.load(
        workspace, pin(workspace, [Choice(task="sport", scene="strict"), Choice(task="topic")])
    )


def lines(rows: list[tuple[str, str]]) -> bytes:
    return "".join(json.dumps({"key": key, "said": text}) + "\n" for key, text in rows).encode()


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_in_are_rows_out_and_rows_failed_in_the_order_of_the_inputs(
    classifier: Classifier, texts: list[str], tmp_path: Path, threads: int
) -> None:
    rows = [(f"r{i}", text) for i, text in enumerate(texts * 100)]
    first, second = str(tmp_path / "a.jsonl.gz"), str(tmp_path / "b.parquet")
    bad = b'{"key": "bad", "said": null}\nbroken \xff\n'
    Path(first).write_bytes(gzip.compress(lines(rows[:20_000]) + bad + lines(rows[20_000:25_000])))
    keys, rest = zip(*rows[25_000:], strict=True)
    big = "goal match " * 100_000
    pq.write_table(pa.table({"key": [*keys, "none", "big"], "said": [*rest, None, big]}), second)
    out = tmp_path / "new" / "out"
    progress: list[int] = []
    counts = classify_files(
        [first, second], COLUMNS, classifier, out, threads=threads, progress=progress.append
    )
    assert (counts.total, counts.completed, counts.failed) == (40_004, 40_001, 3)
    assert sorted(path.name for path in out.iterdir()) == ["_errors.jsonl", "results.parquet"]
    results = pq.read_table(out / "results.parquet")
    assert results.schema.equals(classifier.schema, check_metadata=True)
    assert results["id"].to_pylist() == [key for key, _ in rows] + ["big"]
    alone = classifier.classify(
        pa.record_batch({"id": keys[:400], "text": pa.array(rest[:400], pa.large_string())})
    )
    assert results.slice(25_000, 400).to_pylist() == alone.to_pylist()
    assert results["sport"][-1].as_py() == "yes"
    assert progress == sorted(progress)
    assert progress[-1] == 40_001
    assert len(progress) > 1
    assert pq.read_table(out).num_rows == 40_001  # the folder is a table to others
    errors = [json.loads(line) for line in (out / "_errors.jsonl").read_text().splitlines()]
    assert errors == [
        {"file": 0, "path": first},
        {"file": 0, "row": 20_000, "id": "bad", "reason": "field 'said' is missing or null"},
        {"file": 0, "row": 20_001, "id": None, "reason": "the line is not UTF-8"},
        {"file": 1, "path": second},
        {"file": 1, "row": 15_000, "id": "none", "reason": "field 'said' is missing or null"},
    ]


def test_results_that_are_there_are_never_written_over(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines([("1", "goal")]))
    inputs, out = [str(tmp_path / "a.jsonl")], tmp_path / "out"
    classify_files(inputs, COLUMNS, classifier, out)
    before = (out / "results.parquet").stat()
    with pytest.raises(ConflictError, match=r"results\.parquet: is there already; name another folder"):
        classify_files(inputs, COLUMNS, classifier, out)
    assert (out / "results.parquet").stat() == before


def test_results_need_a_folder_and_an_input_a_name(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines([("1", "goal")]))
    with pytest.raises(ConflictError, match=r"a\.jsonl: is no folder; the results need one"):
        classify_files([str(tmp_path / "a.jsonl")], COLUMNS, classifier, tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="an input's name is empty"):
        classify_files([""], COLUMNS, classifier, tmp_path / "out")
    with pytest.raises(InputError, match="its name is not UTF-8"):
        classify_files([str(tmp_path / "a.jsonl")], COLUMNS, classifier, tmp_path / "\udcff")
    assert not [path for path in tmp_path.iterdir() if path.name not in ("a.jsonl", "workspace")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("b.jsonl", b"", "the file is empty"),
        ("b.csv", b"said\nhello\n", "no column 'key'; there are 'said'"),
        ("b.csv", None, "no such file"),
        # What only shows when the rows are read.
        (
            "b.jsonl.gz",
            gzip.compress(lines([(str(i), f"goal {i * i}") for i in range(900)]))[:-9],
            "not a whole",
        ),
    ],
)
def test_an_input_that_cannot_be_read_leaves_no_results(
    classifier: Classifier, tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines([("1", "goal")] * 50_000))
    if data is not None:
        (tmp_path / name).write_bytes(data)
    progress: list[int] = []
    with pytest.raises(InputError, match=message):
        classify_files(
            [str(tmp_path / "a.jsonl"), str(tmp_path / name)],
            COLUMNS,
            classifier,
            tmp_path / "out",
            threads=1,
            progress=progress.append,
        )
    assert bool(progress) == name.endswith(".gz")  # the others are refused before the first row is classified
    assert list((tmp_path / "out").glob("*")) == []


def test_no_rows_and_only_bad_rows_give_empty_results(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("key,said\n")
    (tmp_path / "b.csv").write_text("key,said\n1\n2,x,y\n")
    for name, failed in (("a", 0), ("b", 2)):
        counts = classify_files([str(tmp_path / f"{name}.csv")], COLUMNS, classifier, tmp_path / name)
        assert (counts.total, counts.completed, counts.failed) == (failed, 0, failed)
        assert pq.read_table(tmp_path / name / "results.parquet").num_rows == 0
        lines = (tmp_path / name / "_errors.jsonl").read_text().splitlines()
        assert sum('"row"' in line for line in lines) == failed


def test_a_file_name_that_is_not_utf8_can_be_reported(classifier: Classifier, tmp_path: Path) -> None:
    path = str(tmp_path / "caf\udce9.csv")  # as Python spells a name with the byte 0xe9
    try:
        Path(path).write_text("key,said\n1\n2,goal\n")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes UTF-8 names alone")
    counts = classify_files([path], COLUMNS, classifier, tmp_path / "out")
    assert (counts.completed, counts.failed) == (1, 1)
    table, error = (tmp_path / "out" / "_errors.jsonl").read_text(encoding="utf-8").splitlines()
    assert (json.loads(table)["path"], json.loads(error)["row"]) == (path, 0)


def test_bad_rows_are_listed_up_to_a_bound_and_all_counted(
    classifier: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_rows, "MOST_LISTED", 10)
    long = "x" * 100_000
    path = tmp_path / f"{'a' * 200}.jsonl"
    path.write_bytes(lines([("good", "goal")]) + f'{{"key": "{long}", "said": 7}}\n'.encode() * 1000)
    counts = classify_files([str(path)], COLUMNS, classifier, tmp_path / "out")
    assert (counts.total, counts.completed, counts.failed) == (1001, 1, 1000)
    errors = [json.loads(line) for line in (tmp_path / "out" / "_errors.jsonl").read_text().splitlines()]
    assert [error.get("row") for error in errors] == [None, *range(1, 11), None]
    assert (errors[0]["path"], errors[-1]) == (str(path), {"unlisted": 990})
    assert max(len(error["id"]) for error in errors[1:-1]) < 600


@pytest.mark.parametrize(
    ("total", "failed", "max_bad", "says"),
    [
        (10, 9, None, None),
        (10, 10, None, "all 10 rows are bad; nothing was classified"),
        (0, 0, None, None),
        (0, 0, 0.0, None),
        (10, 10, 10, None),
        (10, 10, 1.0, None),
        (10, 1, 0, "1 of 10 rows are bad; 0 are allowed"),
        (1000, 50, 0.05, None),
        (1000, 51, 0.05, "51 of 1,000 rows are bad; 5.00% of them are allowed"),
        (100, 29, 0.29, None),
        (1000, 7, parse_max_bad("0.7%"), None),
        (1000, 8, parse_max_bad("0.7%"), "8 of 1,000 rows are bad; 0.70% of them are allowed"),
        (1000, 51, 50, "51 of 1,000 rows are bad; 50 are allowed"),
    ],
)
def test_too_many_bad_rows_are_refused(
    total: int, failed: int, max_bad: bad_rows.MaxBad, says: str | None
) -> None:
    if says is None:
        check_bad(total, failed, max_bad)
        return
    with pytest.raises(InputError, match=re.escape(says)):
        check_bad(total, failed, max_bad)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("100", 100), ("5%", 0.05), ("0.05", 0.05), ("1.0", 1.0), ("100%", 1.0)]
)
def test_how_many_bad_rows_are_allowed_is_a_count_or_a_share(text: str, value: float) -> None:
    assert (parse_max_bad(text), type(parse_max_bad(text))) == (value, type(value))


@pytest.mark.parametrize("text", ["", "many", "-1", "101%", "1.5", "nan", "%"])
def test_what_is_neither_a_count_nor_a_share_is_refused(text: str) -> None:
    with pytest.raises(InputError, match='needed is a count, such as 100, or a share, such as "5%"'):
        parse_max_bad(text)


def test_folders_and_patterns_are_inputs(classifier: Classifier, tmp_path: Path) -> None:
    table = tmp_path / "posts.parquet"
    table.mkdir()
    (table / "_SUCCESS").touch()
    for part in ("a", "b"):
        pq.write_table(pa.table({"key": [part], "said": ["goal"]}), table / f"part-{part}.parquet")
    for number, name in enumerate((table, table / "part-*", tmp_path / "*.parquet")):
        counts = classify_files([str(name)], COLUMNS, classifier, tmp_path / f"out{number}")
        assert (counts.completed, counts.failed) == (2, 0)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: no such file"):
        classify_files([str(tmp_path / "empty")], COLUMNS, classifier, tmp_path / "out")


def test_what_was_seen_of_a_file_is_said_before_its_rows_are_classified(
    classifier: Classifier, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_text("key;said\n1;goal\n")
    notices: list[str] = []
    counts = classify_files([str(path)], COLUMNS, classifier, tmp_path / "out", notice=notices.append)
    assert (counts.completed, notices) == (1, [f"{path}: its fields are separated by ';'"])
