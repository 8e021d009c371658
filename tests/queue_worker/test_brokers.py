"""What must hold whichever broker keeps the messages: Valkey, or RabbitMQ with the jobs still in Valkey."""

import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import amqp
import pytest

from queue_worker.celery_app import (
    CLASSIFY,
    CONTROL,
    lists_of,
    make_celery,
    oldest_published,
    uses_amqp,
)
from queue_worker.jobs.models import JobStatus
from queue_worker.processes.rejected import rejected
from queue_worker.retraining.runs import RunState, cancel_retrain, find_run, request_retrain
from tests.support.brokers import messages_waiting, until
from tests.support.rabbitmq import rabbitmq, require_rabbitmq
from tests.support.retraining import child_of_the_first_run, slow_worker, until_gone
from tests.support.service import Service, assert_every_row_once, keys, serving

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module", params=["valkey", "rabbitmq"])
def service(
    request: pytest.FixtureRequest, _workspace_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    home = tmp_path_factory.mktemp(request.param) / "workspace"
    if request.param == "valkey":
        with serving(_workspace_template, home) as valkey:
            yield valkey
        return
    require_rabbitmq()
    with serving(_workspace_template, home) as valkey, rabbitmq(valkey.processes, home) as url:
        settings = valkey.settings.model_copy(update={"broker_url": url})
        valkey.processes.stop(valkey.processes.latest("scheduler"))
        valkey.processes.start_scheduler(settings, log=home / "logs" / "scheduler.log")
        yield Service(valkey.processes, settings)


def test_urgent_work_overtakes_and_every_row_comes_once(service: Service, texts: list[str]) -> None:
    with service.worker():
        long = service.submit(service.write("long.parquet", texts * 6), priority=9)
        service.wait(long, lambda job: job.shards_done >= 2)
        urgent = service.wait(service.submit(service.write("urgent.parquet", texts[:50]), priority=0))
        done_meanwhile = service.store.get(long.id).shards_done
        long = service.wait(long)
    assert urgent.timestamps[JobStatus.COMPLETED] < long.timestamps[JobStatus.FINALIZING]
    assert done_meanwhile < 96
    assert_every_row_once(service, urgent, keys("urgent", 50))
    assert_every_row_once(service, long, keys("long", 2400))
    if uses_amqp(service.settings):
        assert sum(service.client.llen(name) for name in lists_of(CLASSIFY)) == 0


def test_a_killed_worker_loses_nothing(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("killed.parquet", texts * 4))
    victim = service.start_worker()
    service.wait(job, lambda job: job.shards_done >= 3)
    service.kill(victim)
    with service.worker():
        job = service.wait(job)
    assert_every_row_once(service, job, keys("killed", 1600))


def test_cancelling_and_a_paused_worker(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("stop.parquet", texts * 4))
    paused = service.start_worker()
    service.wait(job, lambda job: job.shards_done >= 3)
    paused.send_signal(signal.SIGSTOP)
    with service.worker():
        service.wait(job, lambda job: job.shards_done >= 10)
        service.store.cancel(job.id)
        job = service.wait(job)
        paused.send_signal(signal.SIGCONT)
        service.processes.stop(paused)
    assert job.status is JobStatus.CANCELLED
    rows = service.rows(job)
    assert len({row["id"] for row in rows}) == len(rows) == job.counts.completed


ENDLESS = """
import sys, time
from queue_worker import worker
from queue_worker.classifying import shards

def endless(settings, job, shard, rows, classifier, check):
    while True:
        check()
        time.sleep(0.1)

shards.classify_shard = endless
sys.exit(worker.serve("classify", "classify@quits-1"))
"""


def test_sigquit_hands_back_what_takes_longer(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("quit.parquet", texts))
    log = service.settings.home / "logs" / "quits.log"
    quitting = service.processes.start(
        "endless worker", [sys.executable, "-c", ENDLESS], settings=service.settings, log=log
    )
    until(lambda: len(service.store.workers_of(job.id)) == 2, "both threads have a shard")
    quitting.send_signal(signal.SIGQUIT)
    with service.worker():
        job = service.wait(job)
    until(lambda: quitting.poll() is not None, "it ends")
    service.processes.stop(quitting)
    assert_every_row_once(service, job, keys("quit", 400))
    scheduler = (service.settings.home / "logs" / "scheduler.log").read_text()
    assert f"lease expired unit={job.id}" not in scheduler


def test_a_retraining_is_done_and_cancelled(service: Service, tmp_path: Path) -> None:
    settings, client = service.settings, service.client
    process = service.processes.start(
        "retrain worker", slow_worker(settings), settings=settings, log=tmp_path / "log"
    )
    running = request_retrain(settings, client, "sport", "tests")
    child = child_of_the_first_run(settings)
    assert cancel_retrain(settings, client, running.id).state is RunState.CANCELLED
    until_gone(child)
    following = request_retrain(settings, client, "sport", "tests")
    until(lambda: find_run(client, following.id).state is RunState.RUNNING, "the worker takes the next")
    service.processes.stop(process)
    handed_back = find_run(client, following.id)
    assert (handed_back.state, handed_back.attempts) == (RunState.QUEUED, 0)
    cancel_retrain(settings, client, following.id)


BODIES = (
    b"",
    b"5",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"[1]",
    b"[[], {}]",
    b"[5, {}, {}]",
    b"\x00\xff\xfe",
    b"{" * 5000,
    b"[" * 100_000,
    b"- yaml: [1, 2",
    b"x" * (5 << 20),
    pickle.dumps([[], {}, {}]),
)
TASK = {"task": "pingti.classify", "id": "a"}
VALUES: tuple[Any, ...] = (5, -1.5, "text", "", [], {}, None, True, [1, 2, 3], {"a": 1}, "x" * 1000)
HEADERS = ("task", "id", "timelimit", "retries", "eta", "expires", "root_id", "group", "compression", "lang")


def amqp_zoo() -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Bodies and properties of every kind that might end a worker."""
    whole = b'[["job-none", 0], {}, {"callbacks": null}]'
    json = {"content_type": "application/json", "content_encoding": "utf-8"}
    for body in BODIES:
        yield body, {**json, "application_headers": TASK}
        yield body, {"application_headers": TASK}
        yield body, {}
        yield body, json
    for kind in ("application/x-python-serialize", "application/x-yaml", "application/data", "nonsense"):
        yield whole, {**json, "content_type": kind, "application_headers": TASK}
    for encoding in ("nonsense", "binary", "utf-16"):
        yield whole, {**json, "content_encoding": encoding, "application_headers": TASK}
    for name in HEADERS:
        for value in VALUES:
            yield whole, {**json, "application_headers": {**TASK, "id": "b", name: value}}
    for name in ("correlation_id", "reply_to", "message_id", "type", "app_id"):
        yield whole, {**json, "application_headers": {**TASK, "task": "os.system"}, name: "x" * 200}


@pytest.mark.parametrize("service", ["rabbitmq"], indirect=True)
def test_any_amqp_message_is_put_aside_and_no_worker_ends(service: Service, texts: list[str]) -> None:
    scheduler = service.processes.latest("scheduler")
    before = service.store.statistics.totals().rejected
    animals, application = list(amqp_zoo()), make_celery(service.settings)
    with service.worker() as worker, application.connection_for_write() as connection:
        job = service.submit(service.write("zoo.parquet", texts * 2))
        channel = connection.default_channel
        for number, (body, properties) in enumerate(animals):
            message = amqp.Message(body, **properties)
            channel.basic_publish(message, exchange="", routing_key=(CLASSIFY, CONTROL)[number % 2])
        small = service.wait(service.submit(service.write("after.parquet", texts[:10])))
        assert_every_row_once(service, small, keys("after", 10))
        assert_every_row_once(service, service.wait(job), keys("zoo", 800))
        until(lambda: not any(oldest_published(service.client, application)[:10]), "all are taken")
        until(lambda: service.store.statistics.totals().rejected - before > 100, "most are put aside")
        assert worker.poll() is None
        assert scheduler.poll() is None
    kept = rejected(service.client, limit=2000)
    assert any("os.system" in message["reason"] for message in kept)
    assert {message["queue"] for message in kept} == {CLASSIFY, CONTROL}
    assert messages_waiting(service.client) == 0
