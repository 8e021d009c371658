"""The command line as a user meets it: a process, its exit code and what it says."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pingti.annotation import review_queue
from pingti.workspace.registry import Workspace
from replacement.answers import margin


def pingti(*arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api.cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


def test_classify_writes_results_and_counts_bad_rows(workspace: Workspace, tmp_path: Path) -> None:
    big = b"goal " * 200_000
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,text\na,goal match team coach\nb,bad \xff row\nc," + big + b"\nd\n")
    out = tmp_path / "out"
    ran = pingti(
        "classify", path, "--task", "sport", "--id", "id", "--out", out, "--home", workspace.root, "--json"
    )
    assert ran.returncode == 0, ran.stderr
    assert {k: json.loads(ran.stdout)[k] for k in ("total", "completed", "failed")} == {
        "total": 4,
        "completed": 2,
        "failed": 2,
    }
    assert pq.read_table(out / "results.parquet").column("id").to_pylist() == ["a", "c"]
    errors = [json.loads(line) for line in (out / "_errors.jsonl").read_text().splitlines()]
    assert errors[0] == {"file": 0, "path": str(path)}
    assert [(error["row"], error["id"]) for error in errors[1:]] == [(1, "b"), (3, None)]


@pytest.mark.parametrize(
    ("rows", "options", "code", "says"),
    [
        ([b"\xff", b"\xff"], [], 2, "all 2 rows are bad; nothing was classified"),
        ([b"\xff", b"\xff"], ["--max-bad", "100%"], 0, "2 bad rows"),
        ([b"\xff", b"goal"], [], 0, "1 rows classified"),
        ([b"\xff", b"goal"], ["--max-bad", "10%"], 2, "1 of 2 rows are bad; 10.00% of them are allowed"),
        ([b"\xff", b"goal"], ["--max-bad", "few"], 2, "max-bad 'few': needed is a count"),
        ([b'"goal', b"goal"], ["--quoting", "none"], 0, "2 rows classified"),
        (["世界".encode("gb18030")] * 3, [], 2, 'set encoding = "gb18030"'),
        (["世界".encode("gb18030")] * 3, ["--encoding", "gb18030"], 0, "3 rows classified"),
        ([b"goal"], ["--encoding", "klingon"], 2, "'klingon' is no encoding of texts"),
        ([b"goal"], ["--delimiter", ";;"], 2, "needed is one character"),
    ],
)
def test_classify_ends_with_the_code_that_its_bad_rows_deserve(
    workspace: Workspace, tmp_path: Path, rows: list[bytes], options: list[str], code: int, says: str
) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,text\n" + b"".join(b"%d,%s\n" % row for row in enumerate(rows)))
    out = tmp_path / "out"
    ran = pingti("classify", path, "-t", "sport", "--out", out, "--home", workspace.root, *options)
    assert (ran.returncode, says in ran.stdout + ran.stderr) == (code, True), ran.stderr
    if "bad;" in says:
        assert (out / "results.parquet").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("in.csv", b"a,b\n1,2\n", "no column 'text'"),
        ("in.csv", b"", "the file is empty"),
        ("in.csv", b"\x89PNG\r\n\x1a\n", "looks like a PNG image"),
        ("in.parquet", b"text\nhello\n", "not a readable Parquet file"),
        ("in.docx", b"text\n", "none of the formats"),
    ],
)
def test_classify_refuses_in_one_sentence(
    workspace: Workspace, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    ran = pingti("classify", path, "--task", "sport", "--out", tmp_path / "out", "--home", workspace.root)
    assert ran.returncode == 2
    assert says in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_an_unknown_task_ends_with_its_own_code(workspace: Workspace) -> None:
    ran = pingti("task", "show", "nosuch", "--home", workspace.root)
    assert (ran.returncode, "there are: sport, tech, topic" in ran.stderr) == (3, True)


def test_the_service_imports_neither_torch_nor_transformers() -> None:
    code = (
        "import sys, queue_worker, api, textcnn, api.rest.app, api.cli.main, queue_worker.worker\n"
        "print([name for name in ('torch', 'transformers', 'faiss') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_corpus_stats_counts_and_proposes_what_can_be_pasted(workspace: Workspace) -> None:
    rows = ["goal match", "[doge]", "[doge]", "哈哈哈哈", "\x1b[31m:heart:"]
    lines = [json.dumps({"id": str(number), "text": text}) for number, text in enumerate(rows)]
    (workspace.root / "corpus.jsonl").write_text("\n".join([*lines, "{}"]))
    ran = pingti("corpus", "stats", "sport", "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr
    assert "files: 1; rows: 5; bad rows: 1" in ran.stdout
    assert "\x1b" not in ran.stdout
    assert "40.00%  [doge]" in ran.stdout
    section = ran.stdout[ran.stdout.index("\n[rules]\n") :]
    described = pingti("corpus", "stats", "sport", "--home", workspace.root, "--json")
    stats = json.loads(described.stdout)
    assert (stats["exact_duplicates"], stats["kinds"]["bracketed"]["rows"]) == (1, 2)
    assert section.strip() == stats["toml"].strip()
    path = workspace.task("sport").path
    path.write_text(path.read_text() + section)
    assert len(workspace.task("sport").definition.rules.negative) == 2
    (workspace.root / "corpus.jsonl").unlink()
    ran = pingti("corpus", "stats", "sport", "--home", workspace.root)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)


def test_boundary_rows_go_out_and_labels_come_back(workspace: Workspace, tmp_path: Path) -> None:
    home = ("--home", workspace.root)
    out = tmp_path / "tasks.json"
    entry = workspace.task("sport")
    probabilities = np.array([[0.5, 0.5], [0.52, 0.48]], np.float32)
    review_queue.write(entry, 1, ["a", "b"], ["goal", "film"], probabilities, margin(probabilities))
    ran = pingti("review", "export", "sport", "--format", "label-studio", "--out", out, *home)
    assert (ran.returncode, '<Choice value="yes"/>' in ran.stdout) == (0, True)
    tasks = json.loads(out.read_text())
    for task, label in zip(tasks, ["yes", "maybe"], strict=True):
        result = {**task["predictions"][0]["result"][0], "value": {"choices": [label]}}
        task["annotations"] = [{"result": [result], "completed_by": 1}]
    assert "2 rows for a person; next is pingti review import sport" in ran.stdout
    done = tmp_path / "done.json"
    done.write_text(json.dumps(tasks))
    ran = pingti("review", "import", "sport", done, *home, "--json")
    assert ran.returncode == 2
    assert "bad records: 1 of 2; all other labels are kept. Mend" in ran.stderr
    assert "record 2: annotations[0].result[0].value.choices: 'maybe' is no class" in ran.stderr
    assert {k: json.loads(ran.stdout)[k] for k in ("records", "added")} == {"records": 2, "added": 1}
    for allowed, code in (("0.4", 2), ("50%", 0), ("1", 0)):
        ran = pingti("review", "import", "sport", done, *home, "--max-bad", allowed)
        assert (ran.returncode, "0 labels added, 1 known already" in ran.stdout) == (code, True)
    review_queue.write(entry, 1, [], [], probabilities[:0], margin(probabilities)[:0])
    ran = pingti("review", "export", "sport", "--out", tmp_path / "none.jsonl", *home)
    assert (ran.returncode, "0 rows for a person; none waits for a label" in ran.stdout) == (0, True)
    done.write_text("[")
    ran = pingti("review", "import", "sport", done, *home)
    assert (ran.returncode, len(ran.stderr.splitlines())) == (2, 1)


def test_classify_stands_between_two_pipes(workspace: Workspace) -> None:
    command = [sys.executable, "-P", "-m", "pingti", "classify", "-", "--task", "sport", "--out", "-"]
    command += ["--id", "key", "--keep", "region, day", "--format", "csv", "--home", str(workspace.root)]
    lines = 'key,region,day,text\n7,"a, b",1,goal match\n8\n9,,2,a bread garden\n'
    ran = subprocess.run(command, input=lines, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    rows = list(csv.DictReader(io.StringIO(ran.stdout)))
    assert [(row["id"], row["sport"], row["region"], row["day"]) for row in rows] == [
        ("7", "yes", "a, b", "1"),
        ("9", "no", "", "2"),
    ]
    assert ran.stderr.splitlines() == [
        "bad row: standard-input.csv: row 1: 1 fields; the header has 4",
        "1 of 3 rows are bad",
    ]


def test_who_reads_no_further_is_no_fault(workspace: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "goal match team\n" * 200_000)
    command = [sys.executable, "-P", "-m", "pingti", "classify", str(path), "--task", "sport", "--out", "-"]
    with subprocess.Popen(
        [*command, "--home", str(workspace.root)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert json.loads(running.stdout.readline())["id"] == "0"
        running.stdout.close()
        said = running.stderr.read()
    assert b"Traceback" not in said
    assert said == b""


def test_two_answers_do_not_go_to_one_standard_output(workspace: Workspace) -> None:
    ran = pingti("classify", "-", "-t", "sport", "--out", "-", "--json", "--home", workspace.root)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--json and --out - both want standard output" in ran.stderr
