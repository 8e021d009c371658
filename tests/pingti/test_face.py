"""What ``pingti`` offers at its top, and what it says where a user's own files hide a part of it."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

import pingti
from pingti import rooms
from pingti.errors import UnavailableError
from pingti.rooms import ROOMS, ForeignRoomWarning, foreign_rooms, require
from pingti.workspace.registry import Workspace
from tests.support.foreign import write_foreign_rooms
from tests.support.paths import ROOT


def run_in(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run code by an interpreter that stands in a folder and looks for modules there first."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_names_are_those_of_their_modules() -> None:
    import textcnn
    from pingti import Classifier, Client, Student, Workspace, replace

    assert (Classifier.__module__, Classifier.__name__) == ("pingti.inference.classifier", "Classifier")
    assert (Client.__module__, Client.__name__) == ("pingti.client", "Client")
    assert Student is textcnn.Student
    assert Workspace.__module__.startswith("pingti.workspace.")
    assert (replace.__module__, replace.__name__) == ("pingti.notebook.replacement", "replace")
    assert set(pingti.__all__) <= set(dir(pingti))
    with pytest.raises(AttributeError, match="has no attribute 'Teacher'"):
        pingti.Teacher  # noqa: B018


def test_importing_pingti_loads_nothing_of_what_it_offers(tmp_path: Path) -> None:
    code = (
        "import sys, pingti\n"
        "print(sorted(name for name in ('numpy', 'numba', 'pyarrow', 'pydantic', 'httpx', 'textcnn', 'api', "
        "'replacement') if name in sys.modules))"
    )
    ran = run_in(tmp_path, code)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_the_look_for_hidden_packages_is_quick() -> None:
    best = min(_timed_look() for _ in range(20))
    assert best < 0.002


def _timed_look() -> float:
    began = time.perf_counter()
    foreign_rooms()
    return time.perf_counter() - began


def test_a_hidden_package_is_named_with_the_file_that_hides_it(tmp_path: Path) -> None:
    marker = write_foreign_rooms(tmp_path, "api", "teacher", "sampling")
    (tmp_path / "queue_worker.py").write_text((tmp_path / "api" / "__init__.py").read_text())
    ran = run_in(tmp_path, "import pingti")
    assert ran.returncode == 0
    (sentence,) = [line for line in ran.stderr.splitlines() if "ForeignRoomWarning" in line]
    for name in ("api", "teacher", "sampling"):
        assert f"{name} is {tmp_path / name / '__init__.py'}" in sentence
    assert f"queue_worker is {tmp_path / 'queue_worker.py'}" in sentence
    assert "textcnn" not in sentence
    assert "replacement" not in sentence
    assert not marker.exists()


def test_what_needs_no_hidden_package_works_and_what_needs_one_is_refused(tmp_path: Path) -> None:
    marker = write_foreign_rooms(tmp_path, "api", "teacher", "sampling")
    code = """
        import warnings
        warnings.simplefilter("ignore")
        from pingti import Classifier, Client, Student, Workspace
        Client("http://127.0.0.1:9").close()
        from pingti.errors import UnavailableError
        try:
            from pingti import replace
        except UnavailableError as error:
            print(error)
    """
    ran = run_in(tmp_path, "if True:" + code)
    assert ran.returncode == 0, ran.stderr
    places = f"teacher is {tmp_path}/teacher/__init__.py, sampling is {tmp_path}/sampling/__init__.py, "
    places += f"api is {tmp_path}/api/__init__.py; "
    assert ran.stdout.startswith(f"other files hide packages of Pingti: {places}")
    assert len(ran.stdout.splitlines()) == 1
    assert not marker.exists()


def test_a_hidden_student_is_refused(tmp_path: Path) -> None:
    marker = write_foreign_rooms(tmp_path, "textcnn")
    ran = run_in(tmp_path, "from pingti import Student")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith("pingti.errors.UnavailableError: other files hide")
    assert not marker.exists()


def test_with_the_option_p_nothing_is_hidden(tmp_path: Path) -> None:
    write_foreign_rooms(tmp_path, *ROOMS)
    ran = run_in(tmp_path, "from pingti import Student, replace", "-P")
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_command_line_refuses_before_it_imports_what_is_hidden(tmp_path: Path) -> None:
    marker = write_foreign_rooms(tmp_path, "api")
    ran = run_in(tmp_path, "from pingti.__main__ import main; main()")
    assert ran.returncode == UnavailableError.exit_code
    assert ran.stderr.splitlines()[-1].startswith("pingti: other files hide packages of Pingti: api is ")
    assert not marker.exists()


def test_a_folder_without_init_and_a_module_without_a_file_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "api").mkdir()
    monkeypatch.setattr(rooms, "_HOME", tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "PathFinder" in str(finder)])
    for name in ("api", "teacher"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "sampling", type(sys)("sampling"))
    assert foreign_rooms(("api", "sampling", "teacher")) == {
        "api": str(tmp_path / "api"),
        "sampling": "a module without a file",
    }
    with pytest.raises(UnavailableError, match="start Python with -P"):
        require(("api",))
    with pytest.warns(ForeignRoomWarning, match="sampling is a module without a file"):
        rooms.warn_of_foreign_rooms()


def test_a_link_to_the_own_package_is_no_foreign_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "linked").symlink_to(ROOT)
    monkeypatch.setattr(rooms, "_HOME", tmp_path / "linked")
    assert foreign_rooms() == {}


def test_processes_are_started_without_the_folder_one_stands_in() -> None:
    sources = [
        path
        for room in ("pingti", *ROOMS)
        for path in (ROOT / room).rglob("*.py")
        if "__pycache__" not in path.parts
    ]
    starts = [
        (path.relative_to(ROOT), line)
        for path in [*sources, ROOT / "Dockerfile", ROOT / "docker-compose.yml"]
        for line in path.read_text(encoding="utf-8").splitlines()
        if '"-m"' in line
    ]
    assert len(starts) >= 12
    assert [(path, line) for path, line in starts if '"-P", "-m"' not in line] == []
    for name in ("Dockerfile", "docker-compose.yml"):
        commands = re.findall(r"\bpython (-\w) (.*)", (ROOT / name).read_text(encoding="utf-8"))
        assert {rest for option, rest in commands if option != "-P"} <= {"venv /opt/pingti"}


def test_a_classifier_of_names_is_that_of_their_pins(workspace: Workspace) -> None:
    from pingti import Classifier

    classifier = Classifier.of(workspace, ["sport@strict", "topic#1"])
    assert [(pin.task, pin.scene, pin.version) for pin in classifier.pins] == [
        ("sport", "strict", 1),
        ("topic", "default", 1),
    ]
    batch = pa.record_batch({"id": ["a"], "text": pa.array(["goal match team coach"], pa.large_string())})
    assert classifier.classify(batch).column("topic").to_pylist() == ["sport"]
