"""Runs of a task: one at a time, whole or not at all, with the promoted version's teacher, and on record."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pingti.annotation import labels
from pingti.errors import ConflictError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from pingti.workspace.report import refusal
from replacement.evaluation import gate
from replacement.evaluation.metrics import Measure
from replacement.retrain import retrain
from replacement.training import validation_set, warm_start
from replacement.training.loop import replace
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import TeacherLabels, load_teacher, load_teacher_of_version
from teacher.bert import Teacher
from tests.support.teachers import (
    agreement_with_teacher,
    folder_bytes,
    notes_beside_size,
    sport,
    topic_teacher,
    write_bert,
)
from tests.support.texts import WORDS, made_texts

__all__ = ["topic_teacher"]


def pingti(entry: TaskEntry, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "api.cli.main",
        *map(str, arguments),
        "--home",
        str(entry.workspace.root),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder to be fine-tuned, which knows the made-up words."""
    folder = tmp_path_factory.mktemp("base") / "base"
    write_bert(folder, [word for words in WORDS.values() for word in words])
    return folder


def tuned(root: Path, base: Path, **changes: Any) -> TaskEntry:
    """The sport task with a teacher that is fine-tuned first."""
    entry = sport(root, base, **{"gate": 0.01, "margin": 0.0, **changes})
    texts, topics = made_texts(60, seed=5)
    rows = [
        {"text": text, "label": "yes" if topic == "sport" else "no"}
        for text, topic in zip(texts, topics, strict=True)
    ]
    (root / "seed.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    text = entry.path.read_text().replace('[teacher.map]\nsport = "yes"\n"*" = "no"\n', "")
    labels = 'labels = "../seed.jsonl"\nlearning_rate = 3e-3\nepochs = 2\nbudget = '
    entry.path.write_text(text.replace("budget = ", labels))
    return Workspace(root).task("sport")


def silent(*_: object) -> None:
    pass


def teacher_of(entry: TaskEntry) -> TeacherLabels:
    return load_teacher(entry, read_people_labels(entry), seed=0, progress=silent)


def test_a_version_cut_off_while_it_is_written_leaves_its_number_and_nothing_else(
    topic_teacher: Path, tmp_path: Path
) -> None:
    whole = sport(tmp_path / "whole", topic_teacher, rounds=1)
    expected = replace(whole)
    killed = sport(tmp_path / "killed", topic_teacher, rounds=1)
    program = (
        "import os, sys; from pingti.workspace.registry import Workspace\n"
        "from replacement.training.loop import replace\n"
        "from textcnn import Student\n"
        "Student.save = lambda *_: os.kill(os.getpid(), 9)\nreplace(Workspace(sys.argv[1]).task('sport'))"
    )
    child = subprocess.run([sys.executable, "-c", program, killed.workspace.root], check=False)
    assert child.returncode == -signal.SIGKILL
    (left,) = (killed.folder / "students").iterdir()
    assert (left / "report.json").is_file()
    assert (killed.versions(), killed.next_version()) == ([], 1)
    outcome = replace(killed)
    assert outcome.version == 1
    assert [path.name for path in (killed.folder / "students").iterdir()] == ["1"]
    assert folder_bytes(outcome, killed) == folder_bytes(expected, whole)
    for name in ("student.json", "rows.json"):
        assert (killed.student_folder(1) / name).read_bytes() == (whole.student_folder(1) / name).read_bytes()


def test_a_second_run_of_a_task_is_told_so_and_a_retraining_waits(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    events: list[dict[str, Any]] = []
    waits = threading.Event()

    def tell(event: dict[str, Any]) -> None:
        events.append(event)
        waits.set()

    with entry.making():
        ran = pingti(entry, "replace", "sport")
        assert (ran.returncode, ran.stdout) == (4, "")
        assert ran.stderr.startswith("pingti: task 'sport': another run, a pingti replace or a retraining,")
        night = threading.Thread(target=retrain, args=(entry, "night"), kwargs={"who": "t", "tell": tell})
        night.start()
        assert waits.wait(60)
        assert events == [{"what": "waiting for another run of this task", "done": 0, "total": 1}]
        assert entry.versions() == []
    night.join()
    assert (entry.versions(), entry.current()) == ([1], 1)


def test_a_refusal_is_told_alike_by_exit_code_report_and_history(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, rounds=1)
    ran = pingti(entry, "replace", "sport", "--promote")
    assert ran.returncode == 5
    report = json.loads((entry.student_folder(1) / "report.json").read_text())
    says = report["gate"]["says"]
    assert "is below 1.000" in says
    lacks = refusal(report)
    assert (lacks.text, len(lacks.headline) < 100) == (says, True)
    told = ran.stderr[ran.stderr.index("pingti: task") :].splitlines()
    most = next(point for point in lacks.points if point.startswith("what helps most is "))
    assert told[0] == (
        f"pingti: task 'sport': refused: {lacks.headline}; {most}; other ways on are "
        f"more rounds (gate.rounds, 1 now), a larger teacher.budget "
        f"({entry.definition.teacher.budget:,} now), more texts, a lower gate, or pingti promote sport 1 "
        "--force"
    )
    points = [f"- {point}" for point in lacks.points if point != most]
    assert " ".join(" ".join(told[1:]).split()) == " ".join(" ".join(points).split())
    assert (report["gate"]["passed"], entry.current()) == (False, None)
    assert [(line["event"], line["version"], line["why"]) for line in entry.history()] == [
        ("refused", 1, lacks.headline)
    ]

    ran = pingti(entry, "promote", "sport")
    assert (ran.returncode, entry.current()) == (5, None)
    assert f"version 1: {lacks.headline}; force" in ran.stderr
    ran = pingti(entry, "promote", "sport", "1", "--force", "--why", "a trial")
    assert (ran.returncode, entry.current()) == (0, 1)
    lines = [(line["event"], line["version"], line["why"]) for line in entry.history()]
    assert lines[1:] == [
        ("refused", 1, lacks.headline),
        ("promoted", 1, f"a trial (by force: {lacks.headline})"),
    ]


def test_a_reached_gate_has_nothing_to_say(topic_teacher: Path, tmp_path: Path) -> None:
    outcome = replace(sport(tmp_path, topic_teacher, gate=0.01, rounds=1))
    assert (outcome.report["gate"]["says"], outcome.report["gate"]["unread"]) == ("", "")


def test_the_promoted_version_keeps_its_teacher(base: Path, tmp_path: Path) -> None:
    entry = tuned(tmp_path, base, rounds=1)
    outcome = replace(entry, seed=5)
    promotion.promote(entry, 1, who="tests", why="a trial", force=True)
    (folder,) = (entry.folder / "teacher").iterdir()
    assert load_teacher_of_version(entry, 1).model == str(folder)
    agreement_with_teacher(entry, 1, ["the goal"])
    assert warm_start.seed(entry) == 5
    ended = retrain(entry, "night", who="tests", tell=silent)
    assert entry.report(ended["version"])["teacher"] == {
        **entry.report(ended["version"])["teacher"],
        "model": str(folder),
        "fingerprint": outcome.report["teacher"]["fingerprint"],
    }
    # Neither another workspace nor a changed definition brings another teacher to a version.
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("tasks", "corpus.jsonl", "seed.jsonl"):
        (tmp_path / name).rename(moved / name)
    there = Workspace(moved).task("sport")
    teacher = load_teacher_of_version(there, 1)
    assert teacher.model == str(there.folder / "teacher" / folder.name)
    assert teacher.fingerprint == outcome.report["teacher"]["fingerprint"]
    assert len(list((there.folder / "teacher").iterdir())) == 1
    # A changed definition means another teacher for the next version.
    there.path.write_text(there.path.read_text().replace("epochs = 2", "epochs = 1", 1))
    retrain(Workspace(moved).task("sport"), "next night", who="tests", tell=silent)
    assert len(list((there.folder / "teacher").iterdir())) == 2


def test_exchanged_weights_make_another_teacher(base: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(base, own)
    entry = tuned(tmp_path, own)
    first = teacher_of(entry)
    weights = own / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4:] = np.float32(0.25).tobytes()
    weights.write_bytes(data)
    assert teacher_of(entry).model != first.model


@pytest.mark.parametrize("what", ["missing", "damaged", "without a report"])
def test_a_promoted_version_that_cannot_be_read_ends_no_run(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    replace(entry)
    promotion.promote(entry, 1, who="tests", why="passed")
    folder = entry.student_folder(1)
    if what == "missing":
        shutil.rmtree(folder)
    elif what == "damaged":
        (folder / "student.safetensors").write_bytes(b"")
    else:
        (folder / "report.json").unlink()
    unread = gate.unread(entry)
    drawn: list[int] = []
    draw = validation_set.draw_by_score
    monkeypatch.setattr(
        validation_set, "draw_by_score", lambda *some, **more: drawn.append(1) or draw(*some, **more)
    )
    ended = retrain(entry, "night", who="tests", tell=silent)
    assert ended["version"] == 2  # a second version 1 would be promoted before anybody looked
    report = entry.report(2)
    assert report["gate"]["unread"] == unread
    if what == "without a report":
        assert (unread, report["gate"]["incumbent"]["version"]) == ("", 1)
    else:
        assert unread.startswith(
            "version 1 is promoted but cannot be read, so nothing was compared with it: "
        )
        assert report["gate"]["incumbent"] is None
        ran = pingti(entry, "promote", "sport", ended["version"])
        assert (ran.returncode, entry.current()) == (0, ended["version"])
    # Round 1 of a run that learns from the incumbent's rows, which were not drawn evenly, cannot draw so.
    known = report["rounds"][0]["added"].get("known", 0)
    assert (known > 0) == (what == "damaged")
    assert bool(drawn) == (what != "damaged")


def test_the_command_line_says_that_the_promoted_version_is_gone(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    replace(entry)
    promotion.promote(entry, 1, who="tests", why="passed")
    (entry.student_folder(1) / "student.json").unlink()
    ran = pingti(entry, "replace", "sport")
    assert ran.returncode == 0
    assert ran.stderr.count("version 1 is promoted but cannot be read") == 1


def test_rows_whose_answers_are_gone_are_not_free(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1, budget=300)
    replace(entry)
    promotion.promote(entry, 1, who="tests", why="passed")
    shutil.rmtree(entry.workspace.teachers)
    outcome = replace(entry, seed=1)
    (result,) = outcome.rounds
    # What the holdout and the validation rows have put into the cache again, is.
    assert result.added.get("known", 0) < 60
    assert outcome.report["teacher"]["rows_computed"] <= result.asked <= 300
    # With the cache, what both versions have learned from is known.
    promotion.promote(entry, outcome.version, who="tests", why="passed")
    assert replace(entry, seed=1).rounds[0].added["known"] > 60


def test_of_runs_side_by_side_one_fine_tunes_and_the_others_take_it(base: Path, tmp_path: Path) -> None:
    entry = tuned(tmp_path, base, rounds=1)
    program = (
        "import sys; from pingti.workspace.registry import Workspace\n"
        "from replacement.training.people_labels import read_people_labels\n"
        "from replacement.training.teacher_labels import load_teacher\n"
        "def tell(what, done, total):\n    print(what, flush=True)\n"
        "entry = Workspace(sys.argv[1]).task('sport')\n"
        "print(load_teacher(entry, read_people_labels(entry), seed=0, progress=tell).model)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) for _ in range(3)]
    printed = [run.communicate(timeout=120)[0].splitlines() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    (folder,) = (entry.folder / "teacher").iterdir()
    assert {lines[-1] for lines in printed} == {str(folder)}
    assert sum("fine-tuning the teacher" in lines for lines in printed) == 1


def test_the_lock_ends_with_its_holder(tmp_path: Path, topic_teacher: Path) -> None:
    entry = sport(tmp_path, topic_teacher)
    with entry.making(), pytest.raises(ConflictError, match="makes a version of it"), entry.making():
        pass
    with entry.making():
        pass


def learned_keys(entry: TaskEntry, version: int) -> set[str]:
    keys = json.loads((entry.student_folder(version) / warm_start.FILE).read_text())["keys"]
    return set(keys)


def validation_keys(entry: TaskEntry, version: int) -> set[str]:
    document = json.loads((entry.student_folder(version) / warm_start.FILE).read_text())
    return set(document["validation"]["keys"])


@pytest.mark.parametrize("several", [False, True])
def test_seven_nights_on_one_corpus_forget_nothing(
    topic_teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=2)
    if several:
        text = entry.path.read_text().replace('["no", "yes"]', '["other", "sport", "tech"]')
        entry.path.write_text(text.replace('[teacher.map]\nsport = "yes"\n"*" = "no"\n', ""))
        entry = Workspace(tmp_path).task("sport")
    computed: list[int] = []
    compute = Teacher.token_vectors
    monkeypatch.setattr(
        Teacher,
        "token_vectors",
        lambda self, tokens, **more: computed.append(len(tokens)) or compute(self, tokens, **more),
    )
    monkeypatch.setattr(Measure, "passes", lambda self, gate: self.rows == 60)  # never on validation rows
    before: set[str] = set()
    known: list[int] = []
    for night in range(1, 8):
        ended = retrain(entry, f"night {night}", who="tests", tell=silent)
        assert (ended["version"], entry.current()) == (night, night)
        learned = learned_keys(entry, night)
        assert before <= learned
        assert not learned & validation_keys(entry, night)
        assert validation_keys(entry, night) == validation_keys(entry, 1)
        known.append(entry.report(night)["rounds"][0]["added"].get("known", 0))
        assert known[-1] == len(before)
        before = learned
    assert known == sorted(known)
    assert len(computed) == 1
    # All that may be learned from is.
    assert len(before) == entry.report(7)["corpus"]["pool"] - len(validation_keys(entry, 7))


def test_validation_rows_grow_with_the_corpus_and_take_no_known_ones(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    retrain(entry, "first", who="tests", tell=silent)
    old, known = validation_keys(entry, 1), learned_keys(entry, 1)
    texts, _ = made_texts(400, seed=9)
    with (tmp_path / "corpus.jsonl").open("a") as corpus:
        for number, text in enumerate(texts):
            corpus.write(json.dumps({"id": f"n{number}", "text": text}) + "\n")
    retrain(entry, "second", who="tests", tell=silent)
    kept, learned = validation_keys(entry, 2), learned_keys(entry, 2)
    assert known <= learned
    assert not learned & kept
    assert len(kept) == len(old) == 40
    # The pool grew from 480 rows to 800: two fifths of the validation rows are of what is new.
    assert len(kept - old) == pytest.approx(16, abs=2)
    document = json.loads((entry.student_folder(2) / warm_start.FILE).read_text())["validation"]
    weights = dict(zip(document["keys"], document["weights"], strict=True))
    new = sum(weight for key, weight in weights.items() if key not in old)
    assert new / sum(weights.values()) == pytest.approx(0.4, abs=0.05)


def test_validation_rows_that_have_left_the_corpus_are_drawn_anew(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    retrain(entry, "first", who="tests", tell=silent)
    texts, _ = made_texts(600, seed=9)
    lines = [json.dumps({"id": f"n{number}", "text": text}) for number, text in enumerate(texts)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    retrain(entry, "second", who="tests", tell=silent)
    assert len(validation_keys(entry, 2)) == 40
    assert not validation_keys(entry, 2) & validation_keys(entry, 1)


def test_a_version_made_before_validation_rows_were_kept_is_gone_on_from(
    topic_teacher: Path, tmp_path: Path
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    retrain(entry, "first", who="tests", tell=silent)
    path = entry.student_folder(1) / warm_start.FILE
    document = json.loads(path.read_text())
    del document["validation"]
    path.write_text(json.dumps(document))
    retrain(entry, "second", who="tests", tell=silent)
    known = entry.report(2)["rounds"][0]["added"]["known"]
    retrain(entry, "third", who="tests", tell=silent)
    assert entry.report(3)["rounds"][0]["added"]["known"] == len(learned_keys(entry, 2)) >= known


def test_a_report_tells_what_was_taken_by_order_and_what_people_labelled(
    topic_teacher: Path, tmp_path: Path
) -> None:
    model = tmp_path / "unnamed"
    shutil.copytree(topic_teacher, model)
    config = json.loads((model / "config.json").read_text())
    config["id2label"] = {str(number): f"LABEL_{number}" for number in range(3)}
    config["label2id"] = {f"LABEL_{number}": number for number in range(3)}
    (model / "config.json").write_text(json.dumps(config))
    entry = sport(tmp_path, model, gate=0.01, rounds=1)
    text = entry.path.read_text().replace('["no", "yes"]', '["sport", "tech", "other"]')
    entry.path.write_text(text.replace('[teacher.map]\nsport = "yes"\n"*" = "no"\n', ""))
    entry = Workspace(tmp_path).task("sport")
    rows = [{"text": text, "label": "tech"} for text in made_texts(600, seed=2)[0][:4]]
    (tmp_path / "labelled.jsonl").write_text("\n".join(map(json.dumps, rows)))
    labels.add(entry, tmp_path / "labelled.jsonl")
    told: list[str] = []
    outcome = replace(entry, progress=lambda what, done, total: told.append(what))
    (note,) = notes_beside_size(outcome.report)
    assert "LABEL_0 = sport, LABEL_1 = tech, LABEL_2 = other" in note
    assert note in told
    assert outcome.report["corpus"]["labelled_by_people"] == 4
    page = (entry.student_folder(1) / "report.html").read_text()
    assert "LABEL_0 = sport" in page
    assert "<td>labelled by people</td><td>4</td>" in page
    assert "<td>labelled</td>" not in page
    assert "LABEL_0 = sport" in pingti(entry, "task", "report", "sport", 1).stderr.replace("\n", " ")


def with_true_labels(root: Path, model: Path, texts: list[str], **changes: Any) -> TaskEntry:
    """The sport task with true labels of ``texts``, by their words."""
    entry = sport(root, model, gate=0.01, rounds=1, **changes)
    rows = [
        {"text": text, "label": "yes" if set(text.split()) & set(WORDS["sport"]) else "no"} for text in texts
    ]
    (root / "true.jsonl").write_text("\n".join(map(json.dumps, rows)))
    entry.path.write_text(entry.path.read_text().replace("[gate]", '[gate]\nlabels = "../true.jsonl"', 1))
    return Workspace(root).task("sport")


def test_true_labels_outside_the_corpus_are_a_test_set_of_their_own(
    topic_teacher: Path, tmp_path: Path
) -> None:
    corpus, outside = made_texts(600, seed=2)[0], made_texts(40, seed=77)[0]
    outside = [text for text in dict.fromkeys(outside) if text not in corpus]
    pool = [text for text in dict.fromkeys(corpus[:30]) if text not in corpus[480:]]
    entry = with_true_labels(tmp_path, topic_teacher, [*outside, *pool], budget=800)
    outcome = replace(entry)
    apart = outcome.report["truth_apart"]
    assert apart["student"]["rows"] == apart["teacher"]["rows"] == len(outside)
    assert apart["teacher"]["accuracy"] > 0.8
    assert apart["student"]["intervals"].keys() == {"precision", "recall", "f1"}
    assert outcome.report["truth"] is None
    (note,) = notes_beside_size(outcome.report)
    assert note.startswith(
        f"gate.labels: of {len(outside) + len(pool)} true labels 0 measure on the holdout "
        f"and {len(outside)} on texts outside the corpus;"
    )
    assert f"{len(pool)} are not used" in note
    assert outcome.report["teacher"]["rows_computed"] <= outcome.rounds[-1].asked <= 800
    assert not {warm_start_key(text) for text in outside} & learned_keys(entry, 1)
    page = (entry.student_folder(1) / "report.html").read_text()
    assert "student, against true labels of texts outside the corpus" in page


def test_true_labels_apart_are_limited_by_the_budget_and_that_is_told(
    topic_teacher: Path, tmp_path: Path
) -> None:
    corpus = made_texts(600, seed=2)[0]
    outside = [text for text in dict.fromkeys(made_texts(90, seed=77)[0]) if text not in corpus]
    outcome = replace(with_true_labels(tmp_path, topic_teacher, outside, budget=300))
    assert outcome.report["truth_apart"]["student"]["rows"] == 25  # a quarter of the 100 that measure
    assert f"{len(outside) - 25} are not used" in notes_beside_size(outcome.report)[0]
    assert outcome.report["teacher"]["rows_computed"] <= outcome.rounds[-1].asked <= 300


def test_true_labels_of_the_holdout_alone_need_no_note(topic_teacher: Path, tmp_path: Path) -> None:
    entry = with_true_labels(tmp_path, topic_teacher, [])
    (tmp_path / "true.jsonl").write_text("")
    outcome = replace(entry)
    assert (outcome.report["truth"], outcome.report["truth_apart"]) == (None, None)
    assert notes_beside_size(outcome.report) == []


def warm_start_key(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@pytest.mark.parametrize(("max_length", "told"), [(8, True), (64, False)])
def test_what_the_student_reads_and_the_teacher_did_not_is_told(
    topic_teacher: Path, tmp_path: Path, max_length: int, told: bool
) -> None:
    entry = sport(tmp_path, topic_teacher, gate=0.01, rounds=1)
    text = entry.path.read_text().replace("[teacher]", f"[teacher]\nmax_length = {max_length}", 1)
    entry = entry.workspace.add_task("sport", text)
    notes = notes_beside_size(replace(entry).report)
    assert [
        f"only in part, up to teacher.max_length = {max_length}, and the student does" in note
        for note in notes
    ] == [True] * told
