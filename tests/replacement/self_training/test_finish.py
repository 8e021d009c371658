"""The finish: what is learned once more, and when its student is kept."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingti.workspace.definition import GateSection
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.evaluation.metrics import Measure
from replacement.results import Round
from replacement.self_training.finish import TEMPERATURE, column_probabilities, finish, soften
from replacement.training.loop import replace
from replacement.training.rounds import students
from replacement.training.rounds.stopping import speak_against
from replacement.training.teacher_labels import TeacherLabels
from tests.support.teachers import folder_bytes, sport, topic_teacher
from textcnn import Student

__all__ = ["topic_teacher"]

GATE = GateSection(precision=0.9, recall=0.9)


def turn(f1: float, threshold: float | None = 0.5) -> Round:
    figures = Measure(precision=f1, recall=f1, f1=f1, accuracy=f1, rows=100, positives=10)
    return Round(
        round=1, rows=10, asked=20, added={}, yields={}, boundary=0, hard_negatives=0, threshold=threshold,
        validation=figures, holdout=figures,
    )  # fmt: skip


def test_rows_asked_about_come_three_times_and_others_once_as_they_are_guessed() -> None:
    asked, others = np.array([4, 7]), np.array([1, 2, 9])
    targets = np.array([[1.0, 0.0], [0.2, 0.8]], np.float32)

    def guess(rows: np.ndarray) -> np.ndarray:
        return np.stack([rows / 10, 1 - rows / 10], axis=1).astype(np.float32)

    def lesson(*parts: np.ndarray) -> tuple[np.ndarray, ...]:
        return parts

    generator = np.random.default_rng(0)
    rows, learned = finish(lesson, guess, asked, targets, others, groups=[2], most=10, rng=generator)
    assert rows.tolist() == [4, 7, 4, 7, 4, 7, 1, 2, 9]
    assert np.array_equal(learned[:6], np.concatenate([targets] * 3))
    assert learned[6:] == pytest.approx(soften(guess(others), [2], TEMPERATURE))
    # Of more than are wanted, some are drawn, the same for one seed.
    drawn = [
        finish(
            lesson,
            guess,
            asked,
            targets,
            np.arange(10, 90),
            groups=[2],
            most=20,
            rng=np.random.default_rng(3),
        )[0]
        for _ in range(2)
    ]
    assert np.array_equal(*drawn)
    assert len(set(drawn[0][6:].tolist())) == 20


def test_softened_probabilities_are_more_alike_and_sum_to_one_in_each_group() -> None:
    rows = np.array([[0.9, 0.1, 0.5, 0.3, 0.2], [1.0, 0.0, 1.0, 0.0, 0.0]], np.float32)
    softened = soften(rows, [2, 3], 2.0)
    assert softened[:, :2].sum(axis=1) == pytest.approx(1.0)
    assert softened[:, 2:].sum(axis=1) == pytest.approx(1.0)
    assert softened[0, :2] == pytest.approx([0.75, 0.25])  # the roots of .9 and .1, three to one
    assert np.isfinite(softened).all()
    assert soften(rows, [2, 3], 1.0) == pytest.approx(rows, abs=1e-6)


@pytest.mark.parametrize(
    ("before", "after", "against"),
    [
        (turn(0.8), turn(0.8), False),
        (turn(0.8), turn(0.81), False),
        (turn(0.8), turn(0.79), True),
        (turn(0.8), turn(0.85, None), True),
    ],
)
def test_validation_rows_speak_against_what_is_worse(before: Round, after: Round, against: bool) -> None:
    assert speak_against(before, after, GATE, binary=True) is against


def test_a_student_within_the_gate_is_not_given_for_one_outside() -> None:
    within, outside = turn(0.9), turn(0.92)
    outside = dataclasses.replace(
        outside, validation=dataclasses.replace(outside.validation, precision=0.99, recall=0.86)
    )
    assert speak_against(within, outside, GATE, binary=True)
    assert not speak_against(outside, turn(0.93), GATE, binary=True)


def finished(root: Path, model: Path, most: int, **changes: Any) -> TaskEntry:
    entry = sport(root, model, **{"rounds": 2, **changes})
    text = entry.path.read_text().replace("[student]", f"[student]\nfinish_rows = {most}", 1)
    entry.path.write_text(text)
    return Workspace(root).task("sport")


def test_a_run_is_finished_on_its_pool_and_costs_the_teacher_nothing(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, set[str]] = {}
    real = TeacherLabels.ask

    def ask(self: TeacherLabels, texts: list[str], what: str) -> Any:
        asked.setdefault(what, set()).update(texts)
        return real(self, texts, what)

    lessons: list[np.ndarray] = []

    def lesson(setup: Any, rows: Any, targets: Any, subclasses: Any, what: str) -> Any:
        if what == "finish":
            lessons.append(np.array(setup.dataset.texts_of(rows), object))
        return train_on(setup, rows, targets, subclasses, what)

    train_on = students.train_on
    monkeypatch.setattr(students, "train_on", lesson)
    monkeypatch.setattr(TeacherLabels, "ask", ask)
    plain = replace(sport(tmp_path / "plain", topic_teacher, rounds=2))
    assert lessons == []
    told: list[int] = []
    entry = finished(tmp_path / "finished", topic_teacher, 10_000)
    outcome = replace(entry, announce=lambda result: told.append(result.round))
    assert outcome.rounds[:-1] == plain.rounds
    assert told == [1, 2, 3]
    assert outcome.rounds[-1].asked == plain.rounds[-1].asked
    assert outcome.report["teacher"]["rows_asked"] == plain.report["teacher"]["rows_asked"]
    (texts,) = lessons
    learned = asked["teacher: rows to learn from"]
    counts = {text: int((texts == text).sum()) for text in set(texts.tolist())}
    assert {text for text, count in counts.items() if count == 3} == learned
    assert {count for text, count in counts.items() if text not in learned} == {1}
    assert not set(counts) & (asked["teacher: holdout"] | asked["teacher: validation"])
    assert len(counts) > len(learned) + 100
    # It is kept where it is no worse on the validation rows.
    best = max(outcome.rounds[:-1], key=lambda result: result.validation.f1)
    if outcome.rounds[-1].validation.f1 >= best.validation.f1:
        assert outcome.best == outcome.rounds[-1]
    report = json.loads((entry.student_folder(1) / "report.json").read_text())
    assert report["kept_round"] == outcome.best.round


def test_one_seed_gives_one_finished_student(topic_teacher: Path, tmp_path: Path) -> None:
    entries = [finished(tmp_path / name, topic_teacher, 60, rounds=1, gate=0.01) for name in ("a", "b")]
    outcomes = [replace(entry, seed=3) for entry in entries]
    assert outcomes[0].rounds == outcomes[1].rounds
    first, second = (folder_bytes(*pair) for pair in zip(outcomes, entries, strict=True))
    assert first == second


def test_a_finished_student_that_is_worse_is_not_kept(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replacement.training.loop.speak_against", lambda *_, **__: True)
    outcome = replace(finished(tmp_path, topic_teacher, 60, rounds=1))
    assert [result.round for result in outcome.rounds] == [1, 2]
    assert outcome.best.round == 1


def test_columns_are_those_that_the_classes_are_read_off(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1)
    student = Student.load(entry.student_folder(replace(entry).version))
    encoded = student.vocabulary.encode(["the goal match team coach", "the bread garden", "code chip"])
    columns, classes = column_probabilities(student, encoded), student.score_encoded(encoded)
    assert columns.shape == (3, 3)
    assert columns.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    for number in range(2):
        own = np.array(student.readout.class_of) == number
        assert columns[:, own].sum(axis=1) == pytest.approx(classes[:, number], abs=1e-5)
