"""A version with a cascade, from the definition to the answers of its teacher."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.errors import DefinitionError, UnavailableError
from pingti.inference.classifier import Classifier
from pingti.workspace import promotion
from pingti.workspace.definition import parse
from pingti.workspace.registry import TaskEntry
from pingti.workspace.report import Report, refusal
from replacement.second.teacher import TeacherSecond
from replacement.training.loop import replace
from tests.support.command_line import Run
from tests.support.teachers import agreement_with_teacher, sport
from tests.support.texts import made_texts


@pytest.fixture(scope="module")
def entry(topic_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> TaskEntry:
    """A task whose student is so weak that it has to ask about some rows."""
    entry = sport(tmp_path_factory.mktemp("cascade"), topic_teacher, rounds=1, budget=400)
    text = entry.path.read_text().replace("epochs = 3", "epochs = 1")
    cascade = "\n[cascade]\nagreement = 0.9\nconfidence = 0.6\nmost_teacher_share = 1.0\n"
    entry.path.write_text(text + cascade)
    entry = entry.workspace.task("sport")
    outcome = replace(entry)
    promotion.promote(entry, outcome.version, why="a test", force=True)
    return entry


def test_the_report_tells_the_curve_and_the_version_has_the_band(entry: TaskEntry) -> None:
    document = entry.report(1)
    cascade = Report.read(document, "report.json").cascade
    assert cascade is not None
    assert cascade.kept
    assert 0 < cascade.teacher_share <= 1
    assert cascade.holdout.accuracy is not None
    assert document["holdout"]["accuracy"] < cascade.holdout.accuracy
    assert cascade.validation.at_least >= 0.9
    shares = [point.teacher_share for point in cascade.curve]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert cascade.curve[-1].holdout == 1.0
    assert document["cascade"]["agreement"] == 0.9  # the wanted one, as the definition calls it
    lacks = refusal(document).text  # its gate is 1.0
    both = f"precision {cascade.holdout.precision:.3f} and recall {cascade.holdout.recall:.3f}"
    assert f"student and teacher together reach {both}; a cascade.agreement above 0.9 leaves" in lacks
    assert "学生与教师合起来精确率为" in (entry.student_folder(1) / "report.zh.html").read_text()
    rung = document["ladder"][-1]
    assert (rung["kind"], rung["teacher_share"]) == ("cascade", cascade.teacher_share)
    assert rung["kept"] is True
    student = json.loads((entry.student_folder(1) / "student.json").read_text())
    assert student["format"] == 5
    assert student["metadata"]["cascade"]["bands"] == {"default": [cascade.low, cascade.high]}
    for page, words in (
        ("report.html", "Student and teacher together"),
        ("report.zh.html", "学生与教师配合"),
    ):
        text = (entry.student_folder(1) / page).read_text()
        assert words in text
        assert f"{cascade.teacher_share:.1%}" in text


def test_classify_asks_the_teacher_in_its_own_process(entry: TaskEntry, tmp_path: Path, pingti: Run) -> None:
    texts, _ = made_texts(60, seed=9)
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")
    home = str(entry.workspace.root)

    def classify(out: str, *options: str) -> pa.Table:
        given = ["classify", str(tmp_path / "texts.parquet"), "--task", "sport", "-o", str(tmp_path / out)]
        done = pingti(*given, "--home", home, *options)
        assert done.returncode == 0, done.stderr
        return pq.read_table(tmp_path / out / "results.parquet")

    both, alone = classify("both"), classify("alone", "--no-cascade")
    unsure = [by == "unsure" for by in alone["sport_by"].to_pylist()]
    assert any(unsure)
    assert both["sport_by"].to_pylist() == ["teacher" if asks else "student" for asks in unsure]
    classifier = Classifier.of(entry.workspace, ["sport"])
    answers = TeacherSecond(entry.workspace)(classifier.pins[-1], texts)
    expected = [
        answer if asks else label
        for answer, asks, label in zip(answers, unsure, alone["sport"].to_pylist(), strict=True)
    ]
    assert both["sport"].to_pylist() == expected


def test_drift_is_that_of_both_together(entry: TaskEntry) -> None:
    texts, _ = made_texts(80, seed=11)
    classifier = Classifier.of(entry.workspace, ["sport"])
    second = TeacherSecond(entry.workspace)
    decided = classifier.asking(second).classify(texts).column("sport").to_pylist()
    answers = second(classifier.pins[-1], texts)
    agreed = sum(label == answer for label, answer in zip(decided, answers, strict=True))
    assert agreement_with_teacher(entry, 1, texts) == (80, agreed)


def test_a_teacher_that_is_gone_is_told_in_a_sentence(entry: TaskEntry, tmp_path: Path, pingti: Run) -> None:
    report = entry.student_folder(1) / "report.json"
    kept = report.read_text()
    document = json.loads(kept)
    document["teacher"]["fingerprint"] = "another"
    report.write_text(json.dumps(document))
    (tmp_path / "texts.jsonl").write_text('{"text": "the goal"}\n')
    try:
        given = ["classify", str(tmp_path / "texts.jsonl"), "--task", "sport", "-o", str(tmp_path / "out")]
        done = pingti(*given, "--home", entry.workspace.root)
        assert done.returncode == 4
        assert "another teacher by now" in done.stderr
        assert not (tmp_path / "out" / "results.parquet").exists()
    finally:
        report.write_text(kept)


def test_where_the_teacher_had_to_be_asked_about_too_many_the_student_answers_alone(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1)
    entry.path.write_text(
        entry.path.read_text() + "\n[cascade]\nagreement = 0.999\nmost_teacher_share = 0.01\n"
    )
    entry = entry.workspace.task("sport")
    outcome = replace(entry)
    cascade = outcome.report["cascade"]
    assert not cascade["kept"]
    assert not any(rung["kept"] for rung in outcome.report["ladder"] if rung["kind"] == "cascade")
    assert "no cascade" in cascade["says"]
    assert "cascade.most_teacher_share" in cascade["says"]
    student = json.loads((entry.student_folder(1) / "student.json").read_text())
    assert "cascade" not in student["metadata"]
    assert student["format"] < 5
    assert "there is no cascade" in (entry.student_folder(1) / "report.html").read_text()


def test_a_gate_may_be_met_by_the_cascade(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1, budget=400)
    text = entry.path.read_text().replace("epochs = 3", "epochs = 1")
    wanted = "\n[cascade]\nagreement = 0.99\nconfidence = 0.9\nmost_teacher_share = 1.0\n"
    entry.path.write_text(text + wanted)
    entry = entry.workspace.task("sport")
    outcome = replace(entry)
    # Of so few validation rows nothing less than all of them promises so much: they are the teacher's own.
    assert outcome.report["cascade"]["holdout"]["f1"] == 1.0
    assert outcome.report["holdout"]["f1"] < 1.0
    assert outcome.passed
    assert outcome.report["gate"]["by"] == "cascade"
    page = (entry.student_folder(1) / "report.html").read_text()
    assert "which the student alone does not" in page
    assert "which is still asked about 100.0 % of the texts: it decides 0.0 % of" in page
    assert "但仍需就 100.0% 的文本询问教师" in (entry.student_folder(1) / "report.zh.html").read_text()
    promotion.promote(entry, 1, why="passed its gate")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("agreement = 1.0", "cascade.agreement"),
        ("agreement = 0.4", "cascade.agreement"),
        ('second = "oracle"', "cascade.second"),
        ('on_no_teacher = "guess"', "cascade.on_no_teacher"),
        ("most_teacher_share = 0.0", "cascade.most_teacher_share"),
        ("band = 3", "cascade.band"),
    ],
)
def test_a_wrong_key_is_told_by_its_name(line: str, named: str) -> None:
    text = f'classes = ["a", "b"]\n[corpus]\nfiles = ["x"]\n[teacher]\nmodel = "m"\n[cascade]\n{line}\n'
    with pytest.raises(DefinitionError, match=named):
        parse(text)


def test_stored_answers_alone_cannot_be_asked(entry: TaskEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    from replacement.training.teacher_labels import TeacherLabels

    monkeypatch.setattr(TeacherLabels, "stored_alone", True)
    with pytest.raises(Exception, match="stored answers alone") as raised:
        TeacherSecond(entry.workspace).load(Classifier.of(entry.workspace, ["sport"]).pins[-1])
    assert not isinstance(raised.value, UnavailableError)
