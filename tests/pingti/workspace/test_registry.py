import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pingti import files
from pingti.errors import ArtifactError, ConflictError, DefinitionError, GateError, NotFoundError
from pingti.workspace.registry import TaskEntry, Workspace

DEFINITION = 'classes = ["no", "yes"]\ncorpus.files = ["x.csv"]\nteacher.model = "m"\n'


@pytest.fixture
def task(tmp_path: Path) -> TaskEntry:
    """A task with finished students 1, 2, 3 and 10."""
    entry = Workspace(tmp_path / "home").add_task("praise", DEFINITION)
    for version in (1, 2, 3, 10):
        files.write_json(entry.folder / "students" / str(version) / "student.json", {})
        report = {"version": version, "gate": {"passed": True}, "holdout": {}}
        files.write_json(entry.folder / "students" / str(version) / "report.json", report)
    return entry


def promote(task: TaskEntry, *versions: int) -> None:
    for version in versions:
        task.promote(version, who="ann", why=f"for {version}")


def test_tasks_are_added_listed_shown_and_changed(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "home")
    assert workspace.task_names() == []
    assert not workspace.root.exists()
    with pytest.raises(NotFoundError, match="'praise': not in this workspace; there are: none yet"):
        workspace.task("praise")
    workspace.add_task("praise", DEFINITION)
    workspace.add_task("anger", DEFINITION)
    (workspace.tasks / "Not a name.toml").touch()
    assert workspace.task_names() == ["anger", "praise"]
    assert workspace.task("praise").definition.priority == 5
    workspace.add_task("praise", "priority = 1\n" + DEFINITION)
    assert workspace.task("praise").definition.priority == 1
    with pytest.raises(DefinitionError, match=r"praise\.toml: priority: 11 is not allowed"):
        workspace.add_task("praise", "priority = 11\n" + DEFINITION)
    assert workspace.task("praise").path.read_text() == "priority = 1\n" + DEFINITION


def test_a_task_has_no_name_that_the_results_need(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(DefinitionError, match="task 'id': the results have a column of that name"):
        workspace.add_task("id", DEFINITION)
    assert workspace.task_names() == []


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "/etc/x", "", ".", "A", "1a", "a-b", "a.toml", "a\n", "é", "a" * 64, "a\0"]
)
def test_what_is_no_name_is_refused_and_never_becomes_a_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.toml").write_text(DEFINITION)
    workspace = Workspace(tmp_path / "home")
    workspace.tasks.mkdir(parents=True)
    (workspace.tasks / "A.toml").write_text(DEFINITION)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DefinitionError, match="not a name; allowed are a-z, 0-9 and _"):
        workspace.add_task(name, DEFINITION)
    with pytest.raises(NotFoundError, match="not in this workspace"):
        workspace.task(name)
    assert sorted(tmp_path.rglob("*")) == before


def test_versions_are_numbers_with_a_finished_student(task: TaskEntry) -> None:
    for name in ("4", "005", "x", "-1", "0"):
        (task.folder / "students" / name).mkdir()
    files.write_json(task.folder / "students" / "007" / "student.json", {})
    assert task.versions() == [1, 2, 3, 10]
    assert task.next_version() == 11
    (task.folder / "students" / "12").mkdir()  # begun, perhaps by a run that goes on at this moment
    assert task.next_version() == 13
    # Another student of the number of the promoted one would be promoted with it.
    promote(task, 10)
    for version in (12, 10):
        shutil.rmtree(task.folder / "students" / str(version))
    assert task.next_version() == 11
    task.record("refused", 14, why="short")
    assert task.next_version() == 15
    fresh = Workspace(task.workspace.root).add_task("fresh", DEFINITION)
    assert (fresh.next_version(), task.newest()) == (1, 3)
    with pytest.raises(NotFoundError, match="'fresh': no version yet; pingti replace fresh makes one"):
        fresh.newest()


@pytest.mark.parametrize("version", [4, 0, -1])
def test_a_version_that_is_not_there_changes_nothing(task: TaskEntry, version: int) -> None:
    promote(task, 1)
    for ask in (task.student_folder, task.report, lambda number: task.promote(number, why="?")):
        with pytest.raises(NotFoundError, match=f"'praise': no version {version}; there are: 1, 2, 3, 10"):
            ask(version)
    assert (task.current(), len(task.history())) == (1, 1)


def test_a_report_is_read_and_a_missing_or_damaged_one_is_said(task: TaskEntry) -> None:
    assert task.report(2)["version"] == 2
    (task.student_folder(2) / "report.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"report\.json: not readable as JSON"):
        task.report(2)
    (task.student_folder(2) / "report.json").unlink()
    with pytest.raises(NotFoundError, match="version 2 has no report"):
        task.report(2)


def test_a_promotion_is_there_for_others_at_once_and_in_the_history(task: TaskEntry) -> None:
    assert (task.current(), task.history()) == (None, [])
    promote(task, 2)
    task.record("refused", 3, who="night", why="recall\u2028short", recall=0.5)
    task.promote(10, why="ready")
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
        assert task.roll_back(why="worse") == version == task.current()
    before = task.current()
    with pytest.raises(ConflictError, match="no version was promoted before the present one"):
        task.roll_back(why="worse")
    assert task.current() == before
    assert [line["event"] for line in task.history()] == ["promoted"] * len(promoted) + ["rolled back"] * len(
        back_to
    )


def test_rolling_back_passes_over_what_is_gone_and_what_was_rolled_back(task: TaskEntry) -> None:
    promote(task, 1, 2, 3)
    shutil.rmtree(task.student_folder(2))
    assert task.roll_back(why="worse") == 1
    promote(task, 10)
    assert task.roll_back(why="worse") == 1  # not 3, which was rolled back


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
        task.promote(3, why="better")
    assert task.current() == 2
    assert not list(task.folder.glob(".*"))
    # Version 3 never was the promoted one: rolling back must not bring it, and later moves still count.
    assert task.roll_back(why="worse") == 1
    promote(task, 3)
    assert task.roll_back(why="worse") == 1


KILLED = {
    "before the pointer moves": "files.write_bytes = lambda *_: os.kill(os.getpid(), 9)",
    "with the pointer half written": "files._sync = lambda path: os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("moment", KILLED)
def test_a_promotion_that_is_killed_midway_leaves_the_old_one(task: TaskEntry, moment: str) -> None:
    promote(task, 1)
    program = (
        "import os, sys; from pingti import files; from pingti.workspace.registry import Workspace\n"
        f"{KILLED[moment]}\nWorkspace(sys.argv[1]).task('praise').promote(3, why='better')"
    )
    child = subprocess.run([sys.executable, "-c", program, task.workspace.root], check=False)
    assert child.returncode == -signal.SIGKILL
    assert task.current() == 1
    assert [line["version"] for line in task.history()] == [1, 3]  # the attempt can be explained
    with pytest.raises(ConflictError, match="no version was promoted before"):
        task.roll_back(why="worse")
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
        task.roll_back(why="worse")
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
    assert task.roll_back(1, who="ann", why="worse") == 1 == task.current()
    assert (task.history()[-1]["event"], task.history()[-1]["before"]) == ("rolled back", 3)
    with pytest.raises(ConflictError, match="no version was promoted before the present one"):
        task.roll_back(why="worse")  # not to 3, nor to 2
    with pytest.raises(ConflictError, match="version 1 is promoted now; there is nothing to roll back"):
        task.roll_back(1, why="again")
    assert task.current() == 1


def test_a_version_that_was_never_on_the_way_takes_the_place_of_the_present_one(task: TaskEntry) -> None:
    with pytest.raises(ConflictError, match="no version is promoted; there is nothing to roll back"):
        task.roll_back(2, why="?")
    promote(task, 1, 3)
    assert task.roll_back(2, why="it passed its gate, too") == 2
    assert task.roll_back(why="worse") == 1


def test_what_never_passed_its_gate_is_promoted_by_force_alone(task: TaskEntry) -> None:
    fail(task, 3)
    fail(task, 10)
    promote(task, 1, 2)
    lacks = "recall 0.500 is below 0.900"
    for move in (task.promote, task.roll_back):
        with pytest.raises(GateError, match=f"version 3: {lacks}; force"):
            move(3, who="ann", why="by hand")
        line = task.history()[-1]
        assert (line["event"], line["version"], line["who"], line["why"]) == ("refused", 3, "ann", lacks)
        assert task.current() == 2
    task.promote(3, who="ann", why="by hand", force=True)
    assert task.history()[-1]["why"] == f"by hand (by force: {lacks})"
    # Once promoted, it may be gone back to.
    promote(task, 1)
    assert task.roll_back(3, why="better") == 3
    assert task.history()[-1]["why"] == "better"
    assert task.roll_back(10, why="a trial", force=True) == 10
    assert task.history()[-1]["why"] == f"a trial (by force: {lacks})"
    # Force that is not needed is not told.
    task.promote(2, why="by hand", force=True)
    assert task.history()[-1]["why"] == "by hand"


def test_a_version_without_a_report_needs_force(task: TaskEntry) -> None:
    (task.student_folder(3) / "report.json").unlink()
    with pytest.raises(NotFoundError, match="version 3 has no report"):
        task.promote(3, why="by hand")
    assert (task.current(), task.history()) == (None, [])
    task.promote(3, why="by hand", force=True)
    assert task.history()[-1]["why"] == "by hand (by force: task 'praise': version 3 has no report)"
    files.write_json(task.student_folder(2) / "report.json", {"version": 2})
    with pytest.raises(GateError, match="its report holds no figures"):
        task.promote(2, why="by hand")
