"""From a frame and a teacher to a promoted student, as in a notebook."""

import functools
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pingti
from pingti.errors import ConflictError, GateError, InputError, NotFoundError, UnavailableError
from pingti.notebook import replacement
from pingti.notebook.task_files import Question, toml, write_task
from pingti.workspace.definition import Definition
from pingti.workspace.report import Report, how_sure
from tests.support.model_folders import write_model
from tests.support.texts import WORDS, made_texts

SMALL = {
    "student": {"embedding": 16, "filters": 16, "widths": [1, 2], "epochs": 20, "wide": 0},
    "gate": {"precision": 0.5, "recall": 0.5, "holdout_fraction": 0.2, "holdout_rows": 60, "rounds": 1},
    "teacher": {"budget": 400},
}


def posts(rows: int = 600) -> pa.Table:
    sentences, _ = made_texts(rows, seed=2)
    return pa.table(
        {
            "post": sentences,
            "seen": pa.array(range(0, 3600 * rows, 3600), pa.timestamp("s")),
            "likes": [1] * rows,
        }
    )


def test_three_lines_of_a_notebook(
    topic_teacher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = pingti.replace(
        posts(), teacher=topic_teacher, text="post", time="seen", workspace=tmp_path / "w", definition=SMALL
    )
    shown = capsys.readouterr().err
    assert result.passed, result
    assert (result.task, result.version) == ("topic", 1)
    assert "round 1: precision" in shown
    assert "reaches its gate" in shown
    assert str(tmp_path / "w") in shown
    sure = how_sure(Report.model_validate(result.report))
    assert sure.startswith("of holdouts drawn again ")
    assert (str(result), sure in shown) == (f"{result!r}\n{sure}", True)
    with pytest.raises(ConflictError, match="no student is promoted yet"):
        pingti.load("topic", tmp_path / "w")
    result.promote()
    student = pingti.load("topic", tmp_path / "w")
    assert student.classes == ("sport", "tech", "other")
    assert student.predict(["goal match team coach", None]).tolist() == ["sport", None]
    assert result.student.predict("goal match team coach").tolist() == ["sport"]
    html = result._repr_html_()
    assert html is not None
    assert html == result.report._repr_html_() == result.entry.report()._repr_html_()
    assert html.startswith('<iframe srcdoc="')
    assert "&lt;html lang=&quot;en&quot;&gt;" in html
    assert "<html" not in html
    assert result.report["version"] == 1


def test_the_frame_becomes_the_corpus_and_the_same_call_goes_on(topic_teacher: Path, tmp_path: Path) -> None:
    def run(frame: pa.Table) -> pingti.notebook.replacement.Replacement:
        return pingti.replace(
            frame, teacher=topic_teacher, text="post", workspace=tmp_path, definition=SMALL, progress=False
        )

    first = run(posts())
    (corpus,) = (tmp_path / "corpora").iterdir()
    assert pq.read_table(corpus).column_names == ["post"]
    assert tomllib.loads(first.entry.path.read_text())["corpus"]["files"] == [f"../corpora/{corpus.name}"]
    again = run(posts())
    assert (again.version, again.report["teacher"]["rows_computed"]) == (2, 0)
    assert list((tmp_path / "corpora").iterdir()) == [corpus]
    run(posts(500))
    assert len(list((tmp_path / "corpora").iterdir())) == 2


def test_an_interruption_is_told_and_passed_on(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replacement.loop, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pingti.replace(posts(), teacher=topic_teacher, text="post", workspace=tmp_path)
    assert "the same call goes on" in capsys.readouterr().err


def test_a_student_that_falls_short_is_refused_and_may_be_forced(topic_teacher: Path, tmp_path: Path) -> None:
    dull = {"embedding": 2, "filters": 2, "widths": [1], "epochs": 1, "wide": 0, "vocabulary": 1}
    hard = {**SMALL, "gate": {**SMALL["gate"], "precision": 1.0, "recall": 1.0}, "student": dull}
    result = pingti.replace(
        posts(300),
        teacher=str(topic_teacher),
        text="post",
        workspace=tmp_path,
        definition=hard,
        progress=False,
    )
    assert not result.passed
    assert "reaches its gate" not in repr(result)
    assert result.entry.history()[-1]["event"] == "refused"
    with pytest.raises(GateError):
        result.promote()
    result.promote(force=True)
    assert result.entry.current() == 1


def test_files_and_a_task_of_a_workspace_are_taken_too(topic_teacher: Path, tmp_path: Path) -> None:
    path = tmp_path / "posts.parquet"
    pq.write_table(posts(), path)
    first = pingti.replace(
        path,
        teacher=topic_teacher,
        text="post",
        name="mine",
        workspace=tmp_path,
        definition=SMALL,
        progress=False,
    )
    assert first.entry.definition.corpus.files == (str(path),)
    entry = pingti.Workspace.open(tmp_path).task("mine")
    second = entry.replace(progress=False)
    assert (second.version, second.report["teacher"]["rows_computed"]) == (2, 0)
    assert entry.report()["version"] == 2
    with pytest.raises(InputError, match=r"^teacher, text: the definition of task 'mine' says"):
        pingti.replace(entry, teacher=topic_teacher, text="post")
    with pytest.raises(NotFoundError, match="no version yet"):
        pingti.Workspace(tmp_path).add_task("other", entry.path.read_text()).report()


def test_a_definition_of_somebodys_own_is_not_overwritten(topic_teacher: Path, tmp_path: Path) -> None:
    path = tmp_path / "tasks" / "topic.toml"
    path.parent.mkdir()
    path.write_text("# mine\n")
    with pytest.raises(ConflictError, match=r"name=\.\.\. makes another task"):
        pingti.replace(posts(), teacher=topic_teacher, text="post", workspace=tmp_path)
    assert path.read_text() == "# mine\n"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"text": "title"},
            r"the frame: there is no column 'title'; text=... names one of 'post', 'seen', 'li",
        ),
        ({"text": "likes"}, "column 'likes' is of type int64; needed are strings"),
        ({"time": "when"}, "no column 'when'; time=... names one of"),
        ({"teacher": None}, "^teacher: name the model that is to be replaced"),
        ({"teacher": 3}, r"^teacher: int \(3\) was given; needed is the folder of a model"),
        (
            {"teacher": "no/such/model/here"},
            "^teacher: 'no/such/model/here' is no folder here .*; give the path of the folder that "
            r"save_pretrained wrote\. A name on the hub needs its labels told .*: classes=\[\.\.\.\]",
        ),
        (
            {"teacher": "no/model", "yes": "sport"},
            "^teacher: 'no/model' is no folder .*: in the place of yes=..., give classes=.'no', 'yes'. and "
            "teacher={'model': 'no/model', 'map': {'LABEL': 'yes', .*: 'no'}}; and the hub must be",
        ),
        ({"teacher": len}, "^classes: name them; a function does not tell which labels it gives"),
        ({"classes": "spam"}, r"^classes: str \('spam'\) was given; needed is a list"),
        ({"classes": ["a", "b"]}, "a, b are not the teacher's labels, sport, tech, other"),
        (
            {"labels": pa.table({"post": ["a"], "label": ["b"]})},
            "^classes: name them; with a map or with labels",
        ),
        ({"labels": 5, "classes": ["a", "b"]}, r"^labels: int \(5\) was given; needed is a file, or a frame"),
        ({"data": 5}, r"^int \(5\) was given; needed is a frame of pandas, polars or datasets"),
        ({"data": []}, "^list .* was given; needed is a frame"),
        ({"data": posts(0)}, "^the frame has no rows"),
        (
            {"definition": {"gate": {"precision": {1}}}},
            r"^definition: gate.precision is set \(\{1\}\); allowed",
        ),
        ({"definition": {"gates": {"precision": 1}}}, "gates"),
        ({"name": "A b"}, "^task 'A b': not a name"),
        ({"yes": "music"}, "^yes: no label 'music'; the model has sport, tech, other"),
        ({"yes": ["sport", "tech", "other"]}, "^yes: all of sport, tech, other is a yes"),
        ({"yes": []}, "^yes: none of sport, tech, other is a yes"),
        ({"yes": "sport", "classes": ["a", "b"]}, "^yes: the classes are"),
        ({"yes": "sport", "teacher": {"model": "a", "map": {"b": "yes"}}}, "^yes: it does not go with"),
    ],
)
def test_what_cannot_be_used_is_told_before_there_is_a_task(
    topic_teacher: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    given = {"data": posts(), "teacher": topic_teacher, "text": "post", "workspace": tmp_path, **changes}
    data = given.pop("data")
    with pytest.raises(InputError, match=message):
        pingti.replace(data, **given)  # type: ignore[arg-type]
    assert pingti.Workspace(tmp_path).task_names() == []


def test_some_labels_of_the_teacher_are_a_yes(tmp_path: Path) -> None:
    labels = {"id2label": {"0": "sport", "1": "tech", "2": "other"}}
    write_model(tmp_path / "one", labels)
    write_model(tmp_path / "each", {**labels, "problem_type": "multi_label_classification"})
    workspace = pingti.Workspace(tmp_path / "workspace")

    def definition(model: str, yes: list[str] | None) -> Definition:
        question = Question(data=posts(5), teacher=tmp_path / model, text="post", yes=yes, name=model)
        return write_task(question, workspace)[0].definition

    of_one = definition("one", ["sport", "tech"])
    assert (of_one.classes, of_one.teacher.map) == (
        ("no", "yes"),
        {"sport": "yes", "tech": "yes", "*": "no"},
    )
    assert definition("each", ["tech"]).teacher.label == "tech"
    with pytest.raises(InputError, match=r"^classes: .* yes=\.\.\. says which one .* sport, tech, other"):
        definition("each", None)
    with pytest.raises(InputError, match=r"^yes: name one"):
        definition("each", ["sport", "tech"])


def test_a_workspace_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match="no such workspace"):
        pingti.Workspace.open(tmp_path / "none")
    monkeypatch.setenv("PINGTI_HOME", str(tmp_path))
    assert pingti.Workspace.open().root == tmp_path
    with pytest.raises(NotFoundError, match="task 'spam': not in this workspace"):
        pingti.load("spam")


def test_a_report_without_a_page_is_its_figures_alone(workspace: pingti.Workspace) -> None:
    report = workspace.task("sport").report()
    assert report == json.loads((workspace.task("sport").student_folder(1) / "report.json").read_text())
    assert report._repr_html_() is None


def test_toml_is_what_was_given() -> None:
    document = {
        "classes": ["no", 'y"e\\s', "多\n行\x7f"],
        "none": None,
        "corpus": {"files": ["a"], "id": None},
        "teacher": {"map": {"*": "no", "a b": "x"}, "fine_tune": False, "margin": 1e-7, "budget": 3},
        "scenes": {"strict": {"precision": 0.9}},
        "empty": {},
    }
    assert tomllib.loads(toml(document)) == {
        "classes": document["classes"],
        "corpus": {"files": ["a"]},
        "teacher": document["teacher"],
        "scenes": document["scenes"],
    }


def test_student_of_rules_threshold_and_dependencies(workspace: pingti.Workspace) -> None:
    folder = workspace.task("sport").student_folder(1)
    student = pingti.Student.load(folder)
    student.metadata["rules"] = {"drop": ["^ad:"], "negative": ["^bread"]}
    student.metadata["depends_on"] = ["tech=no"]
    student.save(folder)
    spoken = pingti.load("sport@strict", workspace)
    texts = [
        "goal match team coach",
        "ad: goal match team",
        "bread goal match team",
        "software chip browser",
        "",
    ]
    assert spoken.pin.threshold == 0.9
    decided = spoken.predict(texts)
    assert decided[:4].tolist() == ["yes", None, "no", None]
    probabilities = spoken.predict_proba(texts)
    assert probabilities.dtype == np.float32
    assert np.isnan(probabilities[:, 0]).tolist() == [label is None for label in decided]
    assert probabilities[2].tolist() == [1.0, 0.0]
    assert probabilities[0].sum() == pytest.approx(1.0)
    assert json.dumps(repr(spoken)) == "\"<student of 'sport', version 1: no, yes>\""
    frame = pa.table({"post": texts})
    assert spoken.predict(frame, text="post").tolist() == decided.tolist()
    with pytest.raises(InputError, match=r"a Table with the columns 'post' was given; needed is one"):
        spoken.predict(frame)


def by_words(texts: list[str]) -> list[str]:
    return ["yes" if any(word in text for word in WORDS["sport"]) else "no" for text in texts]


def test_a_function_is_a_teacher(tmp_path: Path) -> None:
    def run(data: Any, **changes: Any) -> replacement.Replacement:
        return pingti.replace(data, teacher=by_words, progress=False, **changes)

    small = {**SMALL, "student": {**SMALL["student"], "epochs": 8}}
    result = run(posts(), text="post", classes=["no", "yes"], workspace=tmp_path, definition=small)
    assert result.passed
    assert result.task == "by_words"
    assert result.entry.definition.teacher.model == "python:by_words"
    result.promote()
    assert pingti.load("by_words", tmp_path).predict(["goal match team coach"]).tolist() == ["yes"]
    again = run(result.entry)
    assert again.version == 2
    assert again.report["teacher"]["rows_computed"] == 0
    with pytest.raises(UnavailableError, match=r"pingti\.replace\(entry, teacher=function\)"):
        pingti.replace(result.entry, progress=False)
    text = result.entry.path.read_text().replace('"python:by_words"', '"../bert"')
    other = pingti.Workspace(tmp_path).add_task("other", text)
    with pytest.raises(InputError, match=r'"python:NAME"'):
        run(other)


def test_a_function_without_a_name_is_refused(tmp_path: Path) -> None:
    for function in (lambda texts: by_words(texts), functools.partial(by_words)):
        with pytest.raises(InputError, match="has no name, by which its answers are kept"):
            pingti.replace(posts(), teacher=function, text="post", classes=["no", "yes"], workspace=tmp_path)


def test_stored_answers_are_a_teacher(tmp_path: Path) -> None:
    frame = posts()
    answers = pa.table({"post": frame["post"], "label": by_words(frame["post"].to_pylist())})
    pq.write_table(answers, tmp_path / "answers.parquet")
    teacher = {"answers": [str(tmp_path / "answers.parquet")]}
    with pytest.raises(InputError, match="classes: name them; such a teacher"):
        pingti.replace(frame, teacher=teacher, text="post", workspace=tmp_path)
    small = {**SMALL, "student": {**SMALL["student"], "epochs": 8}}
    result = pingti.replace(
        frame, teacher=teacher, text="post", classes=["no", "yes"], workspace=tmp_path, definition=small,
        progress=False,
    )  # fmt: skip
    assert result.passed
    assert result.task == "task"
