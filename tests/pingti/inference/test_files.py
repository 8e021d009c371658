import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.reader import Columns
from pingti.errors import ConflictError, InputError
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
    assert sorted(path.name for path in out.iterdir()) == ["errors.jsonl", "results.parquet"]
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
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert [(error["file"], error["row"], error["id"]) for error in errors] == [
        (first, 20_000, "bad"),
        (first, 20_001, None),
        (second, 15_000, "none"),
    ]
    assert errors[1]["reason"] == "the line is not UTF-8"


def test_results_that_are_there_are_never_written_over(classifier: Classifier, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines([("1", "goal")]))
    inputs, out = [str(tmp_path / "a.jsonl")], tmp_path / "out"
    classify_files(inputs, COLUMNS, classifier, out)
    before = (out / "results.parquet").stat()
    with pytest.raises(ConflictError, match=r"results\.parquet: is there already; name another folder"):
        classify_files(inputs, COLUMNS, classifier, out)
    assert (out / "results.parquet").stat() == before


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
        assert (tmp_path / name / "errors.jsonl").read_text().count("\n") == failed


def test_a_file_name_that_is_not_utf8_can_be_reported(classifier: Classifier, tmp_path: Path) -> None:
    path = str(tmp_path / "caf\udce9.csv")  # as Python spells a name with the byte 0xe9
    try:
        Path(path).write_text("key,said\n1\n2,goal\n")
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system takes UTF-8 names alone")
    counts = classify_files([path], COLUMNS, classifier, tmp_path / "out")
    assert (counts.completed, counts.failed) == (1, 1)
    (error,) = (tmp_path / "out" / "errors.jsonl").read_text(encoding="utf-8").splitlines()
    assert (json.loads(error)["file"], json.loads(error)["row"]) == (path, 0)
