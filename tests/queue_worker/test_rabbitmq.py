"""The same jobs with RabbitMQ as the broker: messages there, the jobs still in Valkey."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_worker.celery_app import CLASSIFY, lists_of, make_celery, messages_waiting
from queue_worker.jobs.models import JobStatus
from tests.support.brokers import until
from tests.support.rabbitmq import rabbitmq
from tests.support.service import Service, assert_every_row_once, keys, serving

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("rabbit") / "workspace"
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
    assert (
        sum(service.client.llen(name) for name in lists_of(CLASSIFY)) == messages_waiting(service.client) == 0
    )


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


def test_a_bad_message_is_put_aside(service: Service, texts: list[str]) -> None:
    before = service.store.statistics.totals().rejected
    with make_celery(service.settings).connection_for_write() as connection, service.worker() as worker:
        with connection.Producer() as producer:
            for body, kind in ((b"5", "application/json"), (b"\xff", "application/json"), (b"x", "nonsense")):
                headers = {"task": "pingti.classify", "id": "a"}
                options = {"content_type": kind, "content_encoding": "utf-8", "headers": headers}
                producer.publish(body, routing_key=CLASSIFY, exchange="", **options)
            producer.publish({"a": 1}, routing_key=CLASSIFY, exchange="", serializer="json")
        job = service.wait(service.submit(service.write("after.parquet", texts[:30])))
        until(lambda: service.store.statistics.totals().rejected == before + 4, "all are put aside")
        assert worker.poll() is None
    assert_every_row_once(service, job, keys("after", 30))
