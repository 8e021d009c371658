"""``pingti task remove`` and ``rename`` in a workspace that has no service."""

import json
from pathlib import Path

import pytest

from pingti.workspace.registry import Workspace
from tests.support.command_line import Run


@pytest.fixture(autouse=True)
def _no_server_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PINGTI_REDIS_URL", raising=False)


def test_nothing_is_removed_where_nobody_can_be_asked(pingti: Run, workspace: Workspace) -> None:
    ran = pingti("task", "remove", "sport", "--home", workspace.root)
    assert ran.returncode == 2
    assert (
        "sport with all that it has (versions: 1, lines of history: 1, labels by people: 0) goes"
        in ran.stderr
    )
    assert "--yes" in ran.stderr
    assert "sport" in workspace.task_names()


def test_a_task_is_removed(pingti: Run, workspace: Workspace) -> None:
    ran = pingti("task", "remove", "sport", "--yes", "--json", "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {"task": "sport", "removed": True}
    assert workspace.task_names() == ["tech", "topic"]
    assert pingti("task", "remove", "sport", "--yes", "--home", workspace.root).returncode == 3


def test_a_renamed_task_is_asked_by_its_new_name(pingti: Run, workspace: Workspace, tmp_path: Path) -> None:
    ran = pingti("task", "rename", "sport", "games", "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr
    assert "sport: is games from now on" in ran.stdout
    assert workspace.task_names() == ["games", "tech", "topic"]
    (tmp_path / "a.csv").write_text("text\nthe match was won\n")
    out = tmp_path / "out"
    ran = pingti("classify", tmp_path / "a.csv", "-t", "games", "-o", out, "--home", workspace.root)
    assert ran.returncode == 0, ran.stderr


def test_a_server_that_is_away_leaves_the_task(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINGTI_REDIS_URL", "redis://127.0.0.1:1/0")
    ran = pingti("task", "remove", "sport", "--yes", "--home", workspace.root)
    assert ran.returncode == 6
    assert "whether a job needs the task is not known, and nothing was changed" in ran.stderr
    assert "sport" in workspace.task_names()
