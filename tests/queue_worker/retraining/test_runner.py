"""The retrain worker: a run's record, its process, and what a crash of either leaves."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest
import redis

from pingti.errors import ConflictError, NotFoundError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import RETRAIN, connect
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.retraining.runner import RetrainWorker
from queue_worker.retraining.runs import (
    Run,
    RunState,
    RunStore,
    allowed_moves,
    cancel_retrain,
    find_run,
    request_retrain,
    runs,
)
from queue_worker.settings import Settings
from tests.support.brokers import gone, require_broker, until
from tests.support.retraining import child_of_the_first_run, log_of, slow_worker, until_gone

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, redis.Redis]]:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path_factory.mktemp("retraining")))
        with connect(settings) as client:
            yield settings, client


@pytest.fixture
def service(server: tuple[Settings, redis.Redis], workspace: Workspace) -> tuple[Settings, redis.Redis]:
    settings, client = server
    client.flushdb()
    changes = {"home": workspace.root, "lease_seconds": 1.0, "heartbeat_seconds": 0.2}
    return settings.model_copy(update=changes), client


def python(code: str) -> Callable[[Run], Sequence[str]]:
    tell = "import json\ndef tell(**event): print(json.dumps(event), flush=True)\n"
    return lambda run: [sys.executable, "-c", tell + code]


def run_one(
    settings: Settings, client: redis.Redis, worker: RetrainWorker | None = None, **options: Any
) -> Run | None:
    """Work on the run of sport that has waited longest."""
    waiting = [run for run in runs(client, "sport") if run.state is RunState.QUEUED]
    worker = worker or RetrainWorker(settings, client, **options)
    return worker.run(waiting[-1].id) if waiting else None


def test_states_and_their_moves() -> None:
    final = {state for state in RunState if state.final}
    assert final == {
        RunState.PROMOTED,
        RunState.REFUSED,
        RunState.FAILED,
        RunState.MISSED,
        RunState.CANCELLED,
    }
    assert allowed_moves(RunState.QUEUED) == {RunState.RUNNING, RunState.CANCELLED}
    assert RunState.QUEUED in allowed_moves(RunState.RUNNING)


def test_a_run_is_recorded_from_request_to_end(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    with pytest.raises(NotFoundError):
        request_retrain(settings, client, "../sport", "tests")
    asked = request_retrain(settings, client, "sport", "tests")
    assert (asked.state, asked.who, asked.night, asked.attempts) == (RunState.QUEUED, "tests", None, 0)
    assert request_retrain(settings, client, "sport", "another") == asked  # one that waits is enough
    code = (
        "tell(what='teacher: holdout', done=1, total=9); print('no event'); tell(round=2, rounds=5, f1=.8)\n"
        "tell(outcome='promoted', version=4, reason='the gate is reached')"
    )
    ended = run_one(settings, client, command=python(code))
    assert ended == find_run(client, asked.id) == runs(client, "sport")[0]
    assert (ended.state, ended.version, ended.reason) == (RunState.PROMOTED, 4, "the gate is reached")
    assert ended.progress is not None
    assert (ended.progress.round, ended.progress.rounds, ended.progress.what) == (2, 5, "teacher: holdout")
    assert ended.created <= (ended.started or 0) <= (ended.ended or 0)
    assert "no event" in log_of(settings).read_text()
    assert run_one(settings, client) is None
    assert request_retrain(settings, client, "sport", "tests").id != asked.id
    with pytest.raises(NotFoundError):
        find_run(client, "sport/nothing")


def test_a_process_that_keeps_breaking_fails_its_run(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    asked = request_retrain(settings, client, "sport", "tests")
    broken = python("raise SystemExit(9)")
    states = [run_one(settings, client, command=broken) for _ in range(3)]
    assert [run.state for run in states if run] == [RunState.QUEUED, RunState.QUEUED, RunState.FAILED]
    assert find_run(client, asked.id).reason == (
        f"its process ended with code 9; see {log_of(settings)} (3 attempts)"
    )
    assert run_one(settings, client) is None


def test_what_another_attempt_would_not_mend_fails_at_once(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    asked = request_retrain(settings, client, "sport", "tests")
    lines = [json.dumps({"id": str(n), "text": f"a match of {n} goals"}) for n in range(200)]
    (settings.home / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    run = run_one(settings, client)  # the real command; the model "nowhere" is not there
    assert run is not None
    assert (run.id, run.state, run.attempts) == (asked.id, RunState.FAILED, 1)
    assert "nowhere" in str(run.reason)
    request_retrain(settings, client, "sport", "tests")
    (Workspace(settings.home).tasks / "sport.toml").unlink()
    run = run_one(settings, client)
    assert run is not None
    assert (run.state, "not in this workspace" in str(run.reason)) == (RunState.FAILED, True)


def test_a_run_that_takes_too_long_is_ended(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    request_retrain(settings, client, "sport", "tests")
    short = settings.model_copy(update={"retrain_seconds": 0.5})
    code = "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(600)"
    run = run_one(short, client, command=python(code))
    assert run is not None
    assert (run.state, run.reason) == (RunState.FAILED, "it took longer than 0.5 s")
    assert gone(int(log_of(settings).read_text().split()[-1]))


def test_a_stopped_worker_hands_its_run_back(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    asked = request_retrain(settings, client, "sport", "tests")
    worker = RetrainWorker(settings, client, command=python("import time; time.sleep(600)"))
    threading.Timer(0.5, worker.stop.set).start()
    run = run_one(settings, client, worker)
    assert run is not None
    assert (run.state, run.attempts, run.reason) == (RunState.QUEUED, 0, "the worker was stopped")
    done = run_one(settings, client, command=python("tell(outcome='refused', version=1)"))
    assert done is not None
    assert (done.id, done.state) == (asked.id, RunState.REFUSED)


def test_a_lost_lease_ends_the_attempt_and_nothing_is_written(service: tuple[Settings, redis.Redis]) -> None:
    """As when a paused worker wakes: another has the run by then."""
    _, client = service
    store = RunStore(client)
    store.night("sport", time(2), date(2025, 12, 1))
    store.night("sport", time(2), date(2025, 12, 2))
    reaper = JobStore(client)
    late = store.claim("sport/2025-12-02", worker="", lease_seconds=0.001)
    assert late is not None
    until(lambda: reaper.reap(max_attempts=9, run_attempts=3), "the lease ends")
    again = store.claim(late.run.id, worker="", lease_seconds=60)
    assert again is not None
    assert (again.run.id, again.run.attempts) == (late.run.id, 2)
    assert not store.finish(late, RunState.PROMOTED, version=7, reason="")
    assert not store.release(late, reason="", max_attempts=3)
    assert store.get(late.run.id) == again.run
    for _ in range(2):
        assert store.release(again, reason="broken", max_attempts=4)
        again = store.claim(late.run.id, worker="", lease_seconds=0.001)
        assert again is not None
    until(lambda: reaper.reap(max_attempts=9, run_attempts=4), "the last lease ends")
    given_up = store.get(late.run.id)
    assert given_up.reason == "the worker that had it stopped answering (4 attempts)"
    assert given_up.state is RunState.FAILED


def test_a_killed_workers_run_is_taken_by_the_next(
    service: tuple[Settings, redis.Redis], tmp_path: Path
) -> None:
    settings, client = service
    asked = request_retrain(settings, client, "sport", "tests")
    with Processes() as processes:
        process = processes.start(
            "retrain worker", slow_worker(settings), settings=settings, log=tmp_path / "log"
        )
        child = child_of_the_first_run(settings)
        os.kill(process.pid, 9)
        until_gone(child)
    assert find_run(client, asked.id).state is RunState.RUNNING
    until(lambda: JobStore(client).reap(max_attempts=3), "the lease ends")
    run = run_one(settings, client, command=python("tell(outcome='refused', version=1)"))
    assert run is not None
    assert (run.id, run.state, run.attempts) == (asked.id, RunState.REFUSED, 2)


def test_a_run_is_cancelled_wherever_it_is(service: tuple[Settings, redis.Redis], tmp_path: Path) -> None:
    settings, client = service
    waiting = request_retrain(settings, client, "sport", "tests")
    assert cancel_retrain(settings, client, waiting.id).state is RunState.CANCELLED
    with pytest.raises(ConflictError, match="is cancelled; only one under way"):
        cancel_retrain(settings, client, waiting.id)
    with pytest.raises(NotFoundError):
        cancel_retrain(settings, client, "sport/nothing")
    running = request_retrain(settings, client, "sport", "tests")
    with Processes() as processes:
        process = processes.start(
            "retrain worker", slow_worker(settings), settings=settings, log=tmp_path / "log"
        )
        child = child_of_the_first_run(settings)
        run = cancel_retrain(settings, client, running.id)
        assert (run.state, run.ended is not None) == (RunState.CANCELLED, True)
        until_gone(child)
        again = request_retrain(settings, client, "sport", "tests")
        until(lambda: find_run(client, again.id).state is RunState.RUNNING, "the worker takes the next")
        assert process.poll() is None
        processes.stop(process)
    assert find_run(client, running.id) == run
    handed_back = find_run(client, again.id)
    assert (handed_back.state, handed_back.attempts) == (RunState.QUEUED, 0)


def test_a_real_worker_takes_runs_and_ends_on_sigterm(
    service: tuple[Settings, redis.Redis], tmp_path: Path
) -> None:
    settings, client = service
    with Processes() as processes:
        worker = processes.start_worker(settings, queue=RETRAIN, log=tmp_path / "worker.log")
        (load,) = JobStore(client).statistics.worker_loads()
        assert load.memory_bytes > 10_000_000
        asked = request_retrain(settings, client, "sport", "tests")
        until(lambda: find_run(client, asked.id).state.final, "the run ends")
        processes.stop(worker)
        assert worker.returncode == 0, (tmp_path / "worker.log").read_text()
    assert find_run(client, asked.id).state is RunState.FAILED


def test_the_worker_imports_no_torch() -> None:
    program = (
        "import sys, queue_worker.tasks, queue_worker.scheduler; "
        "print({'torch', 'transformers', 'faiss'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
