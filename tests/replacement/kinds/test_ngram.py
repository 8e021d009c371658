"""The bag of n-grams at the end of a run, and the table of int8."""

from pathlib import Path

import numpy as np
import pytest

from pingti.students import load_student
from pingti.workspace.report import Report
from replacement.kinds import narrowing
from replacement.training.loop import replace
from tests.support.command_line import Run
from tests.support.teachers import sport
from textcnn import Student


def test_a_bag_of_ngrams_is_trained_measured_and_written(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1, gate=0.01)
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "ngram"'))
    outcome = replace(entry, seed=3)
    textcnn, ngram = Report.model_validate(outcome.report).ladder
    assert (textcnn.kind, ngram.kind, ngram.kept) == ("textcnn", "ngram", True)
    assert ngram.f1 is not None
    assert ngram.f1 > 0.6
    student = load_student(entry.student_folder(outcome.version))
    assert student.kind == "ngram"
    # student.wide is 0 in the definition: the table has its own size.
    assert isinstance(student, Student)
    assert student.architecture.wide == 1 << 17
    page = (entry.student_folder(outcome.version) / "report.html").read_text()
    assert "a student of the kind ngram was kept" in page
    assert "round 1 was kept" not in page
    assert (
        "保留了 ngram 类的学生模型" in (entry.student_folder(outcome.version) / "report.zh.html").read_text()
    )


def test_replace_says_which_kind_was_kept_and_what_the_others_reach(
    topic_teacher: Path, tmp_path: Path, pingti: Run
) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1, gate=0.01)
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "ngram"'))
    done = pingti("replace", "sport", "--home", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert 'version 1, a student of kind "ngram", of the rows of all rounds' in done.stdout
    shown = {line.split()[0]: line.split()[-1] for line in done.stdout.splitlines() if line}
    assert (shown["textcnn"], shown["ngram"]) == ("reached", "kept")


def test_int8_is_taken_where_decisions_stay(topic_teacher: Path, tmp_path: Path) -> None:
    dtypes = []
    for table, alike in (("int8", 1.1), ("auto", 1.1), ("auto", 0.0)):
        root = tmp_path / f"{table}{alike}"
        root.mkdir()
        entry = sport(root, topic_teacher, rounds=1, gate=0.01)
        entry.path.write_text(entry.path.read_text().replace("[student]", f'[student]\ntable = "{table}"'))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(narrowing, "ALIKE", alike)  # 1.1 is more than can be
            outcome = replace(entry, seed=3)
        student = load_student(entry.student_folder(outcome.version))
        assert isinstance(student, Student)
        dtypes.append(student.folded.table.dtype)
    assert dtypes == [np.int8, np.int16, np.int8]
