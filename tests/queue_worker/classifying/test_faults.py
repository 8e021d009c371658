"""Jobs whose worker, server or messages are lost in the middle: nothing is lost with them."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kombu.exceptions import OperationalError

from pingti.errors import InputError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import CLASSIFY, lists_of
from queue_worker.classifying import isolation, planning, shards
from queue_worker.classifying.runner import ClassifierCache, Runner
from queue_worker.jobs import submission
from queue_worker.jobs.models import PLAN, Done, Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import worker_name
from tests.support.brokers import messages_waiting, until
from tests.support.messages import Messages
from tests.support.service import Service, assert_every_row_once, keys, run_out, serving

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


def test_what_a_killed_worker_held_is_free_as_soon_as_another_takes_its_place(
    service: Service, texts: list[str]
) -> None:
    """Where the lease is long, it would be waited for."""
    settings = service.settings.model_copy(update={"lease_seconds": 3600.0})
    job = service.submit(service.write("replaced.parquet", texts * 4))
    victim = worker_name(CLASSIFY)
    process = service.processes.start_worker(settings, name=victim)
    service.wait(job, lambda job: job.shards_done >= 3)
    process.send_signal(signal.SIGSTOP)  # it holds something
    held = service.store.workers_of(job.id)
    assert set(held.values()) == {victim}
    service.kill(process)
    other = service.processes.start_worker(settings)
    begun = service.store.get(job.id).shards_done
    until(lambda: service.store.workers_of(job.id) == held, "nothing but what the killed worker held")
    assert service.store.get(job.id).shards_done >= begun
    successor = service.processes.start_worker(settings, replaces=victim)
    job = service.wait(job)
    for process in (other, successor):
        service.processes.stop(process)
    assert_every_row_once(service, job, keys("replaced", 1600))


def test_a_worker_killed_while_it_cuts_the_input(service: Service, texts: list[str]) -> None:
    """What was cut is being worked on by then; another worker cuts the rest, alike."""
    job = service.submit(service.write("cut.parquet", texts * 10))
    victim = service.start_worker()
    service.wait(job, lambda job: job.shards_ready >= 3)
    service.kill(victim)
    assert service.store.get(job.id).shards_total is None
    with service.worker():
        job = service.wait(job)
    assert_every_row_once(service, job, keys("cut", 4000))


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


def test_a_lost_message_is_published_again(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise OperationalError("the server went away")

    monkeypatch.setattr(submission, "publish", breaks)
    job = service.submit(service.write("message.parquet", texts))  # accepted all the same
    until(lambda: messages_waiting(service.client) == 1, "the reaper's message")
    with service.worker():
        until(lambda: service.store.get(job.id).status is JobStatus.RUNNING, "begun")
        service.client.delete(*lists_of(CLASSIFY))
        job = service.wait(job)
    assert_every_row_once(service, job, keys("message", 400))


def test_an_input_that_is_gone_fails_the_job(service: Service, texts: list[str]) -> None:
    name = service.write("gone.parquet", texts[:30])
    job = service.submit(name)
    (service.settings.home / name).unlink()
    with service.worker():
        job = service.wait(job)
    assert job.status is JobStatus.FAILED
    assert "gone.parquet' is not a file below an allowed folder" in str(job.error)
    assert shards.results(service.settings, job) == []


def test_a_small_job_whose_input_is_changed_fails_alone(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("changed.parquet", texts[:10]))
    other = service.submit(service.write("other.parquet", texts[:10]))
    service.write("changed.parquet", texts[10:20])
    with service.worker():
        job, other = service.wait(job), service.wait(other)
    assert job.status is JobStatus.FAILED
    assert "changed.parquet: was changed or replaced after the job was accepted" in str(job.error)
    assert shards.results(service.settings, job) == []
    assert_every_row_once(service, other, keys("other", 10))


# -- more bad rows than are allowed


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("good", "bad", "most", "says"),
    [
        (0, 30, None, "all 30 rows are bad; nothing was classified"),
        (1, 29, None, None),
        (0, 30, 1.0, None),
        (20, 10, 9, "10 of 30 rows are bad; 9 are allowed"),
        (20, 10, 10, None),
        (20, 10, 0.3, "10 of 30 rows are bad; 30.00% of them are allowed"),
        (20, 10, 0.4, None),
    ],
)
def test_more_bad_rows_than_are_allowed_fail_the_job(
    service: Service, whole: bool, good: int, bad: int, most: float | None, says: str | None
) -> None:
    rows = ["a,the goal"] * good + ["b"] * bad
    (service.settings.home / "bad.csv").write_text("\n".join(["key,text", *rows]) + "\n")
    job = service.submit("bad.csv", **({} if most is None else {"max_bad_rows": most}))
    run_out(service, **({} if whole else {"small_bytes": 0}))
    job = service.store.get(job.id)
    assert (job.status, job.error) == (JobStatus.FAILED if says else JobStatus.COMPLETED, says)
    assert (job.max_bad_rows, type(job.max_bad_rows)) == (most, type(most))
    assert job.counts.model_dump() == {"total": 30, "completed": good, "failed": bad}
    assert len(service.rows(job)) == good
    assert len(b"".join(shards.error_lines(service.settings, job)).splitlines()) == bad


# -- jobs of which no good rows come, for minutes if nobody stops them


def write_nulls(path: Path) -> None:
    """Small on the disk: a small job at first."""
    nulls = pa.nulls(6_000_000, pa.string())
    pq.write_table(pa.table({"key": nulls, "text": nulls}), path, compression="zstd")


def write_short_rows(path: Path) -> None:
    path.write_bytes(b"key,text\n" + b"x\n" * 6_000_000)


def write_wrong_objects(path: Path) -> None:
    path.write_bytes(b"".join([b'{"key": "a", "text": "a"}\n', b"7\n" * 6_000_000]))


def write_blank_objects(path: Path) -> None:
    path.write_bytes(b'{"key": "a", "text": "a"}\n' + b"\n" * 40_000_000)


def write_blank_lines(path: Path) -> None:
    with path.open("wb") as file:  # Arrow passes over a hundred million of them in a second
        file.write(b"key,text\na,a\n")
        for _ in range(400):
            file.write(b"\n" * 1_000_000)


ONLY_BAD = {
    "nulls.parquet": write_nulls,
    "short.csv": write_short_rows,
    "wrong.jsonl": write_wrong_objects,
    "blank.jsonl": write_blank_objects,
    "blank.csv": write_blank_lines,
}


@pytest.mark.parametrize("name", ONLY_BAD)
def test_a_job_of_bad_rows_is_cancelled_while_it_is_read(service: Service, name: str) -> None:
    ONLY_BAD[name](service.settings.home / name)
    job = service.submit(name)
    with service.worker():
        service.wait(job, lambda job: job.status is JobStatus.RUNNING)
        time.sleep(1)
        assert not service.store.get(job.id).status.final
        service.store.cancel(job.id)
        job = service.wait(job)
    assert job.status is JobStatus.CANCELLED
    assert shards.results(service.settings, job) == []


def test_a_job_of_blank_texts_is_cancelled_while_it_is_done(service: Service) -> None:
    """Each of them is a good row; the parts that were finished count, and are kept."""
    lines = (b'{"key": "%d", "text": "%s"}\n' % (row, b" " * (row % 7)) for row in range(300_000))
    (service.settings.home / "texts.jsonl").write_bytes(b"".join(lines))
    job = service.submit("texts.jsonl")
    with service.worker():
        service.wait(job, lambda job: job.shards_done >= 3)
        service.store.cancel(job.id)
        job = service.wait(job)
    assert job.status is JobStatus.CANCELLED
    assert 75 <= job.counts.completed < 300_000
    rows = service.rows(job)
    assert len(rows) == job.counts.completed
    assert {row["sport"] for row in rows} == {rows[0]["sport"]}


@pytest.mark.parametrize("name", ONLY_BAD)
def test_sigterm_ends_a_worker_that_reads_bad_rows(service: Service, name: str) -> None:
    ONLY_BAD[name](service.settings.home / name)
    job = service.submit(name)
    with service.worker() as worker:
        service.wait(job, lambda job: job.status is JobStatus.RUNNING)
        time.sleep(1)
        worker.terminate()
        worker.wait(40)
        assert not service.store.get(job.id).status.final
        # Handed back; no attempt was used up.
        (claim,) = service.store.claim(job.id, "plan", worker="", lease_seconds=60)
        assert (claim.job, claim.unit, claim.attempt) == (job.id, "plan", 1)


def test_a_shard_of_bad_rows_is_left_after_a_while(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A short one is finished, though its worker stops."""
    monkeypatch.setattr("queue_worker.classifying.runner._GRACE_SECONDS", 0.0)
    rows = {"key": keys("g", 50), "text": [texts[0]] + [None] * 49}
    pq.write_table(pa.table(rows), service.settings.home / "g.parquet", row_group_size=25)
    job = service.submit("g.parquet")
    messages = Messages()
    runner = Runner(service.settings, JobStore(service.client, messages))
    real = planning.shard_batches

    def stopped(*given: Any) -> Any:
        runner.stopping.set()
        return real(*given)

    monkeypatch.setattr(planning, "shard_batches", stopped)
    monkeypatch.setattr(planning, "read_whole", lambda *_: None)
    runner.run(job.id, PLAN)
    runner.run(job.id, "0")
    assert service.store.get(job.id).shards_done == 0
    monkeypatch.setattr("queue_worker.classifying.runner._GRACE_SECONDS", 60.0)
    runner.stopping.clear()
    runner.run(job.id, "0")
    assert service.store.get(job.id).shards_done == 1
    monkeypatch.setattr(planning, "shard_batches", real)
    run_out(service)
    job = service.store.get(job.id)
    assert job.counts.model_dump() == {"total": 50, "completed": 1, "failed": 49}


# -- one worker's loop inside the test, where a unit must fail in a certain way


def test_a_shard_that_always_fails_ends_its_job_with_a_reason(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.submit(service.write("poison.parquet", texts[:100]))
    real = shards.write_part

    def poisoned(folder: Path, job: Job, shard: int, *rest: Any, **more: Any) -> Done:
        if shard == 2:
            raise OSError(28, "No space left on device")
        return real(folder, job, shard, *rest, **more)

    monkeypatch.setattr(shards, "write_part", poisoned)
    monkeypatch.setattr(isolation, "write_part", poisoned)
    run_out(service, max_attempts=2)
    job = service.store.get(job.id)
    assert job.status is JobStatus.FAILED
    assert job.error == "unit 2: OSError: [Errno 28] No space left on device (2 attempts)"
    names = [path.name for path in shards.results(service.settings, job)]
    assert names == ["00000.parquet", "00001.parquet", "00003.parquet"]  # the next attempt waits its turn
    assert service.rows(job)


def test_a_full_disk_that_has_room_again_costs_nothing(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit is put off, so that its attempts are not used up at once; the scheduler's reaper brings it."""
    job = service.submit(service.write("full.parquet", texts[:100]))
    real, failures = shards.write_part, []

    def full(folder: Path, job: Job, shard: int, *rest: Any, **more: Any) -> Done:
        if shard == 1 and len(failures) < 2:
            failures.append(shard)
            raise OSError(28, "No space left on device")
        return real(folder, job, shard, *rest, **more)

    monkeypatch.setattr(shards, "write_part", full)
    monkeypatch.setattr(isolation, "write_part", full)
    run_out(service, retry_seconds=0.2)
    assert service.store.get(job.id).status is JobStatus.RUNNING
    while not (job := service.store.get(job.id)).status.final:
        run_out(service, retry_seconds=0.2)
    assert_every_row_once(service, job, keys("full", 100))


def test_a_job_with_a_unit_that_was_put_off_is_cancelled_at_once(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = service.submit(service.write("off.parquet", texts[:50]))

    def full(*_: Any, **__: Any) -> Done:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shards, "write_part", full)
    run_out(service, retry_seconds=600)
    assert service.store.get(job.id).status is JobStatus.RUNNING
    service.store.cancel(job.id)
    run_out(service)
    assert service.store.get(job.id).status is JobStatus.CANCELLED


def test_a_worker_that_stops_hands_its_plan_back(service: Service, texts: list[str]) -> None:
    lines = [f"h-{number},{text}" for number, text in enumerate(texts * 2)]
    (service.settings.home / "h.csv").write_text("\n".join(["key,text", *lines]) + "\n")
    job = service.submit("h.csv")
    run_out(service, stop_after=1)
    stopped = service.store.get(job.id)
    assert (stopped.status, stopped.shards_total, stopped.shards_ready) == (JobStatus.RUNNING, None, 1)
    (again,) = service.store.claim(job.id, "plan", worker="", lease_seconds=60)
    assert again.attempt == 1  # as if there had been none
    service.store.release(again, reason="", max_attempts=5)
    run_out(service)
    assert_every_row_once(service, service.store.get(job.id), keys("h", 800))


POISON = """
import os, sys
from pingti.inference import classifier

real = classifier.Classifier.classify
def poisoned(self, rows):
    texts = rows.column("text").to_pylist()
    if any("[crash]" in text for text in texts):
        os.abort()
    if any("[raise]" in text for text in texts):
        raise ValueError("the kernel\\nstumbled")
    return real(self, rows)
classifier.Classifier.classify = poisoned
"""


def test_poison_rows_are_found_and_the_rest_is_delivered(service: Service, texts: list[str]) -> None:
    """Worker processes whose classifier aborts over one text and raises an error over two."""
    site = service.settings.home / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(POISON)
    poisoned = texts[:300]
    poisoned[70] = "[crash] " + poisoned[70]
    poisoned[71] = poisoned[299] = "[raise]"
    job = service.submit(service.write("bad.parquet", poisoned))
    settings = service.settings.model_copy(update={"shard_rows": 100})
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "queue_worker.worker"]

    def start() -> Any:
        log = service.settings.home / "logs" / "poisoned.log"
        environment = {"PYTHONPATH": path}
        return service.processes.start("worker", command, settings=settings, environment=environment, log=log)

    worker = start()
    deadline = time.monotonic() + 120
    while not (job := service.store.get(job.id)).status.final and time.monotonic() < deadline:
        if worker.poll() is not None:  # the text killed it, as an operator's supervisor would see
            service.processes.stop(worker)
            worker = start()
        time.sleep(0.05)
    service.processes.stop(worker)
    expected = [key for number, key in enumerate(keys("bad", 300)) if number not in (70, 71, 299)]
    assert_every_row_once(service, job, expected)
    assert job.counts.model_dump() == {"total": 300, "completed": 297, "failed": 3}
    lines = [json.loads(line) for line in b"".join(shards.error_lines(service.settings, job)).splitlines()]
    assert [(Path(line["file"]).name, line["row"], line["id"]) for line in lines] == [
        ("bad.parquet", number, f"bad-{number}") for number in (70, 71, 299)
    ]
    stumbled = "it cannot be classified: the kernel stumbled"
    assert [line["reason"] for line in lines] == [
        "the classifier died over it (signal 6)",
        stumbled,
        stumbled,
    ]


def test_too_many_bad_rows_are_the_students_fault(
    service: Service, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation, "_MOST_BAD", 3)
    job = service.submit(service.write("many.parquet", texts[:20]))
    assert service.store.claim(job.id, "plan", worker="", lease_seconds=60)
    job = job.model_copy(update={"shard_rows": 20, "shard_bytes": 1 << 20})
    child = POISON.replace("[raise]", "the")
    child += "\nfrom queue_worker.classifying import isolation\nsys.exit(isolation.main())"
    command = (sys.executable, "-c", child)
    sentence = "more than 3 rows of shard 0 cannot be classified; of the last: it cannot be classified"
    with pytest.raises(InputError, match=sentence):
        isolation.classify_isolated(service.settings, job, 0, "[[0, 0, 1]]", lambda: None, command=command)
    assert list(shards.job_folder(service.settings, job.id).iterdir()) == []


def test_rows_are_looked_at_carefully_without_holding_them_all(tmp_path: Path) -> None:
    base = pa.total_allocated_bytes()
    most = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal most
        for number in range(20):
            yield pa.record_batch({"text": pa.array([chr(97 + number)] * (1 << 18), pa.large_string())})
            most = max(most, pa.total_allocated_bytes() - base)

    assert isolation._write_rows(tmp_path / "rows.arrow", batches(), lambda: None)
    rows = isolation._rows(tmp_path)
    assert rows.num_rows == 20 << 18
    assert rows.slice(7 << 18, 1)["text"].to_pylist() == ["h"]
    most = max(most, pa.total_allocated_bytes() - base)
    assert most < 5 * (rows.nbytes // 20)


def test_students_are_loaded_once_and_a_few_kept(service: Service) -> None:
    cache = ClassifierCache(service.settings.model_copy(update={"cached_classifiers": 2}))
    pins = [
        submission.pin(Workspace(service.settings.home), [submission.Choice.parse(name)])
        for name in ("sport", "topic", "sport@strict")
    ]
    first, second = cache.get(pins[0]), cache.get(pins[1])
    assert cache.get(pins[0]) is first
    cache.get(pins[2])  # the longest unused one, of topic, leaves
    assert cache.get(pins[0]) is first
    assert cache.get(pins[1]) is not second
