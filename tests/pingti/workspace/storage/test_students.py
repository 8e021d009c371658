"""Students in a store: whole or not there, checked, and put there by a promotion."""

import json
import shutil
from pathlib import Path

import pytest

from pingti.errors import ArtifactError, ConflictError, NotFoundError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from pingti.workspace.storage import Storage, students
from pingti.workspace.storage.students import Version
from textcnn import Student

_SPORT = Version(task="sport", version=1)
_FOLDER = "tasks/sport/students/1"


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return Storage(f"memory://{tmp_path.name}/pingti")


def test_an_empty_workspace_classifies_with_what_it_fetched(
    workspace: Workspace, store: Storage, tmp_path: Path, texts: list[str]
) -> None:
    pins = pin(workspace, [Choice(task="sport"), Choice(task="topic")])
    students.publish(workspace, pins, store)
    elsewhere = Workspace(tmp_path / "elsewhere")
    students.fetch(elsewhere, pins, store)
    students.fetch(elsewhere, pins, store)
    ours, theirs = (Classifier.load(place, pins) for place in (workspace, elsewhere))
    assert ours.schema == theirs.schema
    for name in ("student.json", "student.safetensors", "report.json"):
        there = elsewhere.task("sport").student_folder(1) / name
        assert there.read_bytes() == (workspace.task("sport").student_folder(1) / name).read_bytes()


def test_students_of_one_network_are_one_file_elsewhere_too(
    workspace: Workspace, store: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sport, tech = (workspace.task(name).student_folder(1) for name in ("sport", "tech"))
    shutil.rmtree(tech)
    shutil.copytree(sport, tech)
    versions = [_SPORT, Version(task="tech", version=1)]
    students.publish(workspace, versions, store)
    read: list[str] = []
    real = Storage.read
    monkeypatch.setattr(Storage, "read", lambda self, key: read.append(key) or real(self, key))
    elsewhere = Workspace(tmp_path / "elsewhere")
    students.fetch(elsewhere, versions, store)
    assert sum(key.endswith("student.safetensors") for key in read) == 1
    folders = [elsewhere.task(name).student_folder(1) for name in ("sport", "tech")]
    assert len({(folder / "student.safetensors").stat().st_ino for folder in folders}) == 1
    assert all(Student.load(folder).score(["the goal"]).shape == (1, 2) for folder in folders)


def test_what_is_not_whole_is_not_there(workspace: Workspace, store: Storage, tmp_path: Path) -> None:
    students.publish(workspace, [_SPORT], store)
    elsewhere = Workspace(tmp_path / "elsewhere")
    kept = store.read(f"{_FOLDER}/student.safetensors")
    store.put_bytes(f"{_FOLDER}/student.safetensors", kept[:-1] + b"x")
    with pytest.raises(ArtifactError, match=r"student\.safetensors: damaged"):
        students.fetch(elsewhere, [_SPORT], store)
    assert elsewhere.task("sport").versions() == []
    store.delete(f"{_FOLDER}/checksums.json")
    with pytest.raises(NotFoundError, match="no such student in the store"):
        students.fetch(elsewhere, [_SPORT], store)
    store.put_bytes(f"{_FOLDER}/checksums.json", json.dumps({"../../x": "0"}).encode())
    with pytest.raises(ArtifactError, match="a name leads out of the folder"):
        students.fetch(elsewhere, [_SPORT], store)


def test_another_student_of_the_same_name_is_no_silent_exchange(
    workspace: Workspace, store: Storage, tmp_path: Path
) -> None:
    students.publish(workspace, [_SPORT], store)
    elsewhere = Workspace(tmp_path / "elsewhere")
    students.fetch(elsewhere, [_SPORT], store)
    folder, other = (workspace.task(name).student_folder(1) for name in ("sport", "tech"))
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    (folder / "student.json").touch()
    with pytest.raises(ConflictError, match="the store has another student of that name and version"):
        students.publish(workspace, [_SPORT], store)
    store.delete_below("tasks/sport")
    students.forget()
    students.publish(workspace, [_SPORT], store)
    with pytest.raises(ArtifactError, match="is not the student that the store has"):
        students.fetch(elsewhere, [_SPORT], store)


def test_a_promotion_publishes_before_anybody_is_told(
    workspace: Workspace, store: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_STORE", store.address)
    entry = workspace.task("sport")
    shutil.copytree(entry.student_folder(1), entry.folder / "students" / "2")
    promotion.promote(entry, 2, why="better")
    assert store.read("tasks/sport/current") == b"2\n"
    assert "tasks/sport/students/2/checksums.json" in store.entries("tasks/sport")
    monkeypatch.setattr(students, "publish", lambda *_: (_ for _ in ()).throw(NotFoundError("away")))
    with pytest.raises(NotFoundError, match="away"):
        promotion.roll_back(entry, why="worse")
    assert entry.current() == 2
