"""Ctrl-C ends a command with one sentence and exit code 130, and leaves nothing half made."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pingti.__main__ as entry_point
from tests.support.command_line import Run
from tests.support.paths import ROOT
from tests.support.teachers import sport


def test_a_replacement_leaves_one_sentence_and_no_version(topic_teacher: Path, tmp_path: Path) -> None:
    entry = sport(tmp_path, topic_teacher, budget=500, rounds=9)
    command = [sys.executable, "-P", "-m", "pingti", "replace", "sport", "--home", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "round 1: precision" in line:
                break
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().splitlines()
    says = "pingti: interrupted; pingti replace sport goes on from what the teacher has answered"
    assert (process.returncode, last[-1]) == (130, says)
    assert not [line for line in last if "Traceback" in line or "KeyboardInterrupt" in line]
    assert entry.versions() == []
    assert list(entry.folder.glob("students/*")) == []


@pytest.mark.parametrize(
    "command", [("replace", "sport"), ("replace", "--family", "sport"), ("search", "sport")]
)
def test_work_that_goes_on_later_says_so_once(
    pingti: Run,
    topic_teacher: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    entry = sport(tmp_path, topic_teacher)
    monkeypatch.setattr("pingti.workspace.families.members_of", lambda *_: [entry])
    for module in ("training.loop.replace", "family.loop.replace_family", "search.run.search"):
        monkeypatch.setattr(f"replacement.{module}", interrupted)
    ran = pingti(*command, "--home", tmp_path)
    assert ran.returncode == 130
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"pingti: interrupted; pingti {' '.join(command)} goes on from what ")


def test_any_other_command_says_that_it_was_interrupted(
    pingti: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pingti.workspace.registry.Workspace.task_names", interrupted)
    ran = pingti("task", "list", "--home", tmp_path)
    assert (ran.returncode, ran.stderr) == (130, "pingti: interrupted\n")


@pytest.mark.parametrize("left", [KeyboardInterrupt(), SystemExit(130)])
def test_a_second_ctrl_c_adds_nothing(
    left: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def importing(_: str) -> None:
        raise left

    handlers: list[object] = []
    monkeypatch.setattr(entry_point, "import_module", importing)
    monkeypatch.setattr("signal.signal", lambda number, handler: handlers.append((number, handler)))
    with pytest.raises(SystemExit) as ended:
        entry_point.main()
    assert ended.value.code == 130
    assert handlers == [(signal.SIGINT, signal.SIG_IGN)]
    said = "pingti: interrupted\n" if isinstance(left, KeyboardInterrupt) else ""
    assert capsys.readouterr().err == said
