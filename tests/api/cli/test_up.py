"""``pingti up`` and its parts: what ends comes back, and at the end nothing is left."""

import functools
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from pingti.workspace.registry import Workspace
from queue_worker.celery_app import QUEUES
from queue_worker.processes.launcher import Processes
from queue_worker.processes.supervisor import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    STEADY_SECONDS,
    Supervisor,
    next_pause,
)
from tests.support.brokers import gone, require_broker, until


def test_pauses_grow_and_end_when_it_runs_steadily() -> None:
    pauses = [0.0]
    for _ in range(10):
        pauses.append(next_pause(pauses[-1], 1.0))
    assert pauses[1:4] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert next_pause(LONGEST_PAUSE, STEADY_SECONDS) == FIRST_PAUSE


def test_what_ends_is_started_again_and_what_does_not_start_is_tried_again(tmp_path: Path) -> None:
    sentences: list[str] = []
    starts: list[int] = []
    with Processes() as processes:
        supervisor = Supervisor(processes, say=sentences.append)

        def start() -> subprocess.Popen[bytes]:
            starts.append(1)
            if len(starts) == 2:
                raise OSError("no more processes")
            code = "raise SystemExit(3)" if len(starts) == 1 else "import time; time.sleep(600)"
            return processes.start("part", [sys.executable, "-c", code])

        supervisor.add("part", start)

        def third() -> bool:
            supervisor.look()
            return len(starts) == 3

        until(third, "the third start")
        assert processes.failed() is None  # the one that runs now
    assert "ended with code 3; next start in 0.5 s" in sentences[0]
    assert sentences[1] == "the part does not start: no more processes; next start in 1 s"
    assert len(sentences) == 2


def children(pid: int) -> dict[str, list[int]]:
    """The running parts of ``pingti up`` by what they are."""
    shown = subprocess.run(
        ["ps", "-ww", "-o", "pid=,stat=,args=", "--ppid", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    words = {
        "valkey-server": "valkey",
        "worker --queue classify": "worker",
        "worker --queue retrain": "retrain",
        "worker --queue teach": "teach",
        "queue_worker.scheduler": "scheduler",
        "api.cli.up": "api",
    }
    running: dict[str, list[int]] = {name: [] for name in words.values()}
    for line in shown.stdout.splitlines():
        number, state, arguments = line.split(None, 2)
        name = next((name for word, name in words.items() if word in arguments), None)
        if name is not None and "guard.py" not in arguments and not state.startswith("Z"):
            running[name].append(int(number))
    return running


@pytest.mark.broker
def test_every_killed_part_comes_back_and_nothing_is_left(
    workspace: Workspace, texts: list[str], tmp_path: Path
) -> None:
    require_broker()
    home = workspace.root
    asking = workspace.task("topic").path  # so that one worker more asks teachers
    asking.write_text(asking.read_text() + "\n[cascade]\n")
    (home / "rows.csv").write_text("text\n" + "\n".join(texts[:50]) + "\n")
    command = [
        sys.executable,
        "-m",
        "api.cli.main",
        "up",
        "--home",
        str(home),
        "--port",
        "0",
        "--workers",
        "2",
    ]
    errors = tmp_path / "up.log"
    with errors.open("wb") as log, subprocess.Popen(command, stderr=log) as up:
        try:
            until(lambda: "Pingti listens" in errors.read_text(), "the address")
            base = next(line for line in errors.read_text().splitlines() if "Pingti listens" in line)
            with httpx.Client(base_url=base.split()[-1], timeout=30) as client:
                ready = functools.partial(is_ready, client)
                until(ready, "ready")
                before = children(up.pid)
                assert {name: len(pids) for name, pids in before.items()} == {
                    "valkey": 1,
                    "worker": 2,
                    "retrain": 1,
                    "teach": 1,
                    "scheduler": 1,
                    "api": 1,
                }
                first = submit(client)
                for pids in before.values():
                    os.kill(pids[0], signal.SIGKILL)

                def back() -> bool:
                    now = children(up.pid)
                    return all(
                        len(now[name]) == len(pids) and pids[0] not in now[name]
                        for name, pids in before.items()
                    )

                until(back, "all parts")
                until(ready, "ready again")
                second = submit(client)
                for job in (first, second):
                    until(lambda job=job: state(client, job) == "completed", "the job")  # type: ignore[misc]
            after = [pid for pids in children(up.pid).values() for pid in pids]
        finally:
            up.terminate()
        assert up.wait() == 143
    for pid in after:
        until(functools.partial(gone, pid), f"process {pid} is left")
    assert "Traceback" not in errors.read_text()
    assert "the Valkey (process" in errors.read_text()


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:  # the API's own process is among those that were killed
        return False


def submit(client: httpx.Client) -> str:
    answer = client.post("/v1/jobs", json={"inputs": ["rows.csv"], "tasks": ["sport"]})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def state(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/v1/jobs/{job}").json()["status"])


def test_the_command_line_names_the_queues() -> None:
    from api.cli.service import Queue

    assert [queue.value for queue in Queue] == list(QUEUES)


@pytest.mark.parametrize("part", ["worker", "scheduler"])
def test_a_part_without_a_server_says_what_to_do(tmp_path: Path, part: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PINGTI_")}
    command = [sys.executable, "-m", "api.cli.main", part, "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, "no Valkey is set" in done.stderr) == (6, True)
