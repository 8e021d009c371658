"""What is read of files of stored answers: nothing merged, turned round or left out in silence."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.checks.task import check_task
from pingti.errors import DefinitionError, InputError
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.teacher_sources.stored_answers import ReadAnswers, read_answers

IDS = [("007", "a"), ("7", "b"), ("12", "c"), ("twice", "d"), ("twice", "e")]


def task(root: Path, teacher: str, answers: str) -> TaskEntry:
    lines = [json.dumps({"id": identity, "text": text}) for identity, text in IDS]
    (root / "corpus.jsonl").write_text("\n".join(lines))
    text = (
        'classes = ["no", "yes"]\n[corpus]\nfiles = ["../corpus.jsonl"]\nid = "id"\n'
        f"[teacher]\nanswers = [{json.dumps(answers)}]\n{teacher}\n"
    )
    return Workspace(root).add_task("t", text)


def read(root: Path, content: str | pa.Table, teacher: str = "", name: str = "a.csv") -> ReadAnswers:
    if isinstance(content, str):
        (root / name).write_text(content)
    else:
        pq.write_table(content, root / name)
    return read_answers(task(root, teacher, f"../{name}"), None)


def decided(answers: ReadAnswers) -> dict[str, list[float]]:
    stored = answers.answers
    return {
        key: [round(value, 3) for value in stored.probabilities[row].tolist()]
        for key, row in stored.row_of.items()
    }


def scores(**columns: str) -> str:
    pairs = ", ".join(f"{label} = {json.dumps(column)}" for label, column in columns.items())
    return f"answer_columns = {{scores = {{{pairs}}}}}"


def test_ids_are_what_is_written(tmp_path: Path) -> None:
    read_ids = read(tmp_path, "id,label\n007,yes\n7,no\ntwice,yes\n99,no\n")
    assert decided(read_ids) == {"a": [0.0, 1.0], "b": [1.0, 0.0]}
    (note,) = read_ids.notes
    assert "2 rows have an id that stands for no text, or for several" in note
    assert "'twice': several texts of the corpus have it" in note


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 12]),
        pa.array([7.0, 12.0]),
        pa.array([7, 12]).cast(pa.decimal128(38, 0)),
        pa.array(["7", "12"]),
    ],
)
def test_ids_of_every_type_lead_to_their_texts(tmp_path: Path, ids: pa.Array) -> None:
    table = pa.table({"id": ids, "label": ["yes", "no"]})
    assert decided(read(tmp_path, table, name="a.parquet")) == {"b": [0.0, 1.0], "c": [1.0, 0.0]}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_text_that_looks_like_a_number_or_nothing_is_a_text(tmp_path: Path, separator: str) -> None:
    lines = ["text,label", "1.0,no", "NA,yes", "2025-01-01,no"]
    content = "\n".join(lines).replace(",", separator) + "\n"
    answers = read(tmp_path, content)
    assert set(decided(answers)) == {"1.0", "na", "2025-01-01"}
    assert ["separated by" in note for note in answers.notes] == [True] * (separator != ",")


def test_labels_that_look_like_nothing_or_like_truth_values_are_labels(tmp_path: Path) -> None:
    table = read(tmp_path, "text,label\na,NA\nb,True\n", 'map = {NA = "no", True = "yes"}')
    assert table.answers.labels == ("NA", "True")
    lines = '{"text": "a", "label": true}\n{"text": "b", "label": 0}\n{"text": "c", "label": ["yes"]}\n'
    mapping = 'map = {true = "yes", 0 = "no", yes = "yes"}'
    assert read(tmp_path, lines, mapping, "a.jsonl").answers.labels == ("0", "true", "yes")


def test_one_score_is_a_probability_and_the_other_class_has_the_rest(tmp_path: Path) -> None:
    alone = read(tmp_path, "text,p\na,0.9\nb,0.1\nc,0\n", scores(yes="p"))
    assert alone.independent
    assert alone.answers.labels == ("yes",)
    assert decided(alone) == {"a": [0.9], "b": [0.1], "c": [0.0]}


def test_scores_that_are_answered_by_themselves_are_not_divided(tmp_path: Path) -> None:
    columns = scores(taste="t", price="p", delivery="d")
    content = "text,t,p,d\na,0.9,0.9,0.9\nb,0.1,0.2,0.3\n"
    apart = read(tmp_path, content, f'label = "price"\n{columns}')
    assert apart.independent
    assert decided(apart) == {"a": [0.9, 0.9, 0.9], "b": [0.1, 0.2, 0.3]}
    with pytest.raises(InputError, match=r"row 1: its scores are \[2\.0, 0\.0, 0\.0\]; .* from 0 to 1"):
        read(tmp_path, "text,t,p,d\na,2,0,0\n", f'label = "price"\n{columns}')


def test_scores_that_do_not_add_up_to_one_are_told(tmp_path: Path) -> None:
    divided = read(tmp_path, "text,n,y\na,0.9,0.9\nb,0.25,0.75\nc,30,70\n", scores(no="n", yes="y"))
    assert decided(divided) == {"a": [0.5, 0.5], "b": [0.25, 0.75], "c": [0.3, 0.7]}
    (note,) = divided.notes
    assert "scores of 2 rows do not add up to 1 and were divided by their sum" in note
    assert "a.csv: row 1: [0.9, 0.9]" in note


def test_of_a_model_that_answers_each_label_by_itself_scores_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,t,p\na,0.9,0.9\n")
    entry = task(tmp_path, scores(taste="t", price="p"), "../a.csv")
    answers = read_answers(entry, ("price", "taste"), independent=True)
    np.testing.assert_allclose(answers.answers.probabilities, [[0.9, 0.9]])
    with pytest.raises(InputError, match="there is no column for delivery"):
        read_answers(entry, ("price", "taste", "delivery"))


def test_rows_without_an_answer_and_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    told = read(tmp_path, "text,label\na,yes\nb,\nc,no,more\n")
    assert decided(told) == {"a": [0.0, 1.0]}
    unread, empty = told.notes
    assert "1 rows could not be read and were left out; the first is" in unread
    assert "a.csv: row 3: 3 fields; the header has 2" in unread
    assert "1 rows hold no answer" in empty
    nothing = pa.table({"text": ["a", "b"], "n": [np.nan, 0.2], "y": pa.array([None, 0.8])})
    assert decided(read(tmp_path, nothing, scores(no="n", yes="y"), "a.parquet")) == {"b": [0.2, 0.8]}


@pytest.mark.parametrize(
    ("content", "teacher", "problem"),
    [
        ("text,n,y\na,0.5,nan\n", scores(no="n", yes="y"), "row 1: its scores are"),
        ("text,n,y\na,0.5,\n", scores(no="n", yes="y"), "row 1: its scores are"),
        ("text,n,y\na,0.5,many\n", scores(no="n", yes="y"), "needed are numbers"),
        ("text,n,y\na,-1,2\n", scores(no="n", yes="y"), "needed are numbers from 0 up"),
        ("text,label,day\na,yes,soon\n", 'answer_columns = {time = "day"}', "row 1: field 'day' is 'soon'"),
        ("text,label,day\na,yes,\n", 'answer_columns = {time = "day"}', "row 1: field 'day' is ''"),
        ("text,label\na,maybe\n", 'label = "sure"', "no label 'sure'"),
        ("text;p\na;0.5\n", "", "no column 'label'; there are 'text', 'p'"),
        ("", "", "the file is empty"),
        ("text,label\n", "", "the files hold no answer"),
        ("text,label\na,yes\nA,no\n", "", "no answer is left; .* 1 texts have several answers that differ"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    tmp_path: Path, content: str, teacher: str, problem: str
) -> None:
    with pytest.raises((InputError, DefinitionError), match=problem) as raised:
        answers = read(tmp_path, content, teacher)
        from replacement.decision import make_rule

        section = Workspace(tmp_path).task("t").definition.teacher
        make_rule(answers.answers.labels, answers.independent, ("no", "yes"), section, Path("t.toml"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("label", [["yes", "no"], {"yes": 1.0}], ids=["several", "object"])
def test_a_label_that_is_no_label_is_one_sentence(tmp_path: Path, label: Any) -> None:
    for name, content in (
        ("a.jsonl", json.dumps({"text": "a", "label": label}) + "\n"),
        ("a.parquet", pa.table({"text": ["a"], "label": [label]})),
    ):
        with pytest.raises(
            InputError, match=r"row 1: field 'label' is of type (list|dict); a string is needed"
        ):
            read(tmp_path, content, name=name)


def test_the_newest_answer_counts_whatever_its_file_writes_times_as(tmp_path: Path) -> None:
    folder = tmp_path / "answers"
    folder.mkdir()
    (folder / "old.csv").write_text("text,label,day\na,yes,2024-12-31\nb,yes,2024-12-31\n")
    table = pa.table({"text": ["a"], "label": ["no"], "day": [np.datetime64("2025-01-01", "ns")]})
    pq.write_table(table, folder / "new.parquet")
    (folder / "_SUCCESS").write_text("")
    entry = task(tmp_path, 'answer_columns = {time = "day"}', "../answers")
    assert decided(read_answers(entry, None)) == {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    (folder / "old.csv").write_text("text,label,day\na,yes,9/1/2025\na,no,10/1/2025\n")
    columns = 'answer_columns = {time = "day", time_format = "%m/%d/%Y"}'
    assert decided(read_answers(task(tmp_path, columns, "../answers/*.csv"), None)) == {"a": [1.0, 0.0]}


@pytest.mark.parametrize(
    ("content", "teacher", "problem"),
    [
        ("text,answer\na,yes\n", "", "no column 'label'"),
        ("label\nyes\n", "", "neither a text nor an id"),
        ("text,p\na,0.5\n", scores(sport="p"), "are not the teacher's label, sport"),
        ("text,p,q\na,0.5,0.5\n", scores(sport="p", rest="q"), "teacher.map says which label"),
        (
            "text,p,q\na,0.5,0.5\n",
            f'label = "x"\n{scores(a="p", b="q")}',
            "no label 'x'; the teacher has a, b",
        ),
        ("text,p\na,0.5\n", scores(yes="p"), ""),
        ("text,p,q\na,0.5,0.5\n", scores(yes="p", no="q"), ""),
        ("text,p,q\na,0.5,0.5\n", scores(yes="p", maybe="q"), "are not the teacher's labels, yes, maybe"),
        ("text,p,q\na,0.5,0.5\n", f'label = "a"\n{scores(a="p", b="q")}', ""),
    ],
)
def test_adding_a_task_looks_at_its_answers(tmp_path: Path, content: str, teacher: str, problem: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    entry = task(tmp_path, teacher, "../a.csv")
    if not problem:
        check_task("t", entry.definition, entry.workspace, entry.path)
        return
    with pytest.raises(DefinitionError, match=problem):
        check_task("t", entry.definition, entry.workspace, entry.path)
