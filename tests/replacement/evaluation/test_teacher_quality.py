from pathlib import Path

import numpy as np
import pytest

from pingti.workspace.report_parts import TeacherQuality
from replacement.evaluation import teacher_quality
from replacement.evaluation.baseline import Baseline
from teacher.quality import Quality

WORDS = '{"rows": 40, "teacher": "good", "ngram": 0.7, "frozen": 0.8}'
NOTHING = Baseline(texts=[], answers=np.zeros(0, np.int64), classes=2)


def made(n: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, n)
    return [f"{('red', 'blue')[number]} {rng.integers(1 << 30)}" for number in true.tolist()], true


def test_a_baseline_learns_from_the_labelled_rows_but_for_those_to_be_decided() -> None:
    texts, answers = made(100, 0)
    unseen, true = made(30, 1)
    rng = np.random.default_rng(0)
    decided = Baseline(texts=texts, answers=answers, classes=2).decide(unseen, true, rng)
    assert decided is not None
    assert (decided == true).mean() == 1.0
    # Labels the wrong way round: it goes by what it has learned, and has not learned the rows themselves.
    wrong = Baseline(texts=[*texts, *(text.upper() for text in unseen)], answers=np.append(1 - answers, true),
                     classes=2).decide(unseen, true, rng)  # fmt: skip
    assert wrong is not None
    assert (wrong == true).mean() == 0.0


def test_a_baseline_of_no_labelled_rows_is_cross_validated() -> None:
    texts, true = made(80, 0)
    decided = NOTHING.decide(texts, true, np.random.default_rng(0))
    assert decided is not None
    assert (decided == true).mean() > 0.95
    assert NOTHING.decide(texts[:39], true[:39], np.random.default_rng(0)) is None


@pytest.mark.parametrize(("right", "beaten"), [(1.0, False), (0.6, True)])
def test_a_ready_model_is_held_against_the_labelled_rows(right: float, beaten: bool) -> None:
    texts, true = made(200, 0)
    decided = np.where(np.random.default_rng(1).random(200) < right, true, 1 - true)
    figures = teacher_quality.of_labelled_rows(texts, true, decided, NOTHING, np.random.default_rng(0))
    assert figures is not None
    assert (figures.rows, figures.teacher, figures.frozen) == (200, round((decided == true).mean(), 4), None)
    assert figures.beaten == beaten
    told = teacher_quality.warnings([figures], None)
    assert len(told) == beaten
    if beaten:
        assert told[0].startswith(
            "WARNING: the teacher is worse than a trivial model: of 200 rows of teacher.la"
        )


def test_true_labels_tell_where_the_baseline_was_measured() -> None:
    against = {"teacher": {"rows": 50, "accuracy": 0.8}, "student": {}, "baseline": {"accuracy": 0.9}}
    figures = teacher_quality.of_true_labels(against)
    assert figures is not None
    assert (figures.rows, figures.teacher, figures.ngram, figures.beaten) == (50, 0.8, 0.9, True)
    assert teacher_quality.of_true_labels({"teacher": {"rows": 5, "accuracy": 0.8}}) is None
    assert teacher_quality.of_true_labels(None) is None


def test_what_was_kept_aside_is_read_from_the_model_s_folder(tmp_path: Path) -> None:
    assert teacher_quality.of_rows_kept_aside(tmp_path) is None
    Quality(rows=40, teacher=0.9, ngram=0.7, frozen=0.8).write(tmp_path)
    figures = teacher_quality.of_rows_kept_aside(tmp_path)
    assert figures == TeacherQuality(
        rows=40, teacher=0.9, ngram=0.7, frozen=0.8, measured_on="labelled rows kept aside from fine-tuning"
    )
    for damaged in ("", "[]", '{"rows": 40}', '{"rows": 40, "teacher": 0.9, "ngram": 0.7, "more": 1}', WORDS):
        (tmp_path / "quality.json").write_text(damaged)
        assert teacher_quality.of_rows_kept_aside(tmp_path) is None


def test_a_teacher_of_few_labels_is_said_to_be_unmeasured() -> None:
    (told,) = teacher_quality.warnings([], 60)
    assert "60 labelled rows are too few to keep some aside (160 are needed)" in told
    assert teacher_quality.warnings([], None) == ()
