"""Runs of a task: one at a time, whole or not at all, with the promoted version's teacher, and on record."""

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

from pingti.errors import ConflictError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.evaluation import gate
from replacement.measure_drift import load_drift_meter
from replacement.retrain import retrain
from replacement.training import validation_set, warm_start
from replacement.training.loop import replace
from replacement.training.people_labels import read_people_labels
from replacement.training.teacher_labels import TeacherLabels, load_teacher, load_teacher_of_version
from tests.support.teachers import folder_bytes, sport, topic_teacher, write_bert
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
    assert ran.stderr.splitlines()[-1] == (
        f"pingti: task 'sport': refused: {says}; the ways on are more texts, a lower gate, "
        "or pingti promote sport 1 --force"
    )
    assert (report["gate"]["passed"], entry.current()) == (False, None)
    assert [(line["event"], line["version"], line["why"]) for line in entry.history()] == [
        ("refused", 1, says)
    ]

    ran = pingti(entry, "promote", "sport")
    assert (ran.returncode, entry.current()) == (5, None)
    assert says in ran.stderr
    ran = pingti(entry, "promote", "sport", "1", "--force", "--why", "a trial")
    assert (ran.returncode, entry.current()) == (0, 1)
    lines = [(line["event"], line["version"], line["why"]) for line in entry.history()]
    assert lines[1:] == [("refused", 1, says), ("promoted", 1, f"a trial (by force: {says})")]


def test_a_reached_gate_has_nothing_to_say(topic_teacher: Path, tmp_path: Path) -> None:
    outcome = replace(sport(tmp_path, topic_teacher, gate=0.01, rounds=1))
    assert (outcome.report["gate"]["says"], outcome.report["gate"]["unread"]) == ("", "")


def test_the_promoted_version_keeps_its_teacher(base: Path, tmp_path: Path) -> None:
    entry = tuned(tmp_path, base, rounds=1)
    outcome = replace(entry, seed=5)
    promotion.promote(entry, 1, who="tests", why="a trial", force=True)
    (folder,) = (entry.folder / "teacher").iterdir()
    assert load_teacher_of_version(entry, 1).model == str(folder)
    load_drift_meter(entry, 1)
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
