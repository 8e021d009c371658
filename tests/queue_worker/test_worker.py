"""Jobs by real workers on a real server: submitted, classified, killed, and nothing lost."""

import gzip
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import make_celery
from queue_worker.classifying import shards
from queue_worker.jobs.models import PLAN, JobStatus, Message
from queue_worker.jobs.publishing import publish
from tests.support.brokers import messages_waiting, until
from tests.support.service import Service, assert_every_row_once, keys, serving

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module")
def service(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """With one worker, which all tests here share."""
    with serving(_workspace_template, tmp_path_factory.mktemp("service") / "workspace") as service:
        service.start_worker()
        yield service


@pytest.fixture(autouse=True)
def empty(service: Service) -> None:
    """No test finds what another one left."""
    service.client.flushdb()


def test_three_formats_with_bad_rows(service: Service, texts: list[str]) -> None:
    home = service.settings.home
    lines = [f"c-{number},{text}".encode() for number, text in enumerate(texts[:60])]
    lines[7] = b"c-7"  # too few fields
    lines[30] = b"c-30,the goal \xff\xfe"  # not UTF-8
    (home / "c.csv").write_bytes(b"key,text\n" + b"\n".join(lines) + b"\n")
    objects = [json.dumps({"key": f"j-{number}", "text": text}) for number, text in enumerate(texts[:60])]
    objects[0] = "{"
    objects[59] = json.dumps({"key": "j-59", "text": None})
    with gzip.open(home / "j.jsonl.gz", "wt") as file:
        file.write("\n".join(objects))
    columns = {"key": keys("p", 60), "text": [None if n == 3 else text for n, text in enumerate(texts[:60])]}
    pq.write_table(pa.table(columns), home / "p.parquet")

    job = service.submit("c.csv", "j.jsonl.gz", "p.parquet", tasks=["sport", "tech@strict", "topic"])
    assert job.priority == 3  # the most urgent of the tasks' own
    job = service.wait(job)
    good = (
        [key for key in keys("c", 60) if key not in ("c-7", "c-30")]
        + [key for key in keys("j", 60) if key not in ("j-0", "j-59")]
        + [key for key in keys("p", 60) if key != "p-3"]
    )
    assert_every_row_once(service, job, good)
    assert job.counts.model_dump() == {"total": 180, "completed": 175, "failed": 5}
    errors = [json.loads(line) for line in (service.folder(job) / "errors.jsonl").read_text().splitlines()]
    where = [(Path(each["file"]).name, each["row"]) for each in errors]
    assert where == [("c.csv", 7), ("c.csv", 30), ("j.jsonl.gz", 0), ("j.jsonl.gz", 59), ("p.parquet", 3)]
    assert all(each["reason"] for each in errors)
    for row in service.rows(job):
        assert row["sport"] == ("yes" if row["sport_score"] >= 0.5 else "no")
        assert row["topic"] in ("sport", "tech", "other")
    assert sorted(path.name for path in service.folder(job).iterdir()) == [
        *(f"{number:05d}.parquet" for number in range(7)),
        "errors.jsonl",
        "manifest.json",
    ]


def test_an_urgent_job_overtakes(service: Service, texts: list[str]) -> None:
    long = service.submit(service.write("long.parquet", texts * 6), priority=9)  # 96 shards
    service.wait(long, lambda job: job.shards_done >= 2)
    urgent = service.submit(service.write("urgent.parquet", texts[:50]), priority=0)
    urgent = service.wait(urgent)
    done_meanwhile = service.store.get(long.id).shards_done
    long = service.wait(long)
    assert urgent.timestamps[JobStatus.COMPLETED] < long.timestamps[JobStatus.FINALIZING]
    assert done_meanwhile < 96
    assert_every_row_once(service, urgent, keys("urgent", 50))
    assert_every_row_once(service, long, keys("long", 2400))


def test_cancelling_keeps_what_is_finished(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("stop.parquet", texts * 4))
    service.wait(job, lambda job: job.shards_done >= 3)
    service.store.cancel(job.id)
    job = service.wait(job)
    assert job.status is JobStatus.CANCELLED
    rows = service.rows(job)
    assert 75 <= len(rows) == job.counts.completed < job.counts.total == 1600
    assert len({row["id"] for row in rows}) == len(rows)


def test_messages_delivered_again_find_nothing_to_do(service: Service, texts: list[str]) -> None:
    job = service.submit(service.write("again.parquet", texts))
    application = make_celery(service.settings)
    units = [PLAN, *map(str, range(16)), "finalize"]
    again = [Message(id=job.id, unit=unit, level=0, attempt=1, published=0) for unit in units]
    publish(application, again * 2)
    job = service.wait(job)
    publish(application, again * 2)
    until(lambda: messages_waiting(service.client) == 0, "messages taken")
    assert_every_row_once(service, job, keys("again", 400))
    assert service.store.get(job.id) == job


def test_a_job_keeps_its_student_version(service: Service, texts: list[str]) -> None:
    """Promoted in the middle of a job: all its rows are of the version that it was accepted with."""
    task = Workspace(service.settings.home).task("tech")
    shutil.copytree(task.folder / "students" / "1", task.folder / "students" / "2")
    job = service.submit(service.write("pin.parquet", texts * 4), tasks=["tech"])
    service.wait(job, lambda job: job.shards_done >= 3)
    promotion.promote(task, 2, who="test", why="in the middle of a job")
    later = service.submit("pin.parquet", tasks=["tech"])
    named = service.submit("pin.parquet", tasks=["tech@strict#1"])
    assert service.store.get(job.id).shards_done < 64
    jobs = [service.wait(each) for each in (job, later, named)]
    assert [each.pins[0].version for each in jobs] == [1, 2, 1]
    assert jobs[2].pins[0].scene == "strict"
    for each, version in zip(jobs, (1, 2, 1), strict=True):
        assert_every_row_once(service, each, keys("pin", 1600))
        for path in shards.results(service.settings, each):
            described = json.loads(pq.read_schema(path).metadata[b"pingti.tasks"])
            assert described[0]["version"] == version


def test_small_jobs_are_done_in_one_go(service: Service, texts: list[str]) -> None:
    jobs = [service.submit(service.write(f"s{n}.parquet", texts[n : n + 10])) for n in range(40)]
    lines = [f"l-{number},{text}" for number, text in enumerate(texts[:10])]
    (service.settings.home / "l.csv").write_text("\n".join(["key,text", *lines, "l-10"]) + "\n")
    faulty = service.wait(service.submit("l.csv"))
    assert faulty.counts.model_dump() == {"total": 11, "completed": 10, "failed": 1}
    (line,) = b"".join(shards.error_lines(service.settings, faulty)).splitlines()
    assert json.loads(line)["row"] == 10
    for number, job in enumerate(jobs):
        ended = service.wait(job)
        assert_every_row_once(service, ended, keys(f"s{number}", 10))
        assert ended.cut_input is None  # it was never cut
        names = sorted(path.name for path in service.folder(job).iterdir())
        assert names == ["00000.parquet", "manifest.json"]
    assert service.store.statistics.totals().shards == 41


def test_worker_life_signs_and_one_line_logs(service: Service, texts: list[str]) -> None:
    log = service.settings.home / "logs" / "worker.log"
    start = log.stat().st_size if log.exists() else 0

    def kinds() -> list[str]:
        return sorted(name.partition("@")[0] for name in service.store.statistics.workers())

    until(lambda: "classify" in kinds(), "a sign of life")
    assert kinds() in (["classify"], ["classify", "control"])  # the scheduler's comes when it comes
    assert service.store.statistics.workers(seconds=-60) == {}
    job = service.wait(service.submit(service.write("log.parquet", texts[:50])))
    lines = log.read_bytes()[start:].decode().splitlines()
    assert any(job.id in line and "unit ended" in line for line in lines)
    password = (service.settings.home / "valkey" / "password").read_text()
    assert password not in log.read_text()
    assert not [line for line in lines if line.startswith(("Traceback", "  "))]


def test_jobs_of_one_level_take_turns(service: Service, texts: list[str]) -> None:
    """A big one does not hold up a small one that came later."""
    big = service.submit(service.write("big.parquet", texts * 3))
    small = service.submit(service.write("small.parquet", texts[:50]))
    big, small = service.wait(big), service.wait(small)
    assert small.timestamps[JobStatus.COMPLETED] < big.timestamps[JobStatus.FINALIZING]
    assert Counter(row["id"] for row in service.rows(big)).most_common(1)[0][1] == 1
    assert time.time() > big.timestamps[JobStatus.COMPLETED] - 3600  # the server's clock, in Unix seconds


@pytest.mark.parametrize("fault", ["READONLY", "OOM"])
def test_workers_survive_a_server_that_takes_nothing_for_a_while(
    service: Service, texts: list[str], fault: str
) -> None:
    """A worker ended: Celery connects again after errors of a connection alone.

    A full server refuses what writes: a worker that only waits for messages need not lose its connection.
    """
    log = service.settings.home / "logs" / "worker.log"
    start = log.stat().st_size
    job = service.submit(service.write("while.parquet", texts * 20))
    service.wait(job, lambda job: job.shards_done >= 3)
    before = service.client.info("errorstats").get("errorstat_OOM", {"count": 0})["count"]
    if fault == "READONLY":
        service.client.replicaof("127.0.0.1", "1")
    else:
        service.client.config_set("maxmemory", 1)

    def struck() -> bool:
        refused = service.client.info("errorstats").get("errorstat_OOM", {"count": 0})["count"]
        return b"Connection to broker lost" in log.read_bytes()[start:] or refused > before

    try:
        until(struck, "the worker has noticed")
    finally:
        service.client.replicaof("NO", "ONE")
        service.client.config_set("maxmemory", 0)
    job = service.wait(job)
    assert_every_row_once(service, job, keys("while", 8000))
    assert service.processes.failed() is None
