"""``pingti task``, ``promote``, ``keys`` and the command line's own manners."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.console import Screen
from api.cli.main import EXIT_CODES
from api.keys import KeyRing
from pingti import errors
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from replacement.evaluation.metrics import Measure
from replacement.results import Outcome, Round, StopReason
from tests.support.command_line import Run
from tests.support.paths import ROOT


def test_help_says_every_exit_code_that_an_error_has(pingti: Run) -> None:
    ran = pingti("--help")
    assert ran.returncode == 0
    text = " ".join(ran.stdout.split())
    for code, meaning in EXIT_CODES.items():
        assert f"{code} {meaning}" in text
    kinds = [value for value in vars(errors).values() if isinstance(value, type)]
    assert {kind.exit_code for kind in kinds if issubclass(kind, errors.PingtiError)} <= EXIT_CODES.keys()
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in EXIT_CODES:
        assert f"\n| {code} | " in page


def test_help_loads_neither_kernels_nor_the_service() -> None:
    code = (
        "import sys, api.cli.main\n"
        "print([name for name in ('numba', 'pyarrow', 'celery', 'fastapi', 'httpx') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_names_of_tasks_are_completed(workspace: Workspace) -> None:
    environment = {
        **os.environ,
        "_PINGTI_COMPLETE": "complete_bash",
        "COMP_WORDS": "pingti task show t",
        "COMP_CWORD": "3",
        "PINGTI_HOME": str(workspace.root),
    }
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'pingti'; from api.cli.main import main; main()",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ran.stdout.split() == ["tech", "topic"]


def test_a_path_that_leads_nowhere_from_the_workspace_is_refused(
    pingti: Run, workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "posts.csv").write_text("text\n")
    path = tmp_path / "praise.toml"
    text = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["{}"]\n[teacher]\nmodel = "hub/name"\n'
    path.write_text(text.format("posts.csv"))
    home = ("--home", workspace.root)
    ran = pingti("task", "add", path, *home)
    assert ran.returncode == 2
    assert ran.stderr.endswith("write '../../posts.csv'\n")
    assert "praise" not in workspace.task_names()
    path.write_text(text.format("../../posts.csv"))
    ran = pingti("task", "add", path, *home, "--json")
    assert (ran.returncode, json.loads(ran.stdout)["task"]) == (0, "praise")
    path.write_text(text.format("../../posts.csv") + '[gate]\nlabels = "posts.csv"\n')
    ran = pingti("task", "add", path, *home)
    assert (ran.returncode, "gate.labels" in ran.stderr) == (2, True)
    assert ran.stderr.endswith("write '../../posts.csv'\n")
    for reason, content in (("not UTF-8 at byte 0", b"\xff"), ("not valid TOML", b"a,b\n")):
        path.write_bytes(content)
        ran = pingti("task", "add", path, *home)
        assert (ran.returncode, reason in ran.stderr, len(ran.stderr.splitlines())) == (2, True, 1)


def test_report_and_history_of_a_task(pingti: Run, workspace: Workspace) -> None:
    home = ("--home", workspace.root)
    ran = pingti("task", "report", "sport", *home)
    assert ran.returncode == 0
    assert "sport, version 1: the gate (precision 0.90, recall 0.90) is reached" in ran.stdout
    ran = pingti("task", "report", "sport", 1, *home, "--json")
    assert json.loads(ran.stdout)["version"] == 1
    assert pingti("task", "report", "sport", 2, *home).returncode == 3
    ran = pingti("task", "history", "sport", *home, "--json")
    assert [line["event"] for line in json.loads(ran.stdout)] == ["promoted"]
    assert "made for the tests" in pingti("task", "history", "sport", *home).stdout
    ran = pingti("promote", "sport", *home, "--why", "again", "--json")
    assert json.loads(ran.stdout) == {"task": "sport", "promoted": 1}
    assert pingti("rollback", "sport", *home).returncode == 4


def test_a_task_without_a_version_says_what_is_next(pingti: Run, workspace: Workspace) -> None:
    entry = workspace.task("sport")
    workspace.add_task("fresh", entry.path.read_text())
    for command in (("task", "report", "fresh"), ("promote", "fresh")):
        ran = pingti(*command, "--home", workspace.root)
        assert (ran.returncode, "pingti replace fresh" in ran.stderr) == (3, True)


def test_a_replacement_that_is_interrupted_or_refused_says_what_is_next(
    pingti: Run, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = {
        "corpus": {"bad": 7},
        "gate": {"precision": 0.9, "recall": 0.9, "passed": False},
        "holdout": {
            "precision": 0.95,
            "recall": 0.5,
            "f1": 0.655,
            "accuracy": 0.9,
            "rows": 20,
            "positives": 10,
        },
        "scenes": {},
        "stopped": "the limit of 3 rounds is reached",
    }
    measured = Measure(precision=0.95, recall=0.5, f1=0.655, accuracy=0.9, rows=20, positives=10)
    best = Round(
        round=1,
        rows=10,
        asked=20,
        added={},
        yields={},
        boundary=0,
        hard_negatives=0,
        threshold=0.5,
        validation=measured,
        holdout=measured,
        coverage=(),
    )
    ended = Outcome(
        task="sport",
        version=1,
        passed=False,
        stopped=StopReason.ROUND_LIMIT,
        rounds=[best],
        best=best,
        report=report,
    )
    monkeypatch.setattr("replacement.training.loop.replace", lambda *_, **__: ended)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert ran.returncode == 5
    assert "recall 0.500 is below 0.900" in ran.stderr
    assert "pingti promote sport 1 --force" in ran.stderr
    assert "could not be read: 7; pingti corpus stats sport names them" in ran.stdout

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("replacement.training.loop.replace", interrupted)
    ran = pingti("replace", "sport", "--home", workspace.root)
    assert (ran.returncode, "pingti replace sport goes on" in ran.stderr) == (130, True)


def test_a_slow_pace_is_not_nought(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter((0.0, 20.0, 40.0))
    monkeypatch.setattr("api.cli.console.time.monotonic", lambda: next(clock))
    screen = Screen()
    for done in (0, 8, 1008):
        screen.advance("steps", done, 2000)
    assert "steps: 8 of 2,000, 0.4/s" in (err := capsys.readouterr().err)
    assert "steps: 1,008 of 2,000, 25/s" in err


def test_a_damaged_task_does_not_hide_the_others(pingti: Run, workspace: Workspace) -> None:
    (workspace.task("sport").student_folder(1) / "report.json").unlink()
    (workspace.tasks / "topic.toml").write_text("classes = 3\n")
    home = ("--home", workspace.root)
    ran = pingti("task", "list", *home)
    assert ran.returncode == 0
    assert all(name in ran.stdout for name in ("sport", "tech", "topic"))
    assert "sport: task 'sport': version 1 has no report" in ran.stderr
    tasks = {task["task"]: task for task in json.loads(pingti("task", "list", *home, "--json").stdout)}
    assert "topic.toml" in tasks["topic"]["fault"]
    assert tasks["tech"]["fault"] is None
    assert tasks["sport"]["promoted"] == 1
    ran = pingti("task", "show", "sport", *home)
    assert (ran.returncode, "no report" in ran.stdout) == (0, True)


def test_keys_are_made_listed_and_revoked(pingti: Run, tmp_path: Path) -> None:
    home = ("--home", tmp_path)
    ran = pingti("keys", "add", "duty", "--role", "read", *home, "--json")
    key = json.loads(ran.stdout)
    caller = KeyRing(tmp_path).caller(key["key"].encode())
    assert caller is not None
    assert (caller.name, caller.role) == ("duty", "read")
    assert pingti("keys", "add", "duty", *home).returncode == 4
    assert pingti("keys", "add", "no/name", *home).returncode == 2
    ran = pingti("keys", "list", *home)
    assert "duty" in ran.stdout
    assert key["key"] not in ran.stdout
    assert pingti("keys", "revoke", "duty", *home).returncode == 0
    assert pingti("keys", "revoke", "duty", *home).returncode == 3
    assert json.loads(pingti("keys", "list", *home, "--json").stdout) == []


@pytest.mark.parametrize("width", [50, 80])
def test_tables_fit_the_terminal(workspace: Workspace, width: int) -> None:
    entry = workspace.task("sport")
    promotion.promote(
        entry, 1, who="somebody", why="a reason that goes on and on, and then on again, to its end"
    )
    ours, theirs = pty.openpty()
    command = [
        sys.executable,
        "-m",
        "api.cli.main",
        "task",
        "history",
        "sport",
        "--home",
        str(workspace.root),
    ]
    environment = {**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"}
    subprocess.run(command, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    lines = [line.replace("\x1b[0m", "").replace("\x1b[1m", "") for line in shown.decode().splitlines()]
    assert max(map(len, lines)) <= width
    assert "on again" in " ".join(" ".join(lines).split())


def test_what_stands_first_is_there_to_be_copied(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.out.width = 50
    rows = [["job-0660d0b55a733caec9ce", "completed", "9,000,000", "9,000,000"]]
    screen.table(["job", "status", "rows", "done"], rows)
    shown = capsys.readouterr().out
    assert rows[0][0] in shown
    assert max(map(len, shown.splitlines())) <= 50
