"""Students to a hub and back, over real HTTP to a hub of this process; and what is said where that fails."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pingti
from pingti.errors import ArtifactError, InputError, NotFoundError, UnavailableError
from pingti.workspace.registry import Workspace
from tests.support.hub import COMMIT, hub
from tests.support.paths import ROOT
from textcnn import Student
from textcnn.hub import repository


def run(code: str, *arguments: object, url: str, home: Path) -> subprocess.CompletedProcess[str]:
    """A process for which the hub is at ``url``."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))},
        "HF_ENDPOINT": url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


PUSH = """
import sys, pingti
print(pingti.load("sport", sys.argv[1]).push_to_hub("team/sport"))
"""
FETCH = """
import sys, pingti
from pingti.errors import PingtiError
try:
    student = pingti.Student.from_pretrained(sys.argv[1])
except PingtiError as error:
    sys.exit(f"{type(error).__name__}: {error}")
print(student.classes, student.metadata["thresholds"], student.score(["the goal match"]).tolist())
"""


def test_what_is_pushed_is_fetched(workspace: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: extra hub")
    with hub() as models:
        pushed = run(PUSH, workspace.root, url=models.url, home=tmp_path / "pushing")
        assert pushed.returncode == 0, pushed.stderr
        assert pushed.stdout.split()[-1] == f"{models.url}/team/sport/commit/{COMMIT}"
        files = models.files["team/sport"]
        assert set(files) == {"README.md", "student.json", "student.safetensors"}
        (made,) = models.created  # older versions of the package say it otherwise
        assert made.get("visibility") == "private" or made.get("private") is True
        assert 'from_pretrained("team/sport")' in files["README.md"].decode()
        fetched = run(FETCH, "team/sport", url=models.url, home=tmp_path / "fetching")
        assert fetched.returncode == 0, fetched.stderr
        student = pingti.load("sport", workspace).student
        wanted = student.classes, student.metadata["thresholds"], student.score(["the goal match"]).tolist()
        assert fetched.stdout == "{} {} {}\n".format(*wanted)
        assert sorted(models.fetched) == ["student.json", "student.safetensors"]
        nowhere = run(FETCH, "team/nowhere", url=models.url, home=tmp_path / "fetching")
        assert nowhere.stderr.startswith("NotFoundError: team/nowhere: no such repository or revision")
        assert nowhere.stderr.count("\n") == 1


def test_a_hub_that_is_away_is_told_in_one_sentence(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: extra hub")
    away = run(FETCH, "team/sport", url="http://127.0.0.1:9", home=tmp_path)
    assert away.stderr.startswith("UnavailableError: team/sport: the hub does not do it: ")
    assert away.stderr.count("\n") == 1


def test_a_folder_is_loaded_as_it_was_saved(workspace: Workspace, texts: list[str], tmp_path: Path) -> None:
    sport = pingti.load("sport", workspace)
    sport.save_pretrained(tmp_path / "sport")
    assert {path.name for path in (tmp_path / "sport").iterdir()} == {
        "README.md",
        "student.json",
        "student.safetensors",
    }
    again = Student.from_pretrained(str(tmp_path / "sport"))
    assert np.array_equal(again.score(texts), sport.student.score(texts))
    assert again.metadata == sport.student.metadata
    with pytest.raises(InputError, match="a folder has no revisions"):
        Student.from_pretrained(tmp_path / "sport", revision="v1")
    (tmp_path / "sport" / "student.safetensors").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="its checksum does not fit"):
        Student.from_pretrained(tmp_path / "sport")


@pytest.mark.parametrize("name", ["./sport", "a/b/c", "-x", "", "team/\u4e2d", Path("sport")])
def test_what_is_neither_a_folder_nor_a_name_is_refused(
    name: str | Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if name == "":
        name = "no/such/folder"
    with pytest.raises(NotFoundError, match="no such folder, and no name of the hub"):
        Student.from_pretrained(name)


def test_a_missing_package_is_told(monkeypatch: pytest.MonkeyPatch, workspace: Workspace) -> None:
    monkeypatch.setattr(repository.importlib.util, "find_spec", lambda name: None)
    for call in (
        lambda: Student.from_pretrained("team/sport"),
        lambda: pingti.load("sport", workspace).push_to_hub("team/sport"),
    ):
        with pytest.raises(
            UnavailableError, match="the hub needs the package huggingface_hub: install Pingti"
        ):
            call()
