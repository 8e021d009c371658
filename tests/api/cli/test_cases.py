"""The shared cases, each taken to its right answer by the command line.

Teachers are in ``tests/replacement/test_shared_kinds.py``, messages in
``tests/queue_worker/processes/test_bad_messages.py``.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pingti.annotation import labels
from pingti.workspace.registry import TaskEntry, Workspace
from tests.support.command_line import Run
from tests.support.paths import SHARED

CASES = SHARED / "cases"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="needs the shared cases beside the repository")

Classify = Callable[..., tuple[list[str], list[dict[str, Any]], str]]


@pytest.fixture
def classify(pingti: Run, workspace: Workspace, tmp_path: Path) -> Classify:
    """Classify a case: ids that came out, bad rows, and what was said."""

    def run(name: str, *options: str) -> tuple[list[str], list[dict[str, Any]], str]:
        out = tmp_path / "out"
        ran = pingti(
            "classify", CASES / "reading" / name, "-t", "sport", "-o", out, *options, "--home", workspace.root
        )
        assert ran.returncode == 0, ran.stderr
        lines = map(json.loads, (out / "_errors.jsonl").read_text(encoding="utf-8").splitlines())
        ids = pq.read_table(out / "results.parquet")["id"].to_pylist()
        return ids, [line for line in lines if "row" in line], " ".join(ran.stderr.split())

    return run


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def test_tsv_whose_texts_begin_with_a_quote(classify: Classify) -> None:
    assert classify("unquoted.tsv", "--id", "id")[:2] == (numbers(10), [])


def test_csv_whose_texts_begin_with_a_quote(classify: Classify) -> None:
    ids, bad, _ = classify("unquoted.csv", "--id", "id")
    assert ids == [number for number in numbers(10) if number not in ("3", "8")]
    assert [(row["row"], "quote in it (line " in row["reason"]) for row in bad] == [(2, True), (7, True)]
    assert "line 4" in bad[0]["reason"]


def test_csv_without_quoting_where_that_is_said(classify: Classify) -> None:
    assert classify("unquoted.csv", "--id", "id", "--quoting", "none")[:2] == (numbers(10), [])


@pytest.mark.parametrize("name", ["semicolon.csv", "sep_line.csv"])
def test_another_delimiter_is_found_and_said(classify: Classify, name: str) -> None:
    ids, bad, said = classify(name, "--id", "编号", "--text", "标题")
    assert (ids, bad) == (numbers(30), [])
    assert "its fields are separated by ';'" in said


def test_another_encoding_is_proposed_and_read(
    pingti: Run, classify: Classify, workspace: Workspace, tmp_path: Path
) -> None:
    options = ["--id", "编号", "--text", "标题"]
    refused = pingti(
        "classify", CASES / "reading" / "gbk.csv", "-t", "sport", "-o", tmp_path / "no", *options,
        "--home", workspace.root,
    )  # fmt: skip
    assert refused.returncode == 2
    assert 'set encoding = "gb18030"' in refused.stderr
    assert classify("gbk.csv", *options, "--encoding", "gb18030")[:2] == (numbers(30), [])


def test_quotes_behind_backslashes_are_found_and_said(classify: Classify) -> None:
    ids, bad, said = classify("spark.csv", "--id", "id")
    assert ids == ["1", "2", "3", "4", "6"]
    assert "its quotes are escaped by backslashes" in said
    assert [(row["row"], "is never closed" in row["reason"]) for row in bad] == [(4, True)]


@pytest.mark.parametrize("name", ["spark_folder.parquet", "spark_*.parquet"])
def test_a_folder_is_an_input(classify: Classify, name: str) -> None:
    parts = sorted((CASES / "reading" / "spark_folder.parquet").glob("part-*"))
    rows = [pq.read_metadata(part).num_rows for part in parts]
    assert len(rows) == 2
    ids, bad, _ = classify(name)
    assert (ids, bad) == ([str(row) for count in rows for row in range(count)], [])


@pytest.mark.parametrize("name", ["decimal38", "float", "uuid"])
def test_ids_of_every_type_are_kept_exactly(classify: Classify, name: str) -> None:
    held = pq.read_table(CASES / "reading" / f"{name}.parquet")["id"].to_pylist()
    ids, bad, _ = classify(f"{name}.parquet", "--id", "id")
    gap = [row for row, value in enumerate(held) if value is None]
    assert [row["row"] for row in bad] == gap
    kept = [value for value in held if value is not None]
    assert ids == kept
    assert len(ids) > 10


def test_a_definition_with_a_byte_order_mark_is_read(pingti: Run, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    model = workspace.tasks / "teachers" / "bert"
    model.mkdir(parents=True)
    (workspace.tasks / "posts.csv").write_text("id,text\n1,a\n")
    (model / "config.json").write_text(
        json.dumps({"architectures": ["BertForSequenceClassification"], "id2label": {0: "no", 1: "yes"}})
    )
    for name in ("model.safetensors", "vocab.txt"):
        (model / name).write_bytes(b"")
    ran = pingti("task", "add", CASES / "reading" / "bom.toml", "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr
    assert workspace.task("bom").definition.teacher.budget == 1500


@pytest.fixture
def topic(tmp_path: Path) -> TaskEntry:
    text = 'classes = ["other", "体育"]\ncorpus.files = ["x.csv"]\nteacher.model = "m"\n'
    return Workspace(tmp_path / "labels").add_task("topic", text)


def bring(pingti: Run, entry: TaskEntry, file: Path) -> dict[str, Any]:
    ran = pingti("review", "import", entry.name, file, "--home", entry.workspace.root, "--json")
    imported: dict[str, Any] = json.loads(ran.stdout)
    assert ran.returncode == (2 if imported["bad"] else 0), ran.stderr
    return imported


def known(entry: TaskEntry) -> dict[str, str]:
    return {label.text: label.label for label in labels.read(entry).values()}


def test_an_old_minimal_export_overrides_no_newer_label(
    pingti: Run, topic: TaskEntry, tmp_path: Path
) -> None:
    imported = bring(pingti, topic, CASES / "labels" / "jsonmin.json")
    assert (imported["added"], imported["unanswered"], len(imported["bad"])) == (1, 1, 1)
    assert "2 labels; one is needed" in imported["bad"][0]
    assert known(topic) == {"国足赢了今晚的比赛": "体育"}

    shutil.rmtree(topic.folder)
    records = json.loads((CASES / "labels" / "jsonmin.json").read_text(encoding="utf-8"))
    newer = {**records[0], "label": "other", "updated_at": "2025-11-20T08:00:00.000000Z"}
    path = tmp_path / "newer.json"
    path.write_text(json.dumps([newer], ensure_ascii=False), encoding="utf-8")
    assert bring(pingti, topic, path)["added"] == 1
    assert bring(pingti, topic, CASES / "labels" / "jsonmin.json")["added"] == 0
    assert known(topic) == {"国足赢了今晚的比赛": "other"}


def test_what_was_rejected_or_ignored_is_no_label(pingti: Run, topic: TaskEntry) -> None:
    imported = bring(pingti, topic, CASES / "labels" / "prodigy.jsonl")
    assert (imported["added"], imported["unanswered"], imported["bad"]) == (0, 2, [])
    assert known(topic) == {}


def test_an_empty_list_of_labels_is_unanswered(pingti: Run, topic: TaskEntry) -> None:
    imported = bring(pingti, topic, CASES / "labels" / "doccano.jsonl")
    assert (imported["added"], imported["unanswered"], imported["bad"]) == (1, 1, [])
    assert known(topic) == {"国足赢了第二场比赛": "体育"}
