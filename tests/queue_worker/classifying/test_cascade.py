"""Jobs whose students ask a teacher where they are not sure: workers that have one do their shards."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pingti.corpus.columns import Columns
from pingti.errors import UnavailableError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import RETRAIN, TEACH, send
from queue_worker.classifying.bad_rows import BadRows
from queue_worker.classifying.isolation import classify_isolated
from queue_worker.classifying.shards import write_part
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.waiting import waits_for
from queue_worker.retraining.runs import RunState, cancel_retrain, find_run, request_retrain
from replacement.second.teacher import TeacherSecond
from replacement.training.loop import replace
from tests.support.brokers import gone, messages_waiting, until
from tests.support.cascades import ASKING, asking
from tests.support.messages import Messages
from tests.support.retraining import slow_worker
from tests.support.service import Service, assert_every_row_once, keys, serving
from tests.support.teachers import sport
from tests.support.transformers import needs_runtime, random_student, with_transformer_second
from tests.support.workspaces import with_cascade


@pytest.fixture(scope="module")
def taught(topic_teacher: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace whose student is not sure of some rows, and whose teacher is there."""
    entry = sport(tmp_path_factory.mktemp("taught"), topic_teacher, rounds=1, budget=400)
    text = entry.path.read_text().replace("epochs = 3", "epochs = 1")
    wanted = "\n[cascade]\nagreement = 0.9\nconfidence = 0.6\nmost_teacher_share = 1.0\n"
    entry.path.write_text(text + wanted)
    entry = entry.workspace.task("sport")
    promotion.promote(entry, replace(entry).version, why="a test", force=True)
    return entry.workspace


@pytest.fixture(scope="module")
def service(taught: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("cascade") / "workspace"
    with serving(taught.root, home, shard_rows=1000) as service:
        yield service


@pytest.fixture(scope="module")
def untaught(_workspace_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Its teacher is nowhere."""
    home = tmp_path_factory.mktemp("untaught") / "workspace"
    with serving(_workspace_template, home, teacher_seconds=0.0) as service:
        yield service


@pytest.mark.broker
def test_a_worker_with_a_teacher_does_the_shards_even_if_another_is_killed_over_one(
    service: Service, texts: list[str]
) -> None:
    job = service.submit(service.write("both.parquet", texts[:250]))
    with service.worker():
        until(lambda: messages_waiting(service.client, TEACH), "shards wait for a teacher")
        assert service.store.get(job.id).shards_done == 0
        assert "none is running" in str(waits_for(service.store.get(job.id), service.store.statistics))
        log = service.settings.home / "logs" / "retrain.log"
        victim = service.processes.start_worker(service.settings, queue=RETRAIN, log=log)
        assert waits_for(service.store.get(job.id), service.store.statistics) is None
        until(lambda: service.store.workers_of(job.id), "a shard is begun")
        service.kill(victim)
        until(lambda: all(map(gone, teachers_of(log))), "its teacher ends with it")
        assert service.store.get(job.id).status is JobStatus.RUNNING
        other = service.processes.start_worker(service.settings, queue=RETRAIN, log=log)
        job = service.wait(job, seconds=300)  # a teacher is loaded, by a process of low priority
        service.processes.stop(other)
    assert_every_row_once(service, job, keys("both", 250))
    rows = service.rows(job)
    classifier = Classifier.of(Workspace(service.settings.home), ["sport"])
    alone = classifier.classify(texts[:250])
    unsure = [by == "unsure" for by in alone.column("sport_by").to_pylist()]
    assert any(unsure)
    assert [row["sport_by"] for row in rows] == ["teacher" if asks else "student" for asks in unsure]
    assert job.decided == {"sport": {"student": 250 - sum(unsure), "teacher": sum(unsure)}}
    second = TeacherSecond(Workspace(service.settings.home))
    expected = classifier.asking(second).classify(texts[:250]).column("sport").to_pylist()
    assert [row["sport"] for row in rows] == expected


def teachers_of(log: Path) -> list[int]:
    """The processes that a worker's log tells of, which ask teachers."""
    return [int(pid) for pid in re.findall(r"teacher's process starts pid=(\d+)", log.read_text())]


@pytest.mark.broker
def test_a_worker_keeps_its_teacher_from_job_to_job_until_it_retrains(
    service: Service, texts: list[str]
) -> None:
    log = service.settings.home / "logs" / "kept.log"
    learning = service.processes.start(
        "retrain worker", slow_worker(service.settings), settings=service.settings, log=log
    )
    with service.worker():
        for name in ("first", "second", "third"):
            job = service.wait(service.submit(service.write(f"{name}.parquet", texts[:40])), seconds=300)
            assert_every_row_once(service, job, keys(name, 40))
        (teacher,) = teachers_of(log)
        assert not gone(teacher)
        run = request_retrain(service.settings, service.client, "sport", "tests")
        until(lambda: gone(teacher), "the retraining has its memory")
        cancel_retrain(service.settings, service.client, run.id)
        service.wait(service.submit("first.parquet"), seconds=300)
        (_, teacher) = teachers_of(log)
        service.processes.stop(learning)
        until(lambda: gone(teacher), "it ends with its worker")


@pytest.mark.broker
def test_a_shard_whose_process_is_killed_does_not_wait_for_its_lease(
    service: Service, texts: list[str]
) -> None:
    log = service.settings.home / "logs" / "killed.log"
    patient = service.settings.model_copy(update={"lease_seconds": 3600.0})
    worker = service.processes.start_worker(patient, queue=TEACH, log=log)
    job = service.submit(service.write("killed.parquet", texts[:40]))
    with service.worker():
        until(lambda: teachers_of(log), "a shard asks its teacher")
        (teacher,) = teachers_of(log)
        shown = subprocess.check_output(["ps", "-o", "ppid=", "-p", str(teacher)])
        os.kill(int(shown), signal.SIGKILL)
        job = service.wait(job, seconds=300)
    assert_every_row_once(service, job, keys("killed", 40))
    service.processes.stop(worker)


@pytest.mark.broker
def test_a_job_says_that_its_workers_are_at_retrainings_and_one_of_its_own_does_it(
    service: Service, texts: list[str]
) -> None:
    log = service.settings.home / "logs" / "teach.log"
    learning = service.processes.start(
        "retrain worker", slow_worker(service.settings), settings=service.settings, log=log
    )
    run = request_retrain(service.settings, service.client, "sport", "tests")
    until(lambda: find_run(service.client, run.id).state is RunState.RUNNING, "it is at a retraining")
    job = service.submit(service.write("late.parquet", texts[:40]))
    with service.worker():
        until(lambda: messages_waiting(service.client, TEACH), "shards wait for a teacher")

        def told() -> str:  # nothing, as long as whoever cut the job still holds it
            return waits_for(service.store.get(job.id), service.store.statistics) or ""

        until(told, "the job says what it waits for")
        assert re.search(rf"is at the retraining {run.id}, for \d+ min so far", told())
        assert "--queue teach starts one" in told()
        teaching = service.processes.start_worker(service.settings, queue=TEACH, log=log)
        assert waits_for(service.store.get(job.id), service.store.statistics) is None
        job = service.wait(job, seconds=300)
        assert find_run(service.client, run.id).state is RunState.RUNNING
        service.processes.stop(teaching)
    assert_every_row_once(service, job, keys("late", 40))
    cancel_retrain(service.settings, service.client, run.id)
    service.kill(learning)


@pytest.mark.broker
def test_without_a_teacher_a_job_fails_in_a_sentence_or_the_student_answers(
    untaught: Service, texts: list[str]
) -> None:
    with_cascade(Workspace(untaught.settings.home), "sport", 0.2, 0.8)
    with_cascade(Workspace(untaught.settings.home), "tech", 0.0, 2.0, on_no_teacher="student")
    path = untaught.write("alone.parquet", texts[:60])
    failing, going = untaught.submit(path), untaught.submit(path, tasks=["tech"])
    with untaught.worker():  # the scheduler sees that nobody comes, and what waits goes to this one
        untaught.wait(failing, seconds=300)
        untaught.wait(going, seconds=300)
    failed, done = untaught.store.get(failing.id), untaught.store.get(going.id)
    assert failed.status is JobStatus.FAILED
    assert "no worker of the queue teach or retrain has run" in str(failed.error)
    assert "sport" in str(failed.error)
    assert done.status is JobStatus.COMPLETED
    assert {row["tech_by"] for row in untaught.rows(done)} == {"unsure"}
    assert done.decided == {"tech": {"unsure": 60}}


@pytest.mark.broker
def test_a_transformer_of_the_version_needs_no_worker_that_has_a_teacher(
    untaught: Service, texts: list[str], tmp_path: Path
) -> None:
    needs_runtime()
    workspace = Workspace(untaught.settings.home)
    with_transformer_second(workspace, random_student(tmp_path / "model"), 0.0, 0.9)
    job = untaught.submit(untaught.write("second.parquet", texts[:60]), tasks=["topic"])
    assert waits_for(untaught.store.get(job.id), untaught.store.statistics) is None
    with untaught.worker():
        job = untaught.wait(job, seconds=300)
    assert_every_row_once(untaught, job, keys("second", 60))
    rows = untaught.rows(job)
    expected = Classifier.of(workspace, ["topic"]).classify(texts[:60])
    assert [row["topic"] for row in rows] == expected.column("topic").to_pylist()
    assert {row["topic_by"] for row in rows} == {"student", "transformer"}


@pytest.mark.broker
def test_that_no_teacher_can_be_had_is_no_rows_fault(untaught: Service, texts: list[str]) -> None:
    with_cascade(Workspace(untaught.settings.home), "sport", 0.0, 2.0)
    job = untaught.submit(untaught.write("careful.parquet", texts[:20]))
    assert untaught.store.claim(job.id, "plan", worker="", lease_seconds=600)
    job = job.model_copy(update={"shard_rows": 20, "shard_bytes": 1 << 20})
    teacher = TeacherProcess(untaught.settings)
    with (
        pytest.raises(UnavailableError, match="the teacher of task 'sport' cannot be had: teacher nowhere"),
        asking(teacher) as second,
    ):
        classify_isolated(untaught.settings, job, 0, "[[0, 0, 1]]", lambda: None, second=second)
    teacher.end()
    untaught.store.cancel(job.id)


@pytest.mark.broker
def test_a_shard_whose_rows_are_looked_at_one_by_one_asks_the_teacher_of_its_worker(
    untaught: Service, texts: list[str]
) -> None:
    with_cascade(Workspace(untaught.settings.home), "sport", 0.0, 2.0)
    job = untaught.submit(untaught.write("isolated.parquet", texts[:20]))
    assert untaught.store.claim(job.id, "plan", worker="", lease_seconds=600)
    job = job.model_copy(update={"shard_rows": 20, "shard_bytes": 1 << 20})
    asked: list[str] = []

    def second(pin: Pin, given: list[str]) -> list[str | None]:
        assert pin == job.pins[-1]
        asked.extend(given)
        return ["yes"] * len(given)

    classify_isolated(untaught.settings, job, 0, "[[0, 0, 1]]", lambda: None, second=second)
    rows = pq.read_table(untaught.folder(job) / "00000.parquet").to_pylist()
    assert asked == texts[:20]
    assert [(row["sport"], row["sport_by"]) for row in rows] == [("yes", "teacher")] * 20
    untaught.store.cancel(job.id)


@pytest.mark.broker
def test_shards_alone_go_to_a_teacher_while_one_can_be_had(untaught: Service, texts: list[str]) -> None:
    with_cascade(Workspace(untaught.settings.home), "sport", 0.2, 0.8)
    untaught.processes.stop(untaught.processes.latest("scheduler"))  # it would say who is there
    untaught.client.flushdb()
    messages = Messages()
    store = JobStore(untaught.client, messages)
    store.hear_teachers(True, wait_seconds=60)
    assert not store.no_teacher()
    job = untaught.submit(untaught.write("few.parquet", texts[:60]))
    plan = store.claim(job.id, "plan", worker="classify@a", lease_seconds=60)[0]
    assert plan.snapshot.asks_teacher
    assert store.shards_ready(plan, 0, ["", "", ""])
    published = [message for level in messages.levels for message in level]
    assert published
    assert all(message.taught and message.unit.isdecimal() for message in published)
    messages.clear()
    assert not store.hear_teachers(False, wait_seconds=60)
    assert store.hear_teachers(False, wait_seconds=-1)
    (claim,) = store.claim(job.id, published[0].unit, worker="classify@a", lease_seconds=60)
    store.release(claim, reason="a test", max_attempts=5)
    assert [message.taught for level in messages.levels for message in level] == [False]
    store.cancel(job.id)


def test_a_shard_counts_who_decided_its_rows(tmp_path: Path) -> None:
    job = Job(id="job-1", inputs=("a.csv",), columns=Columns(), pins=(ASKING,))
    columns = {"id": list("abcd"), "sport": ["yes", "no", None, "yes"], "sport_score": [0.9, 0.1, None, 0.4]}
    by = ["student", "teacher", None, "teacher"]  # a row that was not asked was decided by nobody
    batch = pa.RecordBatch.from_pydict({**columns, "sport_by": by})
    done = write_part(tmp_path, job, 0, batch.schema, iter([batch, batch]), BadRows(lambda: None))
    assert done.decided == {"sport": {"student": 2, "teacher": 4}}
    counts = json.loads(str(done.arguments(0.0)[2]))
    assert (counts["by:sport:student"], counts["by:sport:teacher"]) == (2, 4)


def test_the_messages_of_a_shard_may_go_to_another_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, object]] = []

    class Application:
        settings = None

        def send_task(self, task: str, **options: object) -> None:
            sent.append({"task": task, **options})

    monkeypatch.setattr("queue_worker.celery_app.broker_priority", lambda settings, level: level)
    send(Application(), "pingti.classify", "job-1", 3, queue=TEACH)
    send(Application(), "pingti.classify", "job-1", 3)
    assert [message["queue"] for message in sent] == ["teach", "classify"]
    assert json.dumps(sent[0]["args"]) == '["job-1", 3]'
