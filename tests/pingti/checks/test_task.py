"""What is looked at before a task is added: all that is wrong with what its definition names."""

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.annotation import labelled_texts, row_ids
from pingti.checks import task as task_checks
from pingti.checks.task import check_task
from pingti.corpus.ids import read_ids
from pingti.corpus.reader import Columns
from pingti.errors import DefinitionError
from pingti.workspace.definition import parse
from pingti.workspace.registry import Workspace
from tests.support.model_folders import write_model
from tests.support.paths import ROOT

GOOD = """\
classes = ["no", "yes"]
[corpus]
files = ["corpus.csv"]
[teacher]
model = "../bert"
"""


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.tasks.mkdir()
    (workspace.tasks / "corpus.csv").write_text("id,text,at\n1,a,2025-11-03\n")
    write_model(tmp_path / "bert", {"id2label": {"0": "no", "1": "yes"}, "max_position_embeddings": 512})
    return workspace


def faults_of(home: Workspace, text: str, name: str = "praise") -> dict[str, list[str]]:
    """Details by key, without the place of the test's files."""
    source = home.root / f"{name}.toml"
    try:
        assert check_task(name, parse(text, source), home, source) == ()
    except DefinitionError as error:
        by_key: dict[str, list[str]] = {}
        for fault in error.faults:
            assert fault.file == str(source)
            detail = fault.detail.replace(f"{home.tasks}/", "").replace(str(home.tasks), "tasks")
            by_key.setdefault(fault.pointer or "", []).append(detail)
        return by_key
    return {}


def test_the_first_task_finds_files_beside_a_workspace_that_is_not_there_yet(tmp_path: Path) -> None:
    """As the README's example: the system follows ``..`` only out of a folder that exists."""
    (tmp_path / "posts.csv").write_text("id,text\n1,a\n")
    write_model(tmp_path / "bert", {"id2label": {"0": "no", "1": "yes"}, "max_position_embeddings": 512})
    text = GOOD.replace("corpus.csv", "../../posts.csv").replace("../bert", "../../bert")
    assert faults_of(Workspace(tmp_path / "workspace"), text) == {}


def test_what_is_right_has_no_fault(home: Workspace) -> None:
    assert faults_of(home, GOOD) == {}
    assert faults_of(home, GOOD.replace('"../bert"', '"hub/not-looked-up"')) == {}


def test_what_a_transformer_starts_from_is_looked_for(home: Workspace) -> None:
    text = f'{GOOD}\n[student.transformer]\ncheckpoint = "%s"\n'
    assert faults_of(home, text % "../bert") == faults_of(home, text % "hub/model") == {}
    told = faults_of(home, text % "../nowhere")
    assert list(told) == ["/student/transformer/checkpoint"]
    assert "'../nowhere': there is no such folder" in told["/student/transformer/checkpoint"][0]


def test_all_that_is_wrong_is_told_at_once(home: Workspace) -> None:
    (home.tasks / "seed.jsonl").write_text('{"text": "a", "label": "no"}\n{"text": "b", "label": "maybe"}\n')
    write_model(home.root / "bert", {"id2label": {"0": "down", "1": "up"}})
    (home.root / "bert" / "tokenizer.json").unlink()
    text = """\
        classes = ["no", "yes"]
        depends_on = ["nowhere=yes", "praise=yes"]
        [corpus]
        files = ["corpus.csv", "no.parquet", "more/*.csv"]
        time = "when"
        [teacher]
        model = "../bert"
        [gate]
        labels = "seed.jsonl"
        """
    told = faults_of(home, text)
    assert told == {
        "/corpus/files/0": ["corpus.csv: no column 'when'; there are 'id', 'text', 'at'"],
        "/corpus/files/1": [
            "'no.parquet': there is no such file (looked from tasks); put it there, or correct the path"
        ],
        "/corpus/files/2": [
            "'more/*.csv': there is no such file (looked from tasks); put it there, or correct the path"
        ],
        "/gate/labels": ["seed.jsonl: line 2: label 'maybe' is no class; allowed are no, yes"],
        "/depends_on/0": [
            "'nowhere=yes': task 'nowhere': not in this workspace; there are: none yet; add that task first"
        ],
        "/depends_on/1": ["'praise=yes': a task may not depend on itself"],
        "/teacher/model": ["../bert: there is no tokenizer; save it there with save_pretrained, too"],
        "/classes": [
            "no, yes are not the teacher's labels, down, up; teacher.map says which label stands for which "
            "class"
        ],
    }


@pytest.mark.parametrize(
    ("lines", "details"),
    [
        (
            ["{"],
            ["line 1: needed is an object with label, and text or an id of the corpus (the line is not JSON"],
        ),
        (
            ['{"text": "a"}'],
            ["line 1: needed is an object with label, and text or an id of the corpus (field 'l"],
        ),
        (
            ['["a"]'],
            ["line 1: needed is an object with label, and text or an id of the corpus (the line is not"],
        ),
        (
            ['{"text": "a", "label": "x"}', '{"text": "b", "label": "x"}', '{"text": "c", "label": "no"}'],
            [
                "class 'yes' has no labelled text; every class needs at least one",
                "line 1: label 'x' is no class; allowed are no, yes (so 2 in all)",
            ],
        ),
    ],
)
def test_labels_are_read_to_their_end(home: Workspace, lines: list[str], details: list[str]) -> None:
    (home.tasks / "seed.jsonl").write_text("\n".join(lines))
    told = faults_of(home, GOOD + 'labels = "seed.jsonl"\n')
    assert list(told) == ["/teacher/labels"]
    assert len(told["/teacher/labels"]) == len(details)
    for seen, expected in zip(told["/teacher/labels"], details, strict=True):
        assert seen.startswith(f"seed.jsonl: {expected}")
        assert "Error" not in seen


CORPUS_OF_IDS = GOOD.replace('files = ["corpus.csv"]', 'files = ["days/*.csv", "more.parquet"]\nid = "key"')


@pytest.fixture
def corpus_of_ids(home: Workspace) -> Workspace:
    (home.tasks / "days").mkdir()
    for day in range(3):
        rows = [f"k{day}{number},text {number}" for number in range(5)]
        (home.tasks / "days" / f"{day}.csv").write_text("\n".join(["key,text", *rows]))
    pq.write_table(pa.table({"key": [7, 8], "text": ["a", "b"]}), home.tasks / "more.parquet")
    return home


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("section", ["teacher", "gate"])
def test_ids_of_labels_that_no_row_has_are_told(corpus_of_ids: Workspace, form: str, section: str) -> None:
    def write(ids: list[str]) -> None:
        table = pa.table({"key": ids, "label": ["no", "yes"] * (len(ids) // 2)})
        path = corpus_of_ids.tasks / f"true.{form}"
        if form == "parquet":
            pq.write_table(table, path)
        else:
            lines = [json.dumps(row) for row in table.to_pylist()]
            if form == "csv":
                lines = ["key,label", *(f"{row['key']},{row['label']}" for row in table.to_pylist())]
            path.write_text("\n".join(lines))

    text = CORPUS_OF_IDS + ("" if section == "teacher" else "[gate]\n") + f'labels = "true.{form}"\n'
    write(["k00", "k24", "7", "8"])
    assert faults_of(corpus_of_ids, text) == {}
    write(["k00", "x1", "7", "x1"])
    assert faults_of(corpus_of_ids, text) == {
        f"/{section}/labels": [
            f"true.{form}: 1 of 3 ids stand for no row: 'x1'; they were looked for in column 'key' of the "
            "corpus; correct them, or give the texts"
        ]
    }
    write(["k00", "x1", "7", "x2", "k99", "9"])
    (detail,) = faults_of(corpus_of_ids, text)[f"/{section}/labels"]
    assert detail.startswith(f"true.{form}: 4 of 6 ids stand for no row: 'x1', 'x2', 'k99', ...; ")


def test_ids_are_looked_up_beside_other_faults_but_in_no_corpus_that_has_some(
    corpus_of_ids: Workspace,
) -> None:
    rows = ['{"key": "x", "label": "no"}', '{"text": "a", "label": "maybe"}']
    (corpus_of_ids.tasks / "true.jsonl").write_text("\n".join(rows))
    text = CORPUS_OF_IDS + '[gate]\nlabels = "true.jsonl"\n'
    no_class, no_row = faults_of(corpus_of_ids, text)["/gate/labels"]
    assert "'maybe' is no class" in no_class
    assert "1 of 1 ids stand for no row: 'x'" in no_row
    (corpus_of_ids.tasks / "more.parquet").unlink()
    told = faults_of(corpus_of_ids, text)
    assert list(told) == ["/corpus/files/1", "/gate/labels"]
    assert len(told["/gate/labels"]) == 1


def test_a_corpus_is_read_once_for_all_ids_and_no_further_than_to_the_last(
    corpus_of_ids: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def seen(path: str, columns: Columns) -> Iterator[list[str]]:
        read.append(Path(path).name)
        return read_ids(path, columns)

    monkeypatch.setattr(row_ids, "read_ids", seen)
    for name, identity in (("seed.csv", "k01"), ("true.csv", "k10")):
        (corpus_of_ids.tasks / name).write_text(f"key,label\n{identity},no\nk02,yes\n")
    text = CORPUS_OF_IDS + 'labels = "seed.csv"\n[gate]\nlabels = "true.csv"\n'
    assert faults_of(corpus_of_ids, text) == {}
    assert read == ["0.csv", "1.csv"]
    (corpus_of_ids.tasks / "true.csv").write_text("key,label\nnone,no\n")
    assert list(faults_of(corpus_of_ids, text)) == ["/gate/labels"]
    assert read[2:] == ["0.csv", "1.csv", "2.csv", "more.parquet"]
    for name in ("seed.csv", "true.csv"):
        (corpus_of_ids.tasks / name).write_text("text,label\na,no\nb,yes\n")
    assert faults_of(corpus_of_ids, text) == {}
    assert len(read) == 6  # texts need no look


def test_a_corpus_without_ids_has_numbers_of_rows(home: Workspace) -> None:
    text = GOOD + '[gate]\nlabels = "true.csv"\n'
    (home.tasks / "true.csv").write_text("id,label\n0,no\n1,yes\n")
    assert faults_of(home, text)["/gate/labels"] == [
        "true.csv: 1 of 2 ids stand for no row: '1'; corpus.id names no column, so that they are numbers of "
        "rows; correct them, or give the texts"
    ]
    two = text.replace('["corpus.csv"]', '["corpus.csv", "again.csv"]')
    (home.tasks / "again.csv").write_text("text\na\n")
    (detail,) = faults_of(home, two)["/gate/labels"]
    assert "2 of 2 ids stand for no row: '0', '1'; the corpus has no id column and 2 files" in detail


def test_a_corpus_that_breaks_off_while_ids_are_looked_up_is_a_fault(corpus_of_ids: Workspace) -> None:
    path = corpus_of_ids.tasks / "days" / "1.csv.gz"
    rows = "".join(f"k{number},{random.random()}\n" for number in range(20_000))
    path.write_bytes(gzip.compress(f"key,text\n{rows}".encode())[:-100])
    (corpus_of_ids.tasks / "true.csv").write_text("key,label\nnone,no\n")
    text = CORPUS_OF_IDS.replace("*.csv", "*") + '[gate]\nlabels = "true.csv"\n'
    (detail,) = faults_of(corpus_of_ids, text)["/corpus/files"]
    assert "1.csv.gz: not a whole gzip file" in detail


def test_a_column_of_anything_as_labels_has_few_faults(home: Workspace) -> None:
    rows = "".join(f"a,{number}\n" for number in range(1000))
    (home.tasks / "true.csv").write_text(f"text,label\n{rows}a,no\na,no\n")
    told = faults_of(home, GOOD + '[gate]\nlabels = "true.csv"\n')["/gate/labels"]
    assert len(told) == 23
    assert told[-1].endswith(
        "978 further lines have other labels that are no classes; is 'label' the right column?"
    )


def test_a_line_without_an_end_is_refused(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labelled_texts, "LINE_BYTES", 100)
    row = '{"text": "a", "label": "no"}\n'
    (home.tasks / "true.jsonl").write_text(row + json.dumps({"text": "a" * 100, "label": "no"}))
    (detail,) = faults_of(home, GOOD + '[gate]\nlabels = "true.jsonl"\n')["/gate/labels"]
    assert detail.startswith("true.jsonl: line 2: a line is longer than")


def test_labels_in_a_table_have_a_column_of_that_name(home: Workspace) -> None:
    (home.tasks / "seed.csv").write_text("text,klass\na,no\n")
    told = faults_of(home, GOOD + 'labels = "seed.csv"\n')
    assert "no column 'label'; there are 'text', 'klass'" in told["/teacher/labels"][0]


@pytest.mark.parametrize(
    ("config", "mapping", "key", "detail"),
    [
        (
            {"id2label": {"0": "n", "1": "y"}},
            '{y = "yes"}',
            "map",
            "label 'n' is not mapped; the teacher has n, y",
        ),
        (
            {"id2label": {"0": "n", "1": "y"}},
            '{j = "yes", "*" = "no"}',
            "map",
            "no label 'j'; the teacher has n, y",
        ),
        (
            {"id2label": {"0": "n", "1": "y"}},
            '{"*" = "no"}',
            "map",
            "no label of the teacher stands for 'yes'",
        ),
        ({"problem_type": "regression"}, "{}", "model", "describes a regression model with 2 outputs"),
        (
            {"problem_type": "multi_label_classification", "id2label": {"0": "n", "1": "y"}},
            "{}",
            "label",
            "answers each of n, y by itself; teacher.label says which one",
        ),
        (
            {"problem_type": "multi_label_classification", "id2label": {"0": "n", "1": "y"}},
            '{}\nlabel = "j"',
            "label",
            "no label 'j'; the teacher has n, y",
        ),
        (
            {"id2label": {"0": "n", "1": "y"}},
            '{}\nlabel = "y"',
            "label",
            "of this model's labels one holds",
        ),
        (
            {"id2label": {"0": "x"}},
            '{z = "yes"}',
            "map",
            "z: the task asks the model for 'x' alone",
        ),
        (
            {"id2label": {"0": "x"}},
            '{x = "yes", "*" = "yes"}',
            "map",
            "'yes' is the class of 'x' and of the rest",
        ),
        ({"id2label": {"0": "x", "1": "x"}}, "{}", "model", "names a class twice: x, x"),
        ({"id2label": ["x"]}, "{}", "model", "id2label in config.json is no object of numbers and labels"),
        ({"max_position_embeddings": 32}, "{}", "max_length", "max_length is 64; this model allows 3 to 32"),
        (
            {"max_position_embeddings": 64, "model_type": "roberta"},
            "{}",
            "max_length",
            "this model allows 3 to 62",
        ),
    ],
)
def test_the_teacher_is_read_by_its_config_alone(
    home: Workspace, config: dict[str, Any], mapping: str, key: str, detail: str
) -> None:
    write_model(home.root / "bert", config)
    told = faults_of(home, GOOD + f"map = {mapping}\n")
    assert list(told) == [f"/teacher/{key}"]
    assert detail in told[f"/teacher/{key}"][0]


def test_labels_without_names_fit_by_their_order_and_a_tuned_head_fits_always(home: Workspace) -> None:
    write_model(home.root / "bert", {"max_position_embeddings": -1})
    assert faults_of(home, GOOD) == {}
    assert "/classes" in faults_of(home, GOOD.replace('["no"', '["well", "no"'))
    write_model(home.root / "bert", {"id2label": {"0": "x"}})
    (home.tasks / "seed.csv").write_text("text,label\na,no\nb,yes\n")
    assert faults_of(home, GOOD + 'labels = "seed.csv"\n') == {}
    told = faults_of(home, GOOD + 'labels = "seed.csv"\nfine_tune = false\n')
    assert list(told) == ["/classes"]  # one output, of a name that is no class


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_a_file_says_which(home: Workspace, missing: str) -> None:
    (home.root / "bert" / missing).unlink()
    told = faults_of(home, GOOD)
    what = {"tokenizer.json": "tokenizer", "model.safetensors": "safetensors weights"}.get(missing, missing)
    assert list(told) == ["/teacher/model"]
    assert f"../bert: there {'are' if what.endswith('s') else 'is'} no {what}" in told["/teacher/model"][0]


def test_config_json_that_is_none_is_a_fault_of_the_model(home: Workspace) -> None:
    for content in ("{", "[]", "[" * 100_000):
        (home.root / "bert" / "config.json").write_text(content)
        told = faults_of(home, GOOD)
        assert list(told) == ["/teacher/model"]
        assert "config.json" in told["/teacher/model"][0]


def test_a_model_that_is_no_folder_says_what_is_needed(home: Workspace) -> None:
    (detail,) = faults_of(home, GOOD.replace("../bert", "../models/brt"))["/teacher/model"]
    assert detail.endswith("needed is a folder that save_pretrained wrote, or a name on the Hugging Face hub")


def test_a_teacher_of_another_task_has_that_tasks_labels(home: Workspace) -> None:
    text = GOOD.replace("../bert", "task:owner")
    (detail,) = faults_of(home, text)["/teacher/model"]
    assert detail.endswith("add that task first")
    home.add_task("owner", GOOD)
    assert faults_of(home, text) == {}
    assert list(faults_of(home, text.replace('"yes"', '"well"'))) == ["/classes"]
    home.add_task("owner", text)
    assert faults_of(home, text)["/teacher/model"] == ["'task:owner' has no teacher of its own"]
    assert faults_of(home, text, "owner")["/teacher/model"] == ["'task:owner' has no teacher of its own"]


@pytest.mark.parametrize("address", ["nosuch://bucket/a.csv", "memory://nowhere/a.csv"])
def test_an_address_that_leads_nowhere_is_a_fault(home: Workspace, address: str) -> None:
    told = faults_of(home, GOOD.replace("corpus.csv", address))
    assert list(told) == ["/corpus/files/0"]
    assert address in told["/corpus/files/0"][0]


def test_without_the_teachers_packages_it_is_said_what_nobody_knows(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_checks, "find_spec", lambda name: None)
    source = home.root / "praise.toml"
    (note,) = check_task("praise", parse(GOOD, source), home, source)
    assert "pip install '/path/to/pingti[teacher]'" in note
    (home.root / "bert" / "config.json").unlink()
    with pytest.raises(DefinitionError, match=r"there is no config\.json"):
        check_task("praise", parse(GOOD, source), home, source)


def test_nothing_of_the_teacher_is_imported() -> None:
    code = (
        "import sys, pingti.checks.task\n"
        "print([name for name in ('torch', 'transformers', 'faiss', 'numba') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_all_columns_that_a_file_lacks_are_told_at_once(home: Workspace) -> None:
    text = """
        classes = ["no", "yes"]
        [corpus]
        files = ["corpus.csv"]
        text = "post"
        time = "when"
        [teacher]
        model = "../bert"
        """
    (detail,) = faults_of(home, text)["/corpus/files/0"]
    assert detail == "corpus.csv: no columns 'post', 'when'; there are 'id', 'text', 'at'"
