"""A version of two students: a transformer answers where the other is not sure, and no teacher is asked."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.errors import ArtifactError, DefinitionError, UnavailableError
from pingti.exporting import bundle
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, Pin, pin
from pingti.inference.task_student import load
from pingti.students import load_second, load_student, version_files
from pingti.workspace import promotion
from pingti.workspace.definition import parse
from pingti.workspace.registry import TaskEntry, Workspace
from pingti.workspace.report import Report
from pingti.workspace.storage import Storage, students
from pingti.workspace.verdict import verdict
from replacement.second.teacher import TeacherSecond
from replacement.training.loop import replace
from tests.support.command_line import Run
from tests.support.teachers import agreement_with_teacher, sport
from tests.support.texts import made_texts
from tests.support.transformers import needs_runtime

CASCADE = '\n[cascade]\nsecond = "transformer"\nagreement = {}\nconfidence = 0.6\nmost_teacher_share = {}\n'


def defined(root: Path, teacher: Path, agreement: float, share: float = 1.0) -> TaskEntry:
    entry = sport(root, teacher, rounds=1, budget=400)
    text = entry.path.read_text().replace("epochs = 3", "epochs = 1")
    text = text.replace("[gate]", "[student.transformer]\nlayers = 1\nepochs = 8\n\n[gate]")
    entry.path.write_text(text + CASCADE.format(agreement, share))
    return entry.workspace.task("sport")


@pytest.fixture(scope="module")
def entry(topic_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> TaskEntry:
    """A task whose student is so weak that its second has to answer some rows."""
    needs_runtime()
    entry = defined(tmp_path_factory.mktemp("second"), topic_teacher, 0.85)
    promotion.promote(entry, replace(entry).version, why="a test", force=True)
    return entry


def test_the_report_tells_what_both_reach_and_that_no_teacher_is_asked(entry: TaskEntry) -> None:
    document = entry.report(1)
    report = Report.read(document, "report.json")
    cascade = report.cascade
    assert cascade is not None
    assert cascade.kept, cascade.says
    assert cascade.second == "transformer"
    assert "no teacher is asked" in cascade.says
    assert document["holdout"]["accuracy"] < document["cascade"]["holdout"]["accuracy"]
    assert 0 < cascade.teacher_share <= 1
    kinds = [(rung["kind"], rung["kept"], rung["teacher_share"]) for rung in document["ladder"]]
    assert kinds == [("textcnn", True, 0.0), ("transformer", False, 0.0), ("cascade", True, 0.0)]
    sizes = [rung["bytes"] for rung in document["ladder"]]
    assert sizes[2] == sizes[0] + sizes[1]  # both are loaded
    rates = [rung["texts_per_second"] for rung in document["ladder"]]
    assert 1e6 / rates[2] == pytest.approx(1e6 / rates[0] + cascade.teacher_share * 1e6 / rates[1], rel=0.01)
    assert "still asked" not in verdict(report)
    for page, words in (
        ("report.html", "Student and transformer together"),
        ("report.zh.html", "学生与 Transformer 学生配合"),
    ):
        assert words in (entry.student_folder(1) / page).read_text()


def test_every_door_answers_by_it(entry: TaskEntry, tmp_path: Path, pingti: Run) -> None:
    texts, _ = made_texts(80, seed=9)
    classifier = Classifier.of(entry.workspace, ["sport"])
    decided, alone = classifier.classify(texts), classifier.alone().classify(texts)
    unsure = [by == "unsure" for by in alone.column("sport_by").to_pylist()]
    assert 0 < sum(unsure) < len(texts)
    by = ["transformer" if asks else "student" for asks in unsure]
    assert decided.column("sport_by").to_pylist() == by
    folder = entry.student_folder(1)
    second = load_second(folder, load_student(folder).metadata)
    assert second is not None
    classes = np.array(second.classes)[second.score(texts).argmax(axis=1)]
    expected = np.where(unsure, classes, alone.column("sport").to_numpy(zero_copy_only=False)).tolist()
    assert decided.column("sport").to_pylist() == expected
    assert decided.column("sport_score").equals(alone.column("sport_score"))
    assert load("sport", entry.workspace).predict(texts).tolist() == expected
    assert load("sport", entry.workspace).sure([*texts[:3], None]).tolist() == [True, True, True, None]

    def refuse(own: Pin, given: list[str]) -> list[str | None]:
        raise AssertionError(given)

    assert classifier.asking(refuse).classify(texts).equals(decided)
    pq.write_table(pa.table({"text": texts}), tmp_path / "texts.parquet")
    for options, wanted in (((), by), (("--no-cascade",), alone.column("sport_by").to_pylist())):
        out = tmp_path / f"out{len(options)}"
        given = ["classify", tmp_path / "texts.parquet", "--task", "sport", "-o", out, *options]
        done = pingti(*map(str, given), "--home", str(entry.workspace.root))
        assert done.returncode == 0, done.stderr
        assert pq.read_table(out / "results.parquet")["sport_by"].to_pylist() == wanted


def test_drift_is_what_both_decide_otherwise(entry: TaskEntry) -> None:
    texts, _ = made_texts(80, seed=11)
    decided = np.array(Classifier.of(entry.workspace, ["sport"]).classify(texts).column("sport").to_pylist())
    (own,) = pin(entry.workspace, [Choice(task="sport")])
    agreed = int((np.array(TeacherSecond(entry.workspace)(own, texts)) == decided).sum())
    assert agreement_with_teacher(entry, 1, texts) == (80, agreed)


def test_a_store_has_both_and_an_exchanged_or_missing_second_is_told(
    entry: TaskEntry, tmp_path: Path
) -> None:
    workspace, texts = entry.workspace, made_texts(40, seed=13)[0]
    pins = pin(workspace, [Choice(task="sport")])
    store = Storage(f"memory://{tmp_path.name}/pingti")
    students.publish(workspace, pins, store)
    elsewhere = Workspace(tmp_path / "elsewhere")
    students.fetch(elsewhere, pins, store)
    theirs = Classifier.load(elsewhere, pins).classify(texts)
    assert theirs.equals(Classifier.load(workspace, pins).classify(texts))
    folder = elsewhere.task("sport").student_folder(1)
    assert {"second.json", "model.onnx", "tokenizer.json", "student.json"} <= set(version_files(folder))
    model = folder / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"model\.onnx: its checksum does not fit"):
        Classifier.load(elsewhere, pins)
    document = json.loads((folder / "second.json").read_text())
    (folder / "second.json").write_text(json.dumps({**document, "max_length": 5}))
    with pytest.raises(ArtifactError, match=r"second\.json: its checksum does not fit its content"):
        Classifier.load(elsewhere, pins)
    (folder / "second.json").unlink()
    (folder / "second.json").mkdir()
    for read in (lambda: Classifier.load(elsewhere, pins), lambda: version_files(folder)):
        with pytest.raises(ArtifactError, match=r"second\.json: not readable: Is a directory"):
            read()
    (folder / "second.json").rmdir()
    with pytest.raises(
        ArtifactError, match=r"second\.json: it is not there; the student of this version has a"
    ):
        Classifier.load(elsewhere, pins)


def test_what_is_carried_away_is_the_student_alone(entry: TaskEntry, tmp_path: Path) -> None:
    bundle.write(entry.workspace, pin(entry.workspace, [Choice(task="sport")]), tmp_path / "bundle")
    carried = bundle.load(tmp_path / "bundle")
    assert carried.schema.names == ["id", "sport", "sport_score"]
    texts = made_texts(20, seed=3)[0]
    alone = Classifier.of(entry.workspace, ["sport"]).alone().classify(texts)
    assert carried.classify(texts).column("sport").equals(alone.column("sport"))


def test_an_agreement_that_both_do_not_reach_is_no_cascade(topic_teacher: Path, tmp_path: Path) -> None:
    needs_runtime()
    entry = defined(tmp_path, topic_teacher, 0.999, 0.3)
    cascade = replace(entry).report["cascade"]
    assert not cascade["kept"]
    assert "no cascade: with the transformer for" in cascade["says"]
    assert "less than cascade.agreement (0.999)" in cascade["says"]
    folder = entry.student_folder(1)
    assert not (folder / "second.json").exists()
    assert "cascade" not in load_student(folder).metadata
    assert "there is no cascade, and the student answers alone" in (folder / "report.html").read_text()


def test_a_second_that_cannot_be_trained_is_told_before_the_teacher_is_asked(
    topic_teacher: Path, tmp_path: Path
) -> None:
    needs_runtime()
    entry = defined(tmp_path, topic_teacher, 0.9)
    entry.path.write_text(entry.path.read_text().replace("layers = 1", "layers = 48"))
    with pytest.raises(
        UnavailableError, match=r'cascade\.second = "transformer": student\.transformer\.layers'
    ):
        replace(entry.workspace.task("sport"))


def test_the_definition_refuses_what_would_mean_nothing(topic_teacher: Path, tmp_path: Path) -> None:
    text = defined(tmp_path, topic_teacher, 0.9).path.read_text()
    with pytest.raises(DefinitionError, match="both would say the same"):
        parse(text.replace("[student]", '[student]\nkind = "transformer"'))
    with pytest.raises(DefinitionError, match='on_no_teacher is of second = "teacher"'):
        parse(text + 'on_no_teacher = "student"\n')


def test_auto_that_keeps_the_transformer_says_that_there_is_no_cascade(
    topic_teacher: Path, tmp_path: Path
) -> None:
    needs_runtime()
    entry = defined(tmp_path, topic_teacher, 0.9)
    entry.path.write_text(entry.path.read_text().replace("[student]", '[student]\nkind = "auto"'))
    report = replace(entry.workspace.task("sport")).report
    kept = next(rung["kind"] for rung in report["ladder"] if rung["kept"] and rung["kind"] != "cascade")
    if kept == "transformer":
        assert "cascade" not in report
        assert any("is the transformer itself" in note for note in report["notes"])
    else:
        assert report["cascade"]["second"] == "transformer"


def test_a_copy_without_its_student_json_is_told(entry: TaskEntry, tmp_path: Path) -> None:
    shutil.copytree(entry.student_folder(1), tmp_path / "copy")
    (tmp_path / "copy" / "student.json").unlink()
    with pytest.raises(ArtifactError, match=r"no student\.json in it"):
        load_student(tmp_path / "copy")
