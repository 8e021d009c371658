import shutil
from pathlib import Path

import pytest

from pingti import files
from pingti.errors import ArtifactError, DefinitionError, NotFoundError
from pingti.workspace import promotion
from pingti.workspace.registry import TaskEntry, Workspace

DEFINITION = 'classes = ["no", "yes"]\ncorpus.files = ["x.csv"]\nteacher.model = "m"\n'


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
    promotion.promote(task, 10, why="best")
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
    promotion.promote(task, 1, why="best")
    for ask in (task.student_folder, task.report, lambda number: promotion.promote(task, number, why="?")):
        with pytest.raises(NotFoundError, match=f"'praise': no version {version}; there are: 1, 2, 3, 10"):
            ask(version)
    assert (task.current(), len(task.history())) == (1, 1)


def test_a_report_is_read_and_a_missing_or_damaged_one_is_said(task: TaskEntry) -> None:
    assert task.report(2)["version"] == 2
    (task.student_folder(2) / "report.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"report\.json: not readable as JSON") as caught:
        task.report(2)
    assert caught.value.faults[0].file == str(task.student_folder(2) / "report.json")
    (task.student_folder(2) / "report.json").unlink()
    with pytest.raises(NotFoundError, match="version 2 has no report"):
        task.report(2)
