"""Students that ask a second where they are not sure."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pingti.errors import ArtifactError, PingtiError
from pingti.files import write_json
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, Pin, alone, described, pin
from pingti.inference.task_student import load
from pingti.students import load_student
from pingti.workspace.registry import Workspace
from tests.support.workspaces import with_cascade
from tests.support.workspaces import with_rules as with_rules_of
from textcnn import Student


def rows_of(texts: list[str]) -> pa.RecordBatch:
    ids = [str(number) for number in range(len(texts))]
    return pa.record_batch({"id": pa.array(ids), "text": pa.array(texts, pa.string())})


def test_the_second_answers_where_the_student_is_not_sure(workspace: Workspace, texts: list[str]) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    classifier = Classifier.of(workspace, ["sport", "topic"])
    plain = classifier.classify(rows_of(texts))
    asked: list[tuple[Pin, list[str]]] = []

    def second(own: Pin, given: list[str]) -> list[str | None]:
        asked.append((own, given))
        return ["yes"] * len(given)

    both = classifier.asking(second).classify(rows_of(texts))
    scores = plain.column("sport_score").to_numpy()
    unsure = (scores >= 0.2) & (scores < 0.8)
    assert 0 < unsure.sum() < len(texts)
    [(own, given)] = asked
    assert (own.task, own.version) == ("sport", 1)
    assert given == [text for text, asks in zip(texts, unsure, strict=True) if asks]
    assert both.column("sport_by").to_pylist() == ["teacher" if asks else "student" for asks in unsure]
    assert plain.column("sport_by").to_pylist() == ["unsure" if asks else "student" for asks in unsure]
    expected = np.where(unsure, "yes", plain.column("sport").to_numpy(zero_copy_only=False))
    assert both.column("sport").to_pylist() == expected.tolist()
    # What is not the cascade's stays as it was.
    assert both.column("sport_score").equals(plain.column("sport_score"))
    assert both.column("topic").equals(plain.column("topic"))
    assert both.schema.names == ["id", "sport", "sport_score", "sport_by", "topic", "topic_score"]


def test_where_the_second_has_no_answer_the_row_is_marked(workspace: Workspace, texts: list[str]) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    classifier = Classifier.of(workspace, ["sport"])
    plain = classifier.classify(rows_of(texts))
    none = classifier.asking(lambda own, given: [None] * len(given)).classify(rows_of(texts))
    assert none.equals(plain)
    assert "unsure" in none.column("sport_by").to_pylist()
    with pytest.raises(PingtiError, match="2 answers for"):
        classifier.asking(lambda own, given: ["yes", "no"]).classify(rows_of(texts))


def test_more_than_two_classes_go_by_the_margin(workspace: Workspace, texts: list[str]) -> None:
    with_cascade(workspace, "topic", 0.0, 0.9)
    student = load_student(workspace.task("topic").student_folder(1))
    two = np.sort(student.score(texts), axis=1)[:, -2:]
    decided = Classifier.of(workspace, ["topic"]).classify(rows_of(texts))
    unsure = two[:, 1] - two[:, 0] < np.float32(0.9)
    assert 0 < unsure.sum() < len(texts)
    assert decided.column("topic_by").to_pylist() == ["unsure" if asks else "student" for asks in unsure]


def test_rules_and_dependencies_come_first(workspace: Workspace) -> None:
    with_rules_of(workspace)
    with_cascade(workspace, "topic", 0.0, 2.0)
    with_cascade(workspace, "tech", 0.0, 2.0)
    texts = ["the browser chip", "the robot chip", "the chip software", "the chip software"]
    answers = {"topic": ["tech", "tech", "tech", "sport"], "tech": ["yes"]}

    def second(own: Pin, given: list[str]) -> list[str | None]:
        return list(answers[own.task])

    decided = Classifier.of(workspace, ["tech"]).asking(second).classify(rows_of(texts))
    # Dropped, negative by rule, the teacher's; and one that the teacher of the other task says is sport.
    assert decided.column("tech").to_pylist() == [None, "no", "yes", None]
    assert decided.column("tech_by").to_pylist() == [None, "student", "teacher", None]


def test_pins_without_a_cascade_are_written_as_before(workspace: Workspace) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    sport, tech = pin(workspace, [Choice.parse("sport"), Choice.parse("tech")])
    keys = {"task", "scene", "version", "threshold", "hidden", "column"}
    assert set(described(tech)) == keys
    assert set(described(sport)) == keys | {"second", "unsure_from", "unsure_below", "on_no_second"}
    assert (sport.second, sport.unsure_from, sport.unsure_below) == ("teacher", 0.2, 0.8)
    nobody = dict.fromkeys(["second", "unsure_from", "unsure_below", "on_no_second"])
    assert alone([sport]) == (replace(sport, **nobody),)
    metadata = Classifier.of(workspace, ["sport"]).schema.metadata[b"pingti.tasks"]
    assert json.loads(metadata) == [described(sport)]
    # Another operating point is meant to decide otherwise than the teacher.
    (strict,) = pin(workspace, [Choice.parse("sport@strict")])
    assert strict.second is None


def test_a_student_says_of_which_decisions_it_is_sure(workspace: Workspace, texts: list[str]) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    student = load("sport", workspace)
    scores = student.predict_proba(texts)[:, 1]
    assert student.sure(texts).tolist() == [not 0.2 <= score < 0.8 for score in scores]
    assert student.sure([None, texts[0]]).tolist()[0] is None
    assert load("tech", workspace).sure(texts).all()


def test_an_older_pingti_refuses_a_student_with_a_cascade(workspace: Workspace, tmp_path: Path) -> None:
    with_cascade(workspace, "sport", 0.2, 0.8)
    folder = workspace.task("sport").student_folder(1)
    document = json.loads((folder / "student.json").read_text())
    assert document["format"] == 5
    assert json.loads((workspace.task("tech").student_folder(1) / "student.json").read_text())["format"] == 3
    student = Student.load(folder)
    assert student.metadata["cascade"]["bands"] == {"default": [0.2, 0.8]}
    write_json(folder / "student.json", {**document, "format": 6})
    with pytest.raises(ArtifactError, match="format 6 is newer than 5"):
        load_student(folder)
