"""Standard input and standard output as the ends of a pipe."""

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.reader import Columns
from pingti.errors import InputError
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.inference.streams import StreamFormat, classify_to_stream, with_standard_input
from pingti.workspace.registry import Workspace

ROWS = [("1", "goal match, team"), ("2", 'a "bread"'), ("3", "goal")]


@pytest.fixture
def classifier(workspace: Workspace) -> Classifier:
    return Classifier.of(workspace, ["sport"])


def source_of(form: StreamFormat) -> bytes:
    keys, texts = zip(*ROWS, strict=True)
    if form == "parquet":
        sink = io.BytesIO()
        pq.write_table(pa.table({"key": keys, "text": texts}), sink)
        return sink.getvalue()
    if form == "jsonl":
        return "".join(json.dumps({"key": key, "text": text}) + "\n" for key, text in ROWS).encode()
    lines = io.StringIO()
    writer = csv.writer(lines, delimiter="\t" if form == "tsv" else ",", quoting=csv.QUOTE_ALL)
    writer.writerows([("key", "text"), *ROWS])
    return lines.getvalue().encode()


def rows_in(written: bytes, form: StreamFormat) -> list[dict[str, str]]:
    if form == "parquet":
        return pq.read_table(io.BytesIO(written)).to_pylist()
    if form == "jsonl":
        return [json.loads(line) for line in written.splitlines()]
    return list(csv.DictReader(io.StringIO(written.decode()), delimiter="\t" if form == "tsv" else ","))


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv", "parquet"])
def test_what_comes_in_goes_out_as_a_folder_of_results_has_it(
    classifier: Classifier, tmp_path: Path, form: StreamFormat
) -> None:
    columns = Columns(id="key", keep=("text",))
    target = io.BytesIO()
    with with_standard_input(["-"], io.BytesIO(source_of(form)), form) as inputs:
        counts = classify_to_stream(inputs, columns, classifier, target, form)
        classify_files(inputs, columns, classifier, tmp_path / "out")
        assert Path(inputs[0]).exists()
    assert not Path(inputs[0]).exists()
    assert (counts.total, counts.completed) == (3, 3)
    expected = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    written = rows_in(target.getvalue(), form)
    assert [(row["id"], row["text"], row["sport"]) for row in written] == [
        (row["id"], row["text"], row["sport"]) for row in expected
    ]
    scores = [float(row["sport_score"]) for row in written]
    assert scores == pytest.approx([row["sport_score"] for row in expected])


def test_bad_rows_are_told_up_to_a_number_and_all_counted(classifier: Classifier) -> None:
    told: list[str] = []
    lines = b'{"text": null}\n' * 30 + b'{"text": "goal"}\n'
    target = io.BytesIO()
    with with_standard_input(["-"], io.BytesIO(lines), "jsonl") as inputs:
        counts = classify_to_stream(inputs, Columns(), classifier, target, "jsonl", notice=told.append)
    assert (counts.total, counts.completed, counts.failed) == (31, 1, 30)
    assert told[0] == "bad row: standard-input.jsonl: row 0: field 'text' is missing or null"
    assert len(told) == 10


def test_standard_input_is_given_once() -> None:
    with (
        pytest.raises(InputError, match=r"^- \(standard input\) is given 2 times; .*: give it once$"),
        with_standard_input(["-", "a.csv", "-"], io.BytesIO(b"not read"), "csv"),
    ):
        pass


def test_files_that_are_named_stay_as_they_are() -> None:
    with with_standard_input(["a.csv", "b"], io.BytesIO(b"not read"), "csv") as inputs:
        assert inputs == ["a.csv", "b"]


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_what_cannot_be_read_is_standard_input_and_no_file_of_ours(
    classifier: Classifier, form: StreamFormat
) -> None:
    with (
        pytest.raises(
            InputError, match=rf"^standard input: .*\(it was read as {form}; --format names another"
        ),
        with_standard_input(["-"], io.BytesIO(b"words\nof nobody\n"), form) as inputs,
    ):
        classify_to_stream(inputs, Columns(), classifier, io.BytesIO(), form)
