import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pingti import files
from pingti.errors import ArtifactError, ConflictError, GateError, NotFoundError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace


def promote(task: TaskEntry, *versions: int) -> None:
    for version in versions:
        promotion.promote(task, version, who="ann", why=f"for {version}")


def test_a_promotion_is_there_for_others_at_once_and_in_the_history(task: TaskEntry) -> None:
    assert (task.current(), task.history()) == (None, [])
    promote(task, 2)
    task.record("refused", 3, who="night", why="recall\u2028short", recall=0.5)
    promotion.promote(task, 10, why="ready")
    other = Workspace(task.workspace.root).task("praise")
    assert other.current() == 10
    lines = other.history()
    assert [(line["event"], line["version"], line["why"]) for line in lines] == [
        ("promoted", 2, "for 2"),
        ("refused", 3, "recall\u2028short"),
        ("promoted", 10, "ready"),
    ]
    assert [line.get("before") for line in lines] == [None, None, 2]
    assert (lines[0]["who"], lines[1]["recall"]) == ("ann", 0.5)
    assert lines[2]["who"]
    assert lines[0]["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("promoted", "back_to"),
    [
        ([1, 2, 3], [2, 1]),
        ([1, 2, 2], [1]),
        ([1, 2, 1], [2, 1]),
        ([3, 10, 1, 10], [1, 10, 3]),
        ([2], []),
        ([], []),
    ],
)
def test_rolling_back_goes_the_way_back_step_by_step(
    task: TaskEntry, promoted: list[int], back_to: list[int]
) -> None:
    promote(task, *promoted)
    for version in back_to:
        assert promotion.roll_back(task, why="worse") == version == task.current()
    before = task.current()
    with pytest.raises(ConflictError, match="no version was promoted before the present one"):
        promotion.roll_back(task, why="worse")
    assert task.current() == before
    assert [line["event"] for line in task.history()] == ["promoted"] * len(promoted) + ["rolled back"] * len(
        back_to
    )


def test_rolling_back_passes_over_what_is_gone_and_what_was_rolled_back(task: TaskEntry) -> None:
    promote(task, 1, 2, 3)
    shutil.rmtree(task.student_folder(2))
    assert promotion.roll_back(task, why="worse") == 1
    promote(task, 10)
    assert promotion.roll_back(task, why="worse") == 1  # not 3, which was rolled back


def broken(*arguments: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["append_line", "write_bytes", "os.fsync", "Path.replace"])
def test_a_promotion_that_fails_midway_leaves_the_old_one(
    task: TaskEntry, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    promote(task, 1, 2)
    target: object = {"os": os, "Path": Path}.get(step.partition(".")[0], files)
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(target, step.rpartition(".")[2], broken)
        promotion.promote(task, 3, why="better")
    assert task.current() == 2
    assert not list(task.folder.glob(".*"))
    # Version 3 never was the promoted one: rolling back must not bring it, and later moves still count.
    assert promotion.roll_back(task, why="worse") == 1
    promote(task, 3)
    assert promotion.roll_back(task, why="worse") == 1


KILLED = {
    "before the pointer moves": "files.write_bytes = lambda *_: os.kill(os.getpid(), 9)",
    "with the pointer half written": "files._sync = lambda path: os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_promotion_that_is_killed_midway_leaves_the_old_one(task: TaskEntry, moment: str) -> None:
    promote(task, 1)
    program = (
        "import os, sys; from pingti import files; from pingti.workspace import promotion\n"
        "from pingti.workspace.registry import Workspace\n"
        f"{KILLED[moment]}\npromotion.promote(Workspace(sys.argv[1]).task('praise'), 3, why='better')"
    )
    child = subprocess.run([sys.executable, "-c", program, task.workspace.root], check=False)
    assert child.returncode == -signal.SIGKILL
    assert task.current() == 1
    assert [line["version"] for line in task.history()] == [1, 3]  # the attempt can be explained
    with pytest.raises(ConflictError, match="no version was promoted before"):
        promotion.roll_back(task, why="worse")
    promote(task, 3)
    assert task.current() == 3


def test_a_damaged_pointer_or_line_of_the_history_is_said(task: TaskEntry) -> None:
    promote(task, 1)
    (task.folder / "current").write_text("one\n")
    with pytest.raises(ArtifactError, match="current: holds no version number"):
        task.current()
    (task.folder / "current").write_text("1\n")
    with (task.folder / "history.jsonl").open("ab") as file:
        file.write(json.dumps({"event": "promoted", "why": "é"}, ensure_ascii=False).encode()[:-3] + b"\n")
    promote(task, 2)
    with pytest.warns(UserWarning, match=r"history\.jsonl: line 2 is damaged and left out"):
        promotion.roll_back(task, why="worse")
    with pytest.warns(UserWarning, match="line 2"):
        assert [line["version"] for line in task.history()] == [1, 2, 1]
    assert task.current() == 1


def fail(task: TaskEntry, version: int) -> None:
    report = {
        "gate": {"precision": 0.9, "recall": 0.9, "passed": False},
        "holdout": {
            "precision": 0.95,
            "recall": 0.5,
            "f1": 0.655,
            "accuracy": 0.9,
            "rows": 20,
            "positives": 10,
        },
    }
    files.write_json(task.student_folder(version) / "report.json", report)


def test_rolling_back_to_a_named_version_is_no_promotion(task: TaskEntry) -> None:
    promote(task, 1, 2, 3)
    assert promotion.roll_back(task, 1, who="ann", why="worse") == 1 == task.current()
    assert (task.history()[-1]["event"], task.history()[-1]["before"]) == ("rolled back", 3)
    with pytest.raises(ConflictError, match="no version was promoted before the present one"):
        promotion.roll_back(task, why="worse")  # not to 3, nor to 2
    with pytest.raises(ConflictError, match="version 1 is promoted now; there is nothing to roll back"):
        promotion.roll_back(task, 1, why="again")
    assert task.current() == 1


def test_a_version_that_was_never_on_the_way_takes_the_place_of_the_present_one(task: TaskEntry) -> None:
    with pytest.raises(ConflictError, match="no version is promoted; there is nothing to roll back"):
        promotion.roll_back(task, 2, why="?")
    promote(task, 1, 3)
    assert promotion.roll_back(task, 2, why="it passed its gate, too") == 2
    assert promotion.roll_back(task, why="worse") == 1


def test_what_never_passed_its_gate_is_promoted_by_force_alone(task: TaskEntry) -> None:
    fail(task, 3)
    fail(task, 10)
    promote(task, 1, 2)
    lacks = "recall 0.500 is below 0.900"
    for move in (promotion.promote, promotion.roll_back):
        with pytest.raises(GateError, match=f"version 3: {lacks}; force"):
            move(task, 3, who="ann", why="by hand")
        line = task.history()[-1]
        assert (line["event"], line["version"], line["who"], line["why"]) == ("refused", 3, "ann", lacks)
        assert task.current() == 2
    promotion.promote(task, 3, who="ann", why="by hand", force=True)
    assert task.history()[-1]["why"] == f"by hand (by force: {lacks})"
    # Once promoted, it may be gone back to.
    promote(task, 1)
    assert promotion.roll_back(task, 3, why="better") == 3
    assert task.history()[-1]["why"] == "better"
    assert promotion.roll_back(task, 10, why="a trial", force=True) == 10
    assert task.history()[-1]["why"] == f"a trial (by force: {lacks})"
    # Force that is not needed is not recorded.
    promotion.promote(task, 2, why="by hand", force=True)
    assert task.history()[-1]["why"] == "by hand"


def test_a_version_without_a_report_needs_force(task: TaskEntry) -> None:
    (task.student_folder(3) / "report.json").unlink()
    with pytest.raises(NotFoundError, match="version 3 has no report"):
        promotion.promote(task, 3, why="by hand")
    assert (task.current(), task.history()) == (None, [])
    promotion.promote(task, 3, why="by hand", force=True)
    assert task.history()[-1]["why"] == "by hand (by force: task 'praise': version 3 has no report)"
    files.write_json(task.student_folder(2) / "report.json", {"version": 2})
    with pytest.raises(GateError, match="its report holds no figures"):
        promotion.promote(task, 2, why="by hand")
