"""What a Celery user finds: the command line, inspection, events, and Flower's page of every shard."""

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from queue_worker.celery_app import broker_priority, make_celery
from queue_worker.settings import Settings
from tests.support.brokers import until
from tests.support.service import Service, assert_every_row_once, keys, serving

TASKS = {
    "pingti.plan",
    "pingti.classify",
    "pingti.finalize",
    "pingti.retrain",
    "pingti.measure_drift",
    "pingti.callback",
    "pingti.reap",
    "pingti.schedule_retraining",
    "pingti.send_due_callbacks",
    "pingti.expire",
}


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(_workspace_template, tmp_path_factory.mktemp("celery") / "workspace") as service:
        yield service


def celery(service: Service, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "queue_worker.celery_app", *arguments]


def ask(service: Service, *arguments: str, nodes: int | None = None) -> str:
    """What Celery's own command prints; asked again where a busy node has not answered within its second."""
    environment = {**os.environ, **service.settings.environment()}
    answers: list[str] = []

    def answered() -> bool:
        ran = subprocess.run(
            celery(service, *arguments), env=environment, capture_output=True, text=True, check=False
        )
        answers[:] = [ran.stdout, ran.stderr]
        return ran.returncode == 0 and (nodes is None or len(json.loads(ran.stdout)) == nodes)

    until(answered, f"celery {' '.join(arguments)} answers")
    return answers[0]


def start(service: Service, *arguments: str) -> subprocess.Popen[bytes]:
    log = service.settings.home / "logs" / f"{arguments[0]}.log"
    return service.processes.start(
        arguments[0], celery(service, *arguments), settings=service.settings, log=log
    )


@pytest.mark.broker
def test_celerys_own_worker_and_its_inspection(service: Service, texts: list[str]) -> None:
    worker = start(service, "worker", "--loglevel", "WARNING")
    until(
        lambda: any(name.startswith("classify@") for name in service.store.statistics.workers()),
        "it is ready",
    )
    job = service.wait(service.submit(service.write("own.parquet", texts)))
    assert_every_row_once(service, job, keys("own", 400))
    registered = json.loads(ask(service, "inspect", "registered", "--json", nodes=2))  # the scheduler, too
    assert all(set(tasks) == TASKS for tasks in registered.values())
    active = json.loads(ask(service, "inspect", "active_queues", "--json", nodes=2))
    assert {queue["name"] for queues in active.values() for queue in queues} == {"classify", "control"}
    assert "pong" in ask(service, "inspect", "ping")
    assert "software" in ask(service, "report")
    ask(service, "control", "pool_grow", "1")
    service.processes.stop(worker)
    assert worker.returncode == 0


@pytest.mark.broker
@pytest.mark.parametrize(
    ("queue", "pool", "size"),
    [
        ("retrain", "prefork", 1),
        ("teach", "prefork", 1),
        ("control", "Threads", 8),
        ("classify", "Threads", 3),
    ],
)
def test_celerys_own_worker_has_the_pool_of_its_queue(
    service: Service, queue: str, pool: str, size: int
) -> None:
    """``-P prefork`` is what Celery's command line has for "as configured"."""
    worker = start(service, "worker", "-Q", queue, "-n", f"{queue}@own", "-P", "prefork", "-c", "3")
    until(lambda: any(name == f"{queue}@own" for name in service.store.statistics.workers()), "it is ready")
    stats = json.loads(ask(service, "inspect", "stats", "--json", "-d", f"{queue}@own", nodes=1))
    assert pool in stats[f"{queue}@own"]["pool"]["implementation"]
    assert stats[f"{queue}@own"]["pool"]["max-concurrency"] == size
    service.processes.stop(worker)
    assert worker.returncode == 0


@pytest.mark.broker
def test_flower_shows_every_shard(service: Service, texts: list[str]) -> None:
    if find_spec("flower") is None:
        pytest.skip("needs the package flower")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"FLOWER_UNAUTHENTICATED_API": "true"}
    log = service.settings.home / "logs" / "flower.log"
    flower = service.processes.start(
        "flower",
        celery(service, "flower", f"--port={port}", "--address=127.0.0.1"),
        settings=service.settings,
        environment=environment,
        log=log,
    )

    def tasks() -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks?limit=1000", timeout=5) as answer:
                return dict(json.load(answer))
        except OSError:
            return {}

    def up() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/tasks", timeout=5):
                return True
        except OSError:
            return False

    until(up, "Flower listens")
    with service.worker():
        job = service.submit(service.write("flower.parquet", texts * 4))
        service.wait(job, lambda job: job.shards_done >= 3)
        until(lambda: any(id.startswith(f"{job.id}/") for id in tasks()), "shown while the job runs")
        job = service.wait(job)
        until(lambda: len([id for id in tasks() if id.startswith(job.id)]) >= 66, "all are shown")
    shown = {id: task for id, task in tasks().items() if id.startswith(job.id)}
    assert {f"{job.id}/{unit}/1" for unit in ("plan", *range(64), "finalize")} <= set(shown)
    shard = shown[f"{job.id}/7/1"]
    assert (shard["name"], shard["state"]) == ("pingti.classify", "SUCCESS")
    assert job.id in shard["args"]
    assert shard["runtime"] > 0
    service.processes.stop(flower)


@pytest.mark.parametrize(
    ("task", "queue"),
    [
        *((task, "classify") for task in ("pingti.plan", "pingti.classify", "pingti.finalize")),
        *((task, "retrain") for task in ("pingti.retrain", "pingti.measure_drift")),
        *((task, "control") for task in ("pingti.callback", "pingti.reap", "pingti.expire")),
    ],
)
def test_a_task_has_its_queue_whoever_sends_it(task: str, queue: str) -> None:
    """``celery call`` and Flower, too."""
    routed = make_celery(Settings(redis_url="redis://there")).amqp.router.route({}, task)
    assert routed["queue"].name == queue


def test_the_most_urgent_is_the_highest_where_rabbitmq_counts() -> None:
    rabbit = Settings(redis_url="redis://there", broker_url="amqp://there")
    assert [broker_priority(rabbit, level) for level in (0, 5, 9)] == [10, 5, 1]
    assert [broker_priority(Settings(redis_url="redis://there"), level) for level in (0, 9)] == [0, 9]
    assert make_celery(rabbit).conf.task_queue_max_priority == 10
    with pytest.raises(ValueError, match="needed is amqp"):
        Settings(broker_url="redis://elsewhere")
