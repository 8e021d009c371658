"""A workspace with broker, scheduler and workers in processes of their own, which tests may kill."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from queue_worker.celery_app import connect
from queue_worker.classifying import shards
from queue_worker.classifying.runner import AttemptError, Runner
from queue_worker.jobs import submission
from queue_worker.jobs.models import Job, JobStatus, Message
from queue_worker.jobs.publishing import publisher
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.submission import JobRequest
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import WAIT_S, require_broker, until
from tests.support.messages import Messages


class Service:
    """A workspace with an embedded server and a scheduler; workers as a test wants them."""

    def __init__(self, processes: Processes, settings: Settings) -> None:
        self.processes, self.settings = processes, settings
        self.client = connect(settings)
        self.store = JobStore(self.client, publisher(settings))

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        process = self.start_worker()
        try:
            yield process
        finally:
            self.processes.stop(process)

    def start_worker(self) -> subprocess.Popen[bytes]:
        log = self.settings.home / "logs" / "worker.log"
        return self.processes.start_worker(self.settings, log=log)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        self.processes.stop(process)

    def submit(self, *inputs: str, idempotency_key: str | None = None, **changes: Any) -> Job:
        request = JobRequest.model_validate({"inputs": inputs, "tasks": ["sport"], "id": "key", **changes})
        return submission.submit(request, self.settings, self.store, idempotency_key=idempotency_key)

    def wait(
        self,
        job: Job,
        reached: Callable[[Job], bool] = lambda job: job.status.final,
        *,
        seconds: float = WAIT_S,
    ) -> Job:
        until(lambda: reached(self.store.get(job.id)), f"{self.store.get(job.id)}", seconds=seconds)
        return self.store.get(job.id)

    def rows(self, job: Job) -> list[dict[str, Any]]:
        """The results' rows, with the check that every part holds what the manifest says."""
        manifest = json.loads((self.folder(job) / "manifest.json").read_text())
        tables = [pq.read_table(path) for path in shards.results(self.settings, job)]
        assert [table.num_rows for table in tables] == [part["rows"] for part in manifest["parts"]]
        assert manifest["counts"] == job.counts.model_dump()
        return [row for table in tables for row in table.to_pylist()]

    def folder(self, job: Job) -> Path:
        return shards.job_folder(self.settings, job.id)

    def write(self, name: str, texts: list[str]) -> str:
        path = self.settings.home / name
        keys = [f"{path.stem}-{number}" for number in range(len(texts))]
        pq.write_table(pa.table({"key": keys, "text": texts}), path)
        return name


@contextmanager
def serving(template: Path, home: Path, **changes: Any) -> Iterator[Service]:
    require_broker()
    shutil.copytree(template, home)
    given = Settings(
        home=home,
        concurrency=2,
        shard_rows=25,
        lease_seconds=2,
        heartbeat_seconds=0.3,
        reap_seconds=0.2,
        max_attempts=20,  # of which tests that kill need a few; a busy machine may need some more
    ).model_copy(update=changes)
    with Processes() as processes:
        settings = processes.start_valkey(given)
        processes.start_scheduler(settings, log=home / "logs" / "scheduler.log")
        service = Service(processes, settings)
        yield service
        service.client.close()


def assert_every_row_once(service: Service, job: Job, expected: list[str]) -> None:
    assert job.status is JobStatus.COMPLETED, job
    assert [row["id"] for row in service.rows(job)] == expected
    assert job.counts.total == job.counts.completed + job.counts.failed


def keys(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(count)]


def run_out(service: Service, *, stop_after: int | None = None, **changes: Any) -> None:
    """Work inside this process on all that is due, as a worker's thread would, till nothing is.

    ``stop_after``: ask the runner to stop with so many messages published, as SIGTERM does.
    """
    settings = service.settings.model_copy(update={"retry_seconds": 0, **changes})
    messages = Messages()

    def publish(due: Sequence[Message]) -> None:
        messages(due)
        if stop_after is not None and len(messages) >= stop_after:
            runner.stopping.set()

    store = JobStore(service.client, publish)
    runner = Runner(settings, store)
    store.reap(max_attempts=settings.max_attempts)
    for name in service.client.zrange("pingti:out", 0, -1):
        id, _, unit = name.rpartition("/")
        if not service.client.hget(f"pingti:job:{id}:out", unit).endswith(" 0"):  # that is put off
            messages([Message(id=id, unit=unit, level=5, attempt=1, published=0)])
    while not runner.stopping.is_set() and (message := messages.pop()) is not None:
        with suppress(AttemptError):
            runner.run(message.id, message.unit, worker="classify@test-1")
