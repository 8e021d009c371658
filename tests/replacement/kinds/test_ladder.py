"""Which of several kinds of students is kept, and what the report tells of the others."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from pingti.errors import UnavailableError
from pingti.students import AnyStudent
from pingti.workspace.definition import GateSection
from pingti.workspace.report import Report
from replacement.evaluation.metrics import Measure
from replacement.kinds import training
from replacement.kinds.ladder import Candidate, choose
from replacement.results import Round
from replacement.training.loop import replace
from tests.support.teachers import sport
from textcnn import Student
from textcnn.cost import Cost

GATE = GateSection(precision=0.8, recall=0.8)


class OtherKind:
    """A TextCNN that says that it is of another kind, and has neither features nor encoded texts."""

    def __init__(self, student: Student, kind: str, operations: float) -> None:
        self.kind = kind
        self.metadata = student.metadata
        self.classes = student.classes
        self.save = student.save
        self.score = student.score
        self._operations = operations

    def cost(self, tokens: float) -> Cost:
        return Cost(bytes=1000, operations=self._operations * tokens)


def trainer(kind: str, operations: float) -> training.Trainer:
    def train(setup: Any, asked: Any, trained: Any) -> AnyStudent:
        student = trained.of_rounds
        copied = student.read_as(student.classes, student.readout)
        return OtherKind(copied, kind, operations)  # type: ignore[return-value]

    return train


def figures(f1: float) -> Measure:
    return Measure(precision=f1, recall=f1, f1=f1, accuracy=f1, rows=100, positives=40)


def candidate(operations: float, *, validation: float, holdout: float, usable: bool = True) -> Candidate:
    result = Round(
        round=1,
        rows=10,
        asked=10,
        added={},
        yields={},
        boundary=0,
        hard_negatives=0,
        threshold=0.5,
        validation=figures(validation),
        holdout=figures(holdout),
    )
    student: Any = object()
    return Candidate(student=student, result=result, operations=operations, usable=usable)


def test_the_cheapest_that_passes_on_both_is_kept() -> None:
    dear, cheap = (candidate(n, validation=0.9, holdout=0.9) for n in (100.0, 10.0))
    lucky = candidate(1.0, validation=0.7, holdout=0.9)
    unlucky = candidate(1.0, validation=0.9, holdout=0.7)
    assert choose([dear, lucky, cheap, unlucky], GATE) == 2
    assert choose([dear, dataclasses.replace(cheap, usable=False)], GATE) == 0


def test_where_none_passes_the_best_on_the_validation_rows_is_kept() -> None:
    first = candidate(10.0, validation=0.6, holdout=0.7)
    better = candidate(100.0, validation=0.7, holdout=0.5)
    alike = candidate(50.0, validation=0.7, holdout=0.4)
    assert choose([first, better, alike], GATE) == 2


def test_a_ladder_of_the_default_has_one_rung(topic_teacher: Path, tmp_path: Path) -> None:
    outcome = replace(sport(tmp_path, topic_teacher, rounds=1), seed=3)
    (rung,) = Report.model_validate(outcome.report).ladder
    assert rung.kind == outcome.report["kind"] == "textcnn"
    assert rung.kept
    assert rung.f1 == outcome.report["holdout"]["f1"]
    assert rung.agreement == outcome.report["holdout"]["accuracy"]
    assert rung.texts_per_second == outcome.report["speed"]["student"]


def test_auto_tries_what_there_is_and_says_what_it_left_out(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "TRAINERS", {})
    monkeypatch.setitem(training.TRAINERS, "ngram", trainer("ngram", 0.1))
    monkeypatch.setitem(training.TRAINERS, "transformer", trainer("transformer", 1e9))
    monkeypatch.setitem(training.REQUIREMENTS, "transformer", lambda _: "no model of the teacher is here")
    entry = sport(tmp_path, topic_teacher, rounds=1, gate=0.01)
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "auto"'))
    outcome = replace(entry, seed=3)
    rungs = Report.model_validate(outcome.report).ladder
    assert [(rung.kind, rung.passes, rung.kept) for rung in rungs] == [
        ("textcnn", True, False),
        ("ngram", True, True),
        ("transformer", False, False),
    ]
    assert rungs[2].note == "no model of the teacher is here"
    assert rungs[2].f1 is None
    assert rungs[1].bytes == 1000
    assert outcome.report["kind"] == "ngram"
    assert outcome.passed
    assert Student.load(entry.student_folder(outcome.version)).metadata["thresholds"]["default"] is not None


def test_a_kind_that_was_asked_for_is_kept_whatever_it_reaches(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(training.TRAINERS, "transformer", trainer("transformer", 1e9))
    monkeypatch.setitem(training.REQUIREMENTS, "transformer", lambda _: "")
    entry = sport(tmp_path, topic_teacher, rounds=1, gate=0.01)
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "transformer"'))
    outcome = replace(entry, seed=3)
    rungs = Report.model_validate(outcome.report).ladder
    assert [(rung.kind, rung.kept) for rung in rungs] == [("textcnn", False), ("transformer", True)]
    # The same numbers behind another name: what is measured goes by the student's own scores.
    assert rungs[0].f1 == pytest.approx(rungs[1].f1)


def test_a_kind_that_cannot_be_trained_is_refused_before_the_teacher_is_asked(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "TRAINERS", {})
    entry = sport(tmp_path, topic_teacher)
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "ngram"'))
    with pytest.raises(UnavailableError, match=r'student\.kind = "ngram": this Pingti does not train'):
        replace(entry, seed=3)
    assert entry.versions() == []
