"""Jobs whose worker, server or messages are lost in the middle: nothing is lost with them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu.exceptions import OperationalError
from test_queue_processes import until
from test_queue_worker import Service, assert_every_row_once, keys, serving

from queue_worker import shards, submit, worker
from queue_worker.app import tickets_waiting
from queue_worker.jobs import Job, JobStatus
from queue_worker.settings import Settings
from replacement.registry import Workspace

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(_workspace_template, tmp_path_factory.mktemp("faults") / "workspace") as service:
        yield service


@pytest.fixture(autouse=True)
def empty(service: Service) -> None:
    """No test finds what another one left."""
    service.client.flushdb()


def test_a_killed_worker_loses_nothing(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("killed.parquet", texts * 4))
    victim = service.start_worker()
    service.wait(job, lambda job: job.shards_done >= 3)
    service.kill(victim)
    assert service.store.get(job.id).status is JobStatus.RUNNING
    with service.worker():
        job = service.wait(job)
    assert_every_row_once(service, job, keys("killed", 1600))


def test_a_worker_killed_while_it_cuts_the_input(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("cut.parquet", texts * 10))
    victim = service.start_worker()
    service.wait(job, lambda job: any(service.folder(job).glob("input-*/00003.parquet")))
    service.kill(victim)
    assert service.store.get(job.id).shards_total is None
    service.store.cancel(job.id)  # it would take long; a second attempt is in test_queue_shards
    with service.worker():
        job = service.wait(job)
    assert job.status is JobStatus.CANCELLED
    assert [path.name for path in service.folder(job).iterdir()] == ["manifest.json"]


def test_a_paused_worker_that_wakes_does_no_harm(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("paused.parquet", texts * 4))
    paused = service.start_worker()
    service.wait(job, lambda job: job.shards_done >= 3)
    paused.send_signal(signal.SIGSTOP)
    with service.worker():
        job = service.wait(job)
        before = [(path.name, path.read_bytes()) for path in shards.results(service.settings, job)]
        paused.send_signal(signal.SIGCONT)
        service.processes.stop(paused)  # it ends its running units first
    assert_every_row_once(service, job, keys("paused", 1600))
    assert before == [(path.name, path.read_bytes()) for path in shards.results(service.settings, job)]
    assert service.store.get(job.id) == job


def test_a_killed_server_loses_nothing(service: Service, texts: list[str]) -> None:
    running = service.submit(service.write("server.parquet", texts * 4))
    url = str(service.settings.redis_url)
    with service.worker():
        service.wait(running, lambda job: job.shards_done >= 3)
        os.kill(service.client.info("server")["process_id"], signal.SIGKILL)
        port = int(url.rpartition(":")[2].removesuffix("/0"))
        service.processes.start_valkey(service.settings, port=port)
        running = service.wait(running)
    assert_every_row_once(service, running, keys("server", 1600))


def test_a_lost_ticket_is_replaced(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise OperationalError("the server went away")

    monkeypatch.setattr(submit, "publish_tickets", breaks)
    job = service.submit(service.write("ticket.parquet", texts))  # accepted all the same
    until(lambda: tickets_waiting(service.client) == 1, "the reaper's ticket")
    with service.worker():
        until(lambda: service.store.get(job.id).status is JobStatus.RUNNING, "begun")
        service.client.delete("classify", *(f"classify:{level}" for level in range(1, 10)))
        job = service.wait(job)
    assert_every_row_once(service, job, keys("ticket", 400))


def test_an_input_that_is_gone_fails_the_job(service: Service, texts: list[str]) -> None:
    name = service.write("gone.parquet", texts[:30])
    job = service.submit(name)
    (service.settings.home / name).unlink()
    with service.worker():
        job = service.wait(job)
    assert job.status is JobStatus.FAILED
    assert "gone.parquet' is not a file below an allowed folder" in str(job.error)
    assert shards.results(service.settings, job) == []


# -- one worker's loop inside the test, where a unit must fail in a certain way


def run_out(service: Service, **changes: Any) -> None:
    given = service.settings.model_copy(update=changes)
    runner = worker.Runner(given, service.store, lambda _count, _priority: None)
    while runner.run_one() is not None:
        pass


def test_a_shard_that_always_fails_ends_its_job_with_a_reason(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.submit(service.write("poison.parquet", texts[:100]))
    real = shards.classify_shard

    def poisoned(settings: Settings, job: Job, shard: int, *rest: Any) -> int:
        if shard == 2:
            raise OSError(28, "No space left on device")
        return real(settings, job, shard, *rest)

    monkeypatch.setattr(shards, "classify_shard", poisoned)
    run_out(service, max_attempts=2)
    job = service.store.get(job.id)
    assert job.status is JobStatus.FAILED
    assert job.error == "unit 2: OSError: [Errno 28] No space left on device (2 attempts)"
    assert [path.name for path in shards.results(service.settings, job)] == ["00000.parquet", "00001.parquet"]
    assert service.rows(job)


def test_students_are_loaded_once_and_a_few_kept(service: Service) -> None:
    cache = worker.ClassifierCache(service.settings.model_copy(update={"cached_classifiers": 2}))
    pins = [
        submit.pin(Workspace(service.settings.home), [submit.Choice.parse(name)])
        for name in ("sport", "topic", "sport@strict")
    ]
    first, second = cache.get(pins[0]), cache.get(pins[1])
    assert cache.get(pins[0]) is first
    cache.get(pins[2])  # the longest unused one, of topic, leaves
    assert cache.get(pins[0]) is first
    assert cache.get(pins[1]) is not second
