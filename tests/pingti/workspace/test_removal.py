"""Removing and renaming a task: all of it or nothing, and not while another needs it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pingti import files
from pingti.errors import ArtifactError, ConflictError, DefinitionError, NotFoundError
from pingti.workspace import promotion, removal
from pingti.workspace.registry import TaskEntry, Workspace
from textcnn import Student

_OTHER = 'classes = ["no", "yes"]\ncorpus.files = ["x.csv"]\nteacher.model = "m"\n'


def nobody() -> None:
    """No job needs the task."""


def fill(task: TaskEntry) -> None:
    promotion.promote(task, 3, who="tests", why="best")
    files.append_line(task.folder / "labels.jsonl", {"text": "a", "label": "yes"})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that says something, by its path in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("retrain.lock", "history.jsonl")
    }


def test_a_task_is_removed_with_all_that_it_has(task: TaskEntry) -> None:
    fill(task)
    removal.remove(task, check=nobody)
    workspace = task.workspace
    assert workspace.task_names() == []
    with pytest.raises(NotFoundError, match="praise"):
        workspace.task("praise")
    again = workspace.add_task("praise", _OTHER)
    assert again.versions() == []
    assert again.history() == []
    assert not again.folder.exists()
    with pytest.raises(NotFoundError, match="nope"):
        removal.remove(TaskEntry(workspace, "nope"), check=nobody)


def test_a_renamed_task_has_all_that_it_had(task: TaskEntry) -> None:
    fill(task)
    before, definition = contents(task.folder), task.path.read_bytes()
    renamed = removal.rename(task, "applause", check=nobody)
    assert renamed.workspace.task_names() == ["applause"]
    assert contents(renamed.folder) == before
    assert renamed.path.read_bytes() == definition
    assert renamed.current() == 3
    assert [line["event"] for line in renamed.history()] == ["promoted", "renamed"]
    assert renamed.history()[-1]["why"] == "praise is applause from now on"
    assert not task.folder.exists()


@pytest.mark.parametrize("name", ["Praise", "id", "a/b", ".."])
def test_a_new_name_must_be_one(task: TaskEntry, name: str) -> None:
    with pytest.raises(DefinitionError):
        removal.rename(task, name, check=nobody)
    assert task.workspace.task_names() == ["praise"]


def test_a_new_name_must_be_free(task: TaskEntry) -> None:
    task.workspace.add_task("other", _OTHER)
    with pytest.raises(ConflictError, match=r"other\.toml is there already"):
        removal.rename(task, "other", check=nobody)
    (task.workspace.tasks / "left").mkdir()
    with pytest.raises(ConflictError, match="left is there already"):
        removal.rename(task, "left", check=nobody)
    assert task.versions() == [1, 2, 3, 10]


@pytest.mark.parametrize(
    ("definition", "why"),
    [
        (_OTHER + 'depends_on = ["praise=yes"]\n', "depends_on"),
        (_OTHER.replace('"m"', '"task:praise"'), "teacher.model"),
        (_OTHER.replace('"m"', '"praise/teacher/3f"'), "teacher.model"),
        (_OTHER + 'gate.labels = "../tasks/praise/labels.jsonl"\n', "gate.labels"),
        ('depends_on = ["praise=yes"', "its definition cannot be read, and holds this name"),
    ],
)
@pytest.mark.parametrize("what", ["removed", "renamed"])
def test_who_needs_the_task_is_named(task: TaskEntry, definition: str, why: str, what: str) -> None:
    files.write_bytes(task.workspace.tasks / "second.toml", definition.encode())
    task.workspace.add_task("praise_2", _OTHER)  # its name only begins so
    with pytest.raises(ConflictError, match=what) as raised:
        if what == "removed":
            removal.remove(task, check=nobody)
        else:
            removal.rename(task, "applause", check=nobody)
    assert f"other tasks need it: second ({why});" in str(raised.value)
    assert task.versions() == [1, 2, 3, 10]
    assert task.workspace.task_names() == ["praise", "praise_2", "second"]


def test_a_promoted_version_that_depends_on_the_task_needs_it(workspace: Workspace) -> None:
    folder = workspace.task("tech").student_folder(1)
    student = Student.load(folder)
    student.metadata["depends_on"] = ["sport=yes"]
    student.save(folder)
    with pytest.raises(ConflictError, match=r"tech \(its promoted version was trained to depend on it\)"):
        removal.remove(workspace.task("sport"), check=nobody)


def test_a_definition_that_names_files_of_its_own_folder_stays(task: TaskEntry) -> None:
    task.workspace.add_task("praise", _OTHER.replace('"m"', '"praise/teacher/3f"'))
    with pytest.raises(ConflictError, match=r"names files in its folder .* \(teacher\.model\)"):
        removal.rename(task.workspace.task("praise"), "applause", check=nobody)
    removal.remove(task.workspace.task("praise"), check=nobody)


def test_a_task_of_which_a_version_is_being_made_stays(task: TaskEntry) -> None:
    with task.making():
        with pytest.raises(ConflictError, match="makes a version"):
            removal.remove(TaskEntry(task.workspace, "praise"), check=nobody)
        with pytest.raises(ConflictError, match="makes a version"):
            removal.rename(TaskEntry(task.workspace, "praise"), "applause", check=nobody)
    assert task.workspace.task_names() == ["praise"]


def test_who_waited_for_a_removed_task_makes_no_version_of_it(task: TaskEntry) -> None:
    waiting = TaskEntry(task.workspace, "praise")
    with pytest.raises(NotFoundError, match="praise"), task.making():
        waiting.path.unlink()

        def busy() -> None:
            raise AssertionError("asked for the lock of a task that is gone")

        with waiting.making(busy):
            pass


def test_what_jobs_still_need_stays(task: TaskEntry) -> None:
    def check() -> None:
        raise ConflictError("a job needs it")

    for move in (
        lambda: removal.remove(task, check=check),
        lambda: removal.rename(task, "applause", check=check),
    ):
        with pytest.raises(ConflictError, match="a job needs it"):
            move()
    assert task.versions() == [1, 2, 3, 10]
    assert task.history() == []


class _Killed(BaseException):
    """Stands for a process that ended."""


def killing(monkeypatch: pytest.MonkeyPatch, steps: int) -> Callable[[], bool]:
    """End the process after so many changes of files, whatever it would do then; asked, whether it was."""
    done = 0

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal done
            done += 1
            if done > steps:
                raise _Killed
            return change(*arguments, **options)

        return run

    for name in ("rename", "replace", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))
    return lambda: done > steps


@pytest.mark.parametrize("what", ["remove", "rename"])
def test_a_kill_in_the_middle_leaves_one_or_the_other(
    task: TaskEntry, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = set()
    fill(task)
    template, steps, killed = contents(task.workspace.root), 0, True
    while killed:
        home = tmp_path / f"{what}-{steps}"
        for name, content in template.items():
            files.write_bytes(home / name, content, sync=False)
        entry = Workspace(home).task("praise")
        with monkeypatch.context() as patched:
            was_killed = killing(patched, steps)
            try:
                if what == "remove":
                    removal.remove(entry, check=nobody)
                else:
                    removal.rename(entry, "applause", check=nobody)
            except _Killed:
                pass
            killed = was_killed()
        names = tuple(Workspace(home).task_names())
        states.add(names)
        for name in names:
            seen = {
                path.replace("praise", name): content
                for path, content in template.items()
                if path.startswith("tasks/")
            }
            found = contents(home)
            assert {path: found.get(path) for path in seen} == seen
        left = {path.parts[0] for path in map(Path, contents(home / "tasks"))}
        expected = {f"{name}{end}" for name in names for end in ("", ".toml")}
        assert {name for name in left if not name.startswith(".move.lock")} - expected <= {
            name
            for name in left
            if name.startswith("..move.json.")  # the note that was not finished
        }
        steps += 1
    assert steps > 5
    assert states == {("praise",), () if what == "remove" else ("applause",)}


def test_a_note_of_a_move_that_cannot_be_read_is_told(task: TaskEntry) -> None:
    (task.workspace.tasks / ".move.json").write_text('{"what": 1}')
    with pytest.raises(ArtifactError, match=r"\.move\.json: holds no move of a task"):
        task.workspace.task_names()
