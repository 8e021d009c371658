"""Seven nights in a row: a scheduler whose clock is a file, real retrainings, kills, a missed night."""

import gzip
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
import redis

from pingti.workspace.registry import TaskEntry, Workspace
from queue_worker.celery_app import connect
from queue_worker.processes.launcher import Processes
from queue_worker.retraining.runner import RetrainWorker
from queue_worker.retraining.runs import Run, RunState, runs
from queue_worker.settings import Settings
from tests.support.brokers import require_broker, until
from tests.support.paths import SHARED
from tests.support.scheduler import Clocked
from tests.support.teachers import topic_teacher
from tests.support.texts import made_texts

__all__ = ["topic_teacher"]
pytestmark = pytest.mark.broker

SEVEN = [date(2025, 12, day) for day in range(1, 8)]
KILLED_SCHEDULER, KILLED_RETRAINING, MISSED = SEVEN[2], SEVEN[1], SEVEN[4]

_DEFINITION = """\
classes = ["no", "yes"]

[corpus]
files = ["../history/*.jsonl"]
id = "id"
time = "time"

[teacher]
model = {model}
budget = {budget}

[teacher.map]
{map} = "yes"
"*" = "no"

[student]
embedding = {width}
filters = {width}
widths = [1, 2]
wide = 0
epochs = {epochs}

[gate]
precision = {gate}
recall = {gate}
holdout_days = {days}
holdout_rows = {rows}
rounds = 2

[watch]
sample = 0

[retrain]
at = "02:00"
"""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Settings, redis.Redis, Clocked]]:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(
            Settings(home=tmp_path / "home", lease_seconds=5, heartbeat_seconds=0.5, reap_seconds=0.5)
        )
        with connect(settings) as client:
            yield settings, client, Clocked(processes, settings, tmp_path)


def kill_once(entry: TaskEntry, killed: threading.Event) -> None:
    """Kill the retraining of this process when its first round of the night is done."""
    log = entry.folder / "retrain.log"
    before = log.stat().st_size
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if b'"round": 1' in log.read_bytes()[before:]:
            shown = subprocess.run(
                ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(os.getpid())],
                capture_output=True,
                text=True,
                check=True,
            )
            for line in shown.stdout.splitlines():
                if "replacement.retrain" in line:
                    os.kill(int(line.split()[0]), signal.SIGKILL)
                    killed.set()
            return
        time.sleep(0.02)


def seven_nights(
    service: tuple[Settings, redis.Redis, Clocked], entry: TaskEntry, add_day: Callable[[date], None]
) -> dict[date, Run]:
    """The nights' records, every one checked against what is on disk."""
    settings, client, nights = service

    def work() -> Run | None:
        """On the run that has waited longest."""
        waiting = [run for run in runs(client, entry.name) if run.state is RunState.QUEUED]
        return RetrainWorker(settings, client).run(waiting[-1].id) if waiting else None

    nights.set("2025-11-30T12:00:00")
    scheduler = nights.start()
    until(lambda: client.hexists("pingti:nights", entry.name), "the plan is seen")
    killed = threading.Event()
    for night in SEVEN:
        add_day(night - timedelta(days=1))
        if night == MISSED:
            nights.kill(scheduler)
            nights.set(f"{night}T09:00:00")
            scheduler = nights.start()
        else:
            nights.set(f"{night}T02:00:05")
        until(lambda night=night: runs(client, entry.name)[:1] and runs(client, entry.name)[0].night == night,
              f"the run of {night}")  # type: ignore[misc]  # fmt: skip
        if night == KILLED_SCHEDULER:
            nights.kill(scheduler)
            begun = nights.log.read_text().count("beat starts")
            scheduler = nights.start()
            until(lambda begun=begun: nights.log.read_text().count("beat starts") > begun, "it runs again")  # type: ignore[misc]
        if night == KILLED_RETRAINING:
            killer = threading.Thread(target=kill_once, args=(entry, killed))
            killer.start()
            work()
            killer.join()
        if night != KILLED_RETRAINING or killed.is_set():
            assert work() is not None
        assert work() is None  # nothing is done twice
    by_night = {run.night: run for run in runs(client, entry.name) if run.night}
    assert sorted(by_night) == SEVEN
    assert len(runs(client, entry.name)) == 7
    assert by_night[KILLED_RETRAINING].attempts == 1 + killed.is_set()
    assert all(run.attempts == 1 for night, run in by_night.items() if night != KILLED_RETRAINING)

    assert [run.version for _, run in sorted(by_night.items())] == entry.versions()  # one a night
    promoted = []
    for run in by_night.values():
        assert run.state in (RunState.PROMOTED, RunState.REFUSED), run
        report = entry.report(run.version or 0)
        assert (report["run"], report["gate"]["passed"]) == (run.id, run.state is RunState.PROMOTED)
        promoted += [run.version] if run.state is RunState.PROMOTED else []
    lines = [(line["event"], line["version"]) for line in entry.history()]
    assert sorted(version for event, version in lines if event == "promoted") == sorted(promoted)
    assert len(lines) == 7
    assert entry.current() == max(promoted, default=None)
    return by_night


def write_day(home: Path, day: date, rows: list[tuple[str, str, str]]) -> None:
    """Rows of id, text, time."""
    (home / "history").mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(dict(zip(("id", "text", "time"), row, strict=True))) for row in rows]
    (home / "history" / f"{day}.jsonl").write_text("\n".join(lines) + "\n")


def test_seven_nights_of_a_tiny_task(
    service: tuple[Settings, redis.Redis, Clocked], topic_teacher: Path
) -> None:
    home = service[0].home
    values = {"map": "sport", "budget": 150, "width": 16, "epochs": 3, "days": 2, "rows": 40}
    text = _DEFINITION.format(model=json.dumps(str(topic_teacher)), gate=0.5, **values)
    entry = Workspace(home).add_task("sport", text)

    def add_day(day: date) -> None:
        texts = made_texts(60, seed=day.toordinal())[0]
        rows = [(f"{day}-{n}", text, f"{day}T{n // 4:02}:00:00") for n, text in enumerate(texts)]
        write_day(home, day, rows)
        if day == SEVEN[5] - timedelta(days=1):  # from now on no student can pass
            entry.path.write_text(text.replace("recall = 0.5", "recall = 1.0").replace("150", "100"))

    for day in range(1, 7):
        add_day(SEVEN[0] - timedelta(days=1 + day))
    by_night = seven_nights(service, entry, add_day)
    assert RunState.PROMOTED in {run.state for run in by_night.values()}
    # From the second promotion on a run goes on from rows that are known.
    assert any("known" in entry.report(version)["rounds"][0]["added"] for version in entry.versions())


@pytest.mark.slow
def test_seven_nights_of_weibo_hot(service: tuple[Settings, redis.Redis, Clocked]) -> None:
    data, model = SHARED / "data" / "weibo_hot" / "weibo_hot.jsonl.gz", SHARED / "models" / "weibo-teacher-zh"
    if not data.is_file() or not model.is_dir():
        pytest.skip(f"needs weibo_hot and its teacher in {SHARED}")
    days: dict[date, list[tuple[str, str, str]]] = {}
    with gzip.open(data, "rt", encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            day = date.fromisoformat(row["timestamp"][:10])
            if date(2025, 11, 1) <= day < SEVEN[-1]:
                days.setdefault(day, []).append((row["id"], row["text"], row["timestamp"]))
    home = service[0].home
    values = {"map": '"体育"', "budget": 1200, "width": 32, "epochs": 4, "days": 7, "rows": 400}
    text = _DEFINITION.format(model=json.dumps(str(model)), gate=0.5, **values)
    entry = Workspace(home).add_task("sports", text)
    for day in sorted(days):
        if day < SEVEN[0] - timedelta(days=1):
            write_day(home, day, days[day])
    by_night = seven_nights(service, entry, lambda day: write_day(home, day, days[day]))
    for night, run in sorted(by_night.items()):
        holdout = entry.report(run.version or 0)["holdout"]
        print(night, run.state, run.version, f"F1 {holdout['f1']:.3f}", run.reason)  # noqa: T201
