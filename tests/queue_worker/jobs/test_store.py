"""The job store on a real Valkey: states, leases, order of claims, and what survives."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pingti.corpus.reader import Columns
from pingti.errors import ConflictError, InputError, NotFoundError, UnavailableError
from pingti.inference.pins import Pin
from queue_worker.celery_app import connect
from queue_worker.jobs.models import FINALIZE, PLAN, Accepted, Claim, Done, Job, JobStatus, allowed_moves
from queue_worker.jobs.statistics import OwnerLoad
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import FileStamp, Settings
from tests.support.brokers import require_broker
from tests.support.messages import WORKER, Messages

pytestmark = pytest.mark.broker
PINS = (Pin(task="sport", scene="default", version=3, threshold=0.25),)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    require_broker()
    with Processes() as processes:
        yield processes.start_valkey(Settings(home=tmp_path_factory.mktemp("store")))


class Watched(JobStore):
    """A store with the messages that it has published."""

    def __init__(self, client: Any, window: int = 1000) -> None:
        self.messages = Messages()
        super().__init__(client, self.messages)
        self.set_window(window)

    def create(self, **changes: Any) -> Accepted:
        accepted = super().create(**changes)
        self.messages(accepted.messages)
        return accepted

    def take(self, seconds: float = 60) -> Claim | None:
        return self.messages.take(self, seconds)


@pytest.fixture
def store(server: Settings) -> Iterator[Watched]:
    with connect(server) as client:
        client.flushdb()
        yield Watched(client)


def create(store: JobStore, priority: int = 5, **changes: Any) -> Job:
    given = {"inputs": ["/a.csv"], "columns": Columns(text="t"), "pins": PINS, "metadata": {"who": "me"}}
    return store.create(**{**given, "priority": priority, "settings": Settings(), **changes}).job


def claim(store: Watched, seconds: float = 60) -> Claim:
    taken = store.take(seconds)
    assert taken is not None
    return taken


def expire(store: JobStore, most: int = 5) -> list[str]:
    """As if every worker that holds a lease had died long ago."""
    for name in store.client.hkeys("pingti:tokens"):
        store.client.zadd("pingti:out", {name: 0})
    return store.reap(max_attempts=most)


def plan(store: Watched, shards: int, *, total: int | None = None, failed: int = 0) -> None:
    planner = claim(store)
    assert planner.unit == PLAN
    rows = shards * 10 + failed if total is None else total
    assert store.planned(planner, shards=shards, total=rows, failed=failed, cut_input="input-x")


def test_a_job_is_read_as_it_was_written(store: Watched) -> None:
    job = create(store, 7)
    assert store.get(job.id) == job
    assert (job.priority, job.pins, job.columns) == (7, PINS, Columns(text="t"))
    assert job.metadata == {"who": "me"}
    assert job.status is JobStatus.QUEUED
    assert list(job.timestamps) == [JobStatus.QUEUED]
    with pytest.raises(NotFoundError, match="no job 'job-none'"):
        store.get("job-none")


def test_the_life_of_a_job(store: Watched) -> None:
    id = create(store).id
    first = claim(store)
    assert (first.job, first.unit, first.attempt) == (id, PLAN, 1)
    assert store.get(id).status is JobStatus.RUNNING
    assert store.planned(first, shards=2, total=25, failed=5, cut_input="input-x")
    shards = [claim(store), claim(store)]
    assert [each.unit for each in shards] == ["0", "1"]
    assert store.take() is None
    assert store.finish(shards[1], Done(rows=10))
    assert store.get(id).shards_done == 1
    assert store.finish(shards[0], Done(rows=10))  # the last one makes the finalize unit
    assert store.get(id).status is JobStatus.FINALIZING
    assert store.finished_shards(id) == {0, 1}
    last = claim(store)
    assert last.unit == FINALIZE
    assert store.close(last) is JobStatus.COMPLETED
    job = store.get(id)
    assert job.counts.model_dump() == {"total": 25, "completed": 20, "failed": 5}
    assert (job.shards_total, job.shards_done, job.cut_input) == (2, 2, "input-x")
    stamps = [job.timestamps[JobStatus(name)] for name in ("queued", "running", "finalizing", "completed")]
    assert stamps == sorted(stamps)
    assert len(job.timestamps) == 4
    assert sorted(store.client.scan_iter("pingti:job:*")) == [f"pingti:job:{id}"]  # no unit's keys remain


def test_a_job_without_good_rows_goes_straight_to_its_end(store: Watched) -> None:
    id = create(store).id
    plan(store, 0, failed=3)
    assert store.get(id).status is JobStatus.FINALIZING
    assert store.close(claim(store)) is JobStatus.COMPLETED


def test_a_finished_shard_cannot_be_finished_again(store: Watched) -> None:
    id = create(store).id
    plan(store, 2)
    shard = claim(store)
    assert store.finish(shard, Done(rows=10))
    assert not store.finish(shard, Done(rows=10))
    assert not store.release(shard, reason="late", max_attempts=1)
    assert not store.give_up(shard, reason="late")
    job = store.get(id)
    assert (job.counts.completed, job.shards_done, job.status) == (10, 1, JobStatus.RUNNING)


def test_a_worker_that_wakes_after_its_lease_is_refused(store: Watched) -> None:
    id = create(store).id
    plan(store, 1)
    paused = claim(store)
    assert expire(store) == [f"{id}/0"]
    assert store.beat(paused, lease_seconds=60) == "lost"
    other = claim(store)
    assert (other.unit, other.attempt) == ("0", 2)
    assert not store.finish(paused, Done(rows=10))
    assert store.beat(other, lease_seconds=60) == "held"
    assert store.finish(other, Done(rows=10))
    assert store.get(id).counts.completed == 10


def test_a_renewed_lease_is_not_reaped(store: Watched) -> None:
    create(store)
    plan(store, 1)
    shard = claim(store, 0.001)
    time.sleep(0.01)
    assert store.beat(shard, lease_seconds=60) == "held"
    assert store.reap(max_attempts=5) == []


def test_the_same_shard_fails_its_job_after_so_many_attempts(store: Watched) -> None:
    id = create(store).id
    plan(store, 3)
    assert store.finish(claim(store), Done(rows=10))
    assert store.release(claim(store), reason="unit 1: bad luck", max_attempts=2)
    other, again = claim(store), claim(store)
    assert (other.unit, again.unit, again.attempt) == ("2", "1", 2)  # its message is the newer one
    assert store.release(again, reason="unit 1: bad luck", max_attempts=2)
    assert store.get(id).status is JobStatus.RUNNING
    assert store.release(other, reason="unit 2: late", max_attempts=2)  # not again: the job has failed
    assert store.get(id).status is JobStatus.FINALIZING
    assert store.close(claim(store)) is JobStatus.FAILED
    job = store.get(id)
    assert job.error == "unit 1: bad luck (2 attempts)"
    assert job.counts.completed == 10  # what was finished is kept


def test_a_failing_job_waits_for_what_still_runs(store: Watched) -> None:
    id = create(store).id
    plan(store, 4)
    bad, good, lost = claim(store), claim(store), claim(store)
    assert store.give_up(bad, reason="unit 0: broken")
    assert store.get(id).status is JobStatus.RUNNING
    assert store.finish(good, Done(rows=10))
    assert store.release(lost, reason="unit 2: also", max_attempts=5)  # not again: the job has failed
    last = claim(store)
    assert last.unit == FINALIZE
    assert store.close(last) is JobStatus.FAILED
    assert (store.get(id).error, store.get(id).counts.completed) == ("unit 0: broken", 10)


def test_a_cancelled_job_does_not_try_again(store: Watched) -> None:
    id = create(store).id
    plan(store, 3)
    first, second = claim(store), claim(store)
    store.cancel(id)
    assert store.release(first, reason="unit 0: luck", max_attempts=5)
    assert expire(store) == [f"{id}/1"]
    assert not store.finish(second, Done(rows=10))
    last = claim(store)
    assert last.unit == FINALIZE
    assert store.take() is None
    assert store.close(last) is JobStatus.CANCELLED


def test_workers_that_die_over_a_unit_fail_its_job_too(store: Watched) -> None:
    id = create(store).id
    for _ in range(3):
        assert claim(store).unit == PLAN
        expire(store, most=3)
    job = store.get(id)
    assert job.status is JobStatus.FAILED
    assert job.error == "unit plan: the worker that had it stopped answering (3 attempts)"


def test_a_plan_that_can_never_succeed_fails_its_job(store: Watched) -> None:
    id = create(store).id
    assert store.give_up(claim(store), reason="a.csv: gone")
    assert (store.get(id).status, store.get(id).error) == (JobStatus.FAILED, "a.csv: gone")
    assert store.take() is None


def test_cancelling(store: Watched) -> None:
    waiting = create(store).id
    assert store.cancel(waiting).status is JobStatus.CANCELLED
    assert store.take() is None

    running = create(store).id
    plan(store, 3)
    shard = claim(store)
    assert store.cancel(running).status is JobStatus.CANCELLING
    assert store.cancel(running).status is JobStatus.CANCELLING
    assert store.beat(shard, lease_seconds=60) == "cancelling"
    assert store.take() is None  # nothing new starts
    assert store.finish(shard, Done(rows=10))
    assert store.close(claim(store)) is JobStatus.CANCELLED
    assert store.get(running).counts.completed == 10

    done = create(store).id
    plan(store, 0)
    assert store.close(claim(store)) is JobStatus.COMPLETED
    with pytest.raises(ConflictError, match="is completed; only a job that is queued or running"):
        store.cancel(done)
    with pytest.raises(NotFoundError):
        store.cancel("job-none")


def test_urgent_jobs_first_and_turns_among_equals(store: Watched) -> None:
    big, small, urgent = (create(store, priority) for priority in (9, 9, 0))
    names = {big.id: "big", small.id: "small", urgent.id: "urgent"}
    order = []
    store.set_window(2)
    plans = [claim(store) for _ in range(3)]
    assert [names[each.job] for each in plans] == ["urgent", "big", "small"]
    for each, shards in zip(plans, (1, 3, 2), strict=True):
        store.planned(each, shards=shards, total=0, failed=0, cut_input="x")
    assert store.statistics.waiting() == (1, 0, 0, 0, 0, 0, 0, 0, 0, 5)
    while (taken := store.take()) is not None:
        if taken.unit != FINALIZE:
            order.append(names[taken.job])
            store.finish(taken, Done(rows=10))
    # Rivals share the window; each shard that is finished brings the next to the end of the line.
    assert order == ["urgent", "big", "big", "small", "big", "small"]


def test_pages_are_newest_first(store: Watched) -> None:
    ids = [create(store).id for _ in range(5)]
    seen, after = [], None
    for _ in range(3):
        page, after = store.list_jobs(after=after, limit=2)
        seen += [job.id for job in page]
    assert seen == ids[::-1]
    assert after is None
    assert store.list_jobs(limit=5)[1] is None


def test_an_idempotency_key_makes_one_job(store: Watched) -> None:
    job = create(store, idempotency_key="k", fingerprint="f")
    again = store.create(
        inputs=["/b.csv"],
        columns=Columns(),
        pins=PINS,
        priority=1,
        metadata={},
        settings=Settings(),
        idempotency_key="k",
        fingerprint="f",
    )
    assert (again.job.id, again.new, again.messages) == (job.id, False, ())
    assert store.find_idempotent("k", "f") == job
    assert store.find_idempotent("k", "e f") == job  # one of the words is enough
    assert create(store, idempotency_key="k", fingerprint="e f").id == job.id
    assert store.find_idempotent("other", "f") is None
    for attempt in (
        lambda: create(store, idempotency_key="k", fingerprint="g"),
        lambda: store.find_idempotent("k", "g"),
    ):
        with pytest.raises(InputError, match="idempotency key 'k' was used for another request"):
            attempt()
    assert len(store.list_jobs()[0]) == 1


def test_no_job_is_accepted_where_it_could_be_lost(store: Watched) -> None:
    store.client.config_set("appendonly", "no")
    try:
        with pytest.raises(UnavailableError, match="keeps no append-only file"):
            create(store)
        assert store.list_jobs()[0] == []
        assert create(store, settings=Settings(durable=False)).status is JobStatus.QUEUED
    finally:
        store.client.config_set("appendonly", "yes")


def test_accepted_jobs_and_their_work_survive_a_killed_server(tmp_path: Any) -> None:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=tmp_path))
        with connect(settings) as client:
            store = Watched(client)
            jobs = [create(store, min(number, 9), idempotency_key=f"k{number}") for number in range(20)]
            plan(store, 2)  # of the first, the most urgent
            assert store.finish(claim(store), Done(rows=10))
            before = [store.get(job.id) for job in jobs]
            os.kill(client.info("server")["process_id"], signal.SIGKILL)
            port = int(str(settings.redis_url).rpartition(":")[2].removesuffix("/0"))
            processes.start_valkey(Settings(home=tmp_path), port=port)
            assert [store.get(job.id) for job in jobs] == before
            assert store.find_idempotent("k7", "") == jobs[7]
            assert sum(store.statistics.waiting()) == 20  # 19 plans, one shard
            assert [claim(store).job for _ in range(2)] == [jobs[0].id, jobs[1].id]


def test_every_unit_is_claimed_once_by_many_threads(store: Watched) -> None:
    ids = [create(store).id for _ in range(4)]
    for _ in ids:
        plan(store, 50)

    def worker(_: int) -> tuple[list[Claim], int]:
        mine, finals = [], 0
        while (taken := store.take()) is not None:
            if taken.unit == FINALIZE:
                finals += store.close(taken) is not None
                continue
            mine.append(taken)
            assert store.finish(taken, Done(rows=10))
        return mine, finals

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(worker, range(8)))
    claims = [each for mine, _ in outcomes for each in mine]
    assert len(claims) == len({(each.job, each.unit) for each in claims}) == 200
    finals = sum(count for _, count in outcomes)
    while (left := store.take()) is not None:
        finals += store.close(left) is not None
    assert finals == 4  # one finalize unit a job, made by the last shard
    assert {store.get(id).status for id in ids} == {JobStatus.COMPLETED}
    assert {store.get(id).counts.completed for id in ids} == {500}


def test_the_allowed_moves() -> None:
    ends = {status for status in JobStatus if status.final}
    assert ends == {JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED}
    assert JobStatus.RUNNING not in allowed_moves(JobStatus.FINALIZING)
    assert allowed_moves(JobStatus.QUEUED) == {JobStatus.RUNNING, JobStatus.CANCELLED}


def finish(store: Watched, shards: int, *, failed: int = 0) -> None:
    """Take one job from its plan to its end."""
    plan(store, shards, failed=failed)
    for _ in range(shards):
        store.finish(
            claim(store),
            Done(
                rows=10,
                seconds=0.3,
                tasks={"sport": 10, "tech": 4},
                decided={"tech": {"teacher": 1, "student": 3}},
            ),
        )
    store.close(claim(store))


def test_jobs_that_ask_a_teacher_are_counted_until_they_end(store: Watched) -> None:
    asking = (replace(PINS[0], second="teacher", unsure_from=0.2, unsure_below=0.4, on_no_second="fail"),)
    create(store)
    first, cancelled, second = (create(store, pins=asking) for _ in range(3))
    assert store.statistics.teacher_jobs() == 3
    store.cancel(cancelled.id)
    store.cancel(cancelled.id)
    assert store.statistics.teacher_jobs() == 2
    for job in (first, second):
        (plan_claim,) = store.claim(job.id, PLAN, worker=WORKER, lease_seconds=60)
        store.give_up(plan_claim, reason="gone")
    assert store.statistics.teacher_jobs() == 0


def test_the_totals_only_grow(store: Watched) -> None:
    assert store.statistics.totals().jobs_ended == {}
    create(store)
    finish(store, 2, failed=3)
    create(store)
    store.release(claim(store), reason="luck", max_attempts=5)
    store.give_up(claim(store), reason="gone")
    totals = store.statistics.totals()
    assert (totals.rows, totals.failed_rows, totals.label_scores) == (20, 3, 28)
    assert totals.rows_by_task == {"sport": 20, "tech": 8}
    assert totals.rows_by_teacher == {"tech": 2}
    assert (totals.shards, totals.shard_seconds, totals.retries) == (2, 0.6, 1)
    assert totals.shard_buckets[0.5] == 2 == sum(totals.shard_buckets.values())
    assert (totals.jobs_accepted, totals.jobs_ended) == (2, {"completed": 1, "failed": 1})


def test_what_an_owner_has_in_the_queue(store: Watched) -> None:
    create(store, owner="a", rows=100)
    create(store, owner="a")
    create(store, owner="b", rows=7)
    assert store.statistics.load_of("a") == OwnerLoad(jobs=2, rows=100)
    plan(store, 3, total=32, failed=2)  # it tells what was only guessed
    assert store.statistics.load_of("a") == OwnerLoad(jobs=2, rows=30)
    plan(store, 1)
    plan(store, 0)
    assert store.statistics.load_of("a") == OwnerLoad(jobs=2, rows=40)
    store.finish(claim(store), Done(rows=9, failed=1))
    assert store.statistics.load_of("a") == OwnerLoad(jobs=2, rows=30)
    for job in store.list_jobs(owner="a")[0]:
        store.cancel(job.id)
    store.close(claim(store))  # of b
    store.close(claim(store))
    store.close(claim(store))
    assert (
        store.statistics.load_of("a")
        == store.statistics.load_of("b")
        == store.statistics.load_of("none")
        == OwnerLoad(jobs=0, rows=0)
    )


def test_a_callback_is_due_when_its_job_ends(store: Watched) -> None:
    ended = create(store, callback="http://example.org/a")
    finish(store, 1)
    create(store)  # without one
    finish(store, 1)
    waiting = create(store, callback="http://example.org/b")
    assert store.client.zrange("pingti:callbacks", 0, -1) == [ended.id]
    store.cancel(waiting.id)
    assert store.client.zrange("pingti:callbacks", 0, -1) == [ended.id, waiting.id]
    at = store.get(ended.id).timestamps[JobStatus.COMPLETED]
    assert store.client.zscore("pingti:callbacks", ended.id) == pytest.approx(at * 1000, abs=5)


def test_depths_and_places(store: Watched) -> None:
    low, high, last = create(store, 9), create(store, 2), create(store, 9)
    assert [store.look(job.id)[1] for job in (high, low, last)] == [0, 1, 2]
    depths = store.statistics.depths()
    assert [(depth.units, depth.jobs) for depth in depths if depth.units] == [(1, 1), (2, 2)]
    assert 0 < depths[9].oldest_seconds < 60
    assert depths[5].oldest_seconds == 0
    claim(store)
    assert store.look(high.id) == (store.get(high.id), None)
    with pytest.raises(NotFoundError, match="job-none"):
        store.look("job-none")
    assert store.look(low.id) == (store.get(low.id), 0)


def test_jobs_are_listed_by_what_they_are(store: Watched) -> None:
    first = create(store, 1, owner="a")
    time.sleep(0.02)
    others = [create(store, 4) for _ in range(250)]
    second = create(store, 1, pins=(Pin(task="tech", scene="default", version=1, threshold=0.5),))

    def listed(limit: int = 20, **filters: Any) -> list[str]:
        ids: list[str] = []
        after = None
        while True:
            page, after = store.list_jobs(after=after, limit=limit, **filters)
            assert len(page) <= limit
            ids += [job.id for job in page]
            if after is None:
                return ids

    assert listed(priority=1) == listed(1, priority=1) == [second.id, first.id]
    assert listed(task="tech") == [second.id]
    assert listed(owner="a") == [first.id]
    assert len(listed(task="sport")) == 251
    started = claim(store).job
    assert listed(status=JobStatus.RUNNING) == [started] == [first.id]
    assert len(listed(100, status=JobStatus.QUEUED)) == 251
    then = int(others[0].id.removeprefix("job-")[:14], 16) / 1e6  # jobs are looked up by their ids' times
    assert listed(submitted_before=then - 0.001) == [first.id]
    assert listed(submitted_after=then - 0.001, priority=1) == [second.id]
    assert listed(submitted_after=then + 60) == []


def test_a_page_looks_at_a_bounded_number_of_jobs(store: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queue_worker.jobs.store._LOOKED_AT", 2)
    monkeypatch.setattr("queue_worker.jobs.store._MOST_LOOKED_AT", 4)
    first = create(store, 1)
    for _ in range(9):
        create(store)
    pages = []
    after: str | None = None
    while True:
        page, after = store.list_jobs(after=after, priority=1)
        pages.append([job.id for job in page])
        if after is None:
            break
    assert pages == [[], [], [first.id]]


def test_deleting(store: Watched) -> None:
    running = create(store, idempotency_key="k", callback="http://example.org/")
    with pytest.raises(ConflictError, match="is queued; only a job that has ended can be deleted"):
        store.delete(running.id)
    finish(store, 1)
    store.delete(running.id)
    with pytest.raises(NotFoundError):
        store.get(running.id)
    with pytest.raises(NotFoundError):
        store.delete(running.id)
    assert store.list_jobs()[0] == store.list_jobs(status=JobStatus.COMPLETED)[0] == []
    assert store.find_idempotent("k", "") is None
    assert sorted(store.client.keys("pingti:*")) == ["pingti:totals", "pingti:waiting", "pingti:window"]


def test_each_owner_has_idempotency_keys_of_its_own(store: Watched) -> None:
    one = create(store, idempotency_key="k", owner="a")
    other = create(store, idempotency_key="k", owner="b")
    assert one.id != other.id
    assert store.find_idempotent("k", "", owner="b") == other
    assert store.find_idempotent("k", "") is None


def test_workers_tell_their_load(store: Watched) -> None:
    told = {"threads": 2, "busy": 1, "rows_per_second": 1234.5, "memory_bytes": 10**9}
    store.statistics.present("classify@a-1", told)
    store.statistics.present("classify@a-2")
    one, two = store.statistics.worker_loads()
    assert (one.name, one.threads, one.busy, one.rows_per_second) == ("classify@a-1", 2, 1, 1234.5)
    assert one.memory_bytes == 10**9
    assert 0 <= one.heard_seconds < 10
    assert (two.name, two.threads) == ("classify@a-2", 0)
    assert store.statistics.worker_loads(seconds=-60) == ()


def test_a_job_has_a_window_of_messages(store: Watched) -> None:
    store.set_window(3)
    id = create(store).id
    planner = claim(store)
    assert store.shards_ready(planner, 0, [""] * 5)
    assert [message.unit for message in store.messages.levels[5]] == ["0", "1"]  # the plan is out, too
    assert store.planned(planner, shards=10, total=100, failed=0, cut_input="x")
    assert [message.unit for message in store.messages.levels[5]] == ["0", "1", "2"]
    assert store.statistics.waiting()[5] == 10
    first, second = claim(store), claim(store)
    assert len(store.messages) == 1
    assert store.release(second, reason="luck", max_attempts=5)
    assert store.finish(first, Done(rows=10))
    tasks = [message.task_id for message in store.messages.levels[5]]
    assert tasks == [f"{id}/2/1", f"{id}/1/2", f"{id}/3/1"]
    store.set_window(5)
    assert store.finish(claim(store), Done(rows=10))
    assert [message.unit for message in store.messages.levels[5]] == ["1", "3", "4", "5", "6"]


def test_a_message_that_comes_twice_finds_nothing(store: Watched) -> None:
    id = create(store).id
    message = store.messages.levels[5][0]
    store.messages([message, message])
    planner = claim(store)
    assert store.take() is None  # somebody has it
    store.planned(planner, shards=1, total=10, failed=0, cut_input="x")
    store.messages([message])
    shard = claim(store)
    assert shard.unit == "0"
    assert store.finish(shard, Done(rows=10))
    assert store.claim(id, "0", worker=WORKER, lease_seconds=60) == ()  # it is over
    assert store.claim("job-none", "0", worker=WORKER, lease_seconds=60) == ()


def test_the_worker_of_each_running_shard_is_known(store: Watched) -> None:
    id = create(store).id
    assert store.workers_of(id) == {}
    plan(store, 12)
    shards = [claim(store) for _ in range(11)]
    assert store.workers_of(id) == {str(number): WORKER for number in range(11)}
    assert list(store.workers_of(id)) == [str(number) for number in range(11)]
    store.finish(shards[3], Done(rows=10))
    expire(store)
    assert store.workers_of(id) == {}


def test_a_lost_message_is_published_again(store: Watched) -> None:
    lost, waits = create(store).id, create(store).id
    store.messages.levels[5].popleft()  # the broker forgot it
    for unit in (f"{lost}/plan", f"{waits}/plan"):
        store.client.zadd("pingti:out", {unit: 0}, xx=True)  # as if some seconds had passed
    assert store.reap(max_attempts=5, oldest=store.messages.oldest()) == []
    assert [message.id for message in store.messages.levels[5]] == [waits, lost]
    assert store.client.zscore("pingti:out", f"{waits}/plan") > 0  # looked at again later
    assert store.reap(max_attempts=5, oldest=store.messages.oldest()) == []
    assert len(store.messages) == 2
    assert [claim(store).attempt for _ in range(2)] == [1, 1]


def test_small_jobs_are_taken_together(store: Watched) -> None:
    small = {"stamps": [FileStamp(size=10, mtime_ns=0, inode=0)]}
    ids = [create(store, **changes).id for changes in (small, small, {}, small)]
    other = create(store, 9, **small).id
    claims = store.claim(ids[0], PLAN, worker=WORKER, lease_seconds=60, most=10)
    assert [claim.job for claim in claims] == [ids[0], ids[1], ids[3]]  # of no less urgent lines
    assert store.finish_all([(claim, Done(rows=10, failed=1)) for claim in claims]) == [True] * 3
    job = store.get(ids[0])
    assert (job.status, job.counts.total, job.counts.completed) == (JobStatus.COMPLETED, 11, 10)
    assert list(job.timestamps) == ["queued", "running", "finalizing", "completed"]
    assert store.claim(ids[1], PLAN, worker=WORKER, lease_seconds=60, most=10) == ()  # its message
    (large,) = store.claim(ids[2], PLAN, worker=WORKER, lease_seconds=60, most=10)
    assert large.job == ids[2]
    (last,) = store.claim(other, PLAN, worker=WORKER, lease_seconds=60, most=10)
    store.release(last, reason="luck", max_attempts=5)
    create(store, **small)
    (again,) = store.claim(other, PLAN, worker=WORKER, lease_seconds=60, most=10)
    assert again.attempt == 2  # the next attempts at one, or others: never together with it
    store.cancel(other)
    assert store.finish(again, Done(rows=10))
    assert store.get(other).status is JobStatus.CANCELLING
    assert claim(store).unit == PLAN
    assert claim(store).unit == FINALIZE  # a manifest of what was cancelled is due


def test_no_more_small_jobs_are_taken_than_are_wanted(store: Watched) -> None:
    small = {"stamps": [FileStamp(size=10, mtime_ns=0, inode=0)]}
    ids = [create(store, **small).id for _ in range(5)]
    assert [claim.job for claim in store.claim(ids[3], PLAN, worker=WORKER, lease_seconds=60, most=3)] == [
        ids[3],
        ids[0],
        ids[1],
    ]
    (alone,) = store.claim(ids[2], PLAN, worker=WORKER, lease_seconds=60)
    assert alone.job == ids[2]


def test_shards_can_be_worked_on_before_all_are_cut(store: Watched) -> None:
    id = create(store).id
    planner = claim(store)
    assert store.fix_size(planner, 500, 9000) == (500, 9000)
    assert store.shards_ready(planner, 0, ["", "there"])
    first = claim(store)
    assert (first.unit, first.source, store.get(id).shards_ready) == ("0", None, 2)
    assert store.finish(first, Done(rows=10))
    expire(store)
    second, planner = claim(store), claim(store)
    assert (second.unit, planner.unit, planner.attempt) == ("1", PLAN, 2)
    assert planner.snapshot.shards_ready == 2  # it starts again, from the front
    assert store.fix_size(planner, 700, 1000) == (500, 9000)
    assert store.shards_ready(planner, 0, ["", "there"])
    assert store.shards_ready(planner, 2, [""])
    assert store.planned(planner, shards=3, total=30, failed=0, cut_input="x")
    units = [second, claim(store)]
    assert [(each.unit, each.source) for each in units] == [("1", "there"), ("2", None)]
    for each in units:
        store.finish(each, Done(rows=10))
    assert store.close(claim(store)) is JobStatus.COMPLETED
    assert store.get(id).counts.completed == 30


def test_sources_can_come_with_the_end_of_the_plan(store: Watched) -> None:
    create(store)
    store.planned(claim(store), shards=2, total=20, failed=0, cut_input="x", sources=["a", "b"])
    assert [(each.unit, each.source) for each in (claim(store), claim(store))] == [("0", "a"), ("1", "b")]


def test_a_shard_that_fails_while_the_rest_is_cut(store: Watched) -> None:
    id = create(store).id
    planner = claim(store)
    store.shards_ready(planner, 0, ["", ""])
    assert store.give_up(claim(store), reason="a.csv: changed")
    assert store.shards_ready(planner, 2, [""])
    assert store.take() is None
    assert store.release(planner, reason="unit plan: also", max_attempts=5)
    assert store.close(claim(store)) is JobStatus.FAILED
    assert store.get(id).error == "a.csv: changed"


class Story(RuleBasedStateMachine):
    """Any order of workers' steps, deaths, awakenings and cancellations."""

    store: Watched  # set by the test

    def __init__(self) -> None:
        super().__init__()
        self.store.client.flushdb()
        self.store.messages.clear()
        self.store.set_window(3)
        self.jobs: dict[str, Job] = {}
        self.claims: list[Claim] = []  # every claim ever made: old ones are zombies

    @precondition(lambda self: len(self.jobs) < 3)
    @rule(priority=st.integers(0, 9))
    def submitted(self, priority: int) -> None:
        job = create(
            self.store, priority, settings=Settings(durable=False), owner="team", callback="http://team/"
        )
        self.jobs[job.id] = job

    @rule(times=st.integers(1, 3))
    def claimed(self, times: int) -> None:
        for _ in range(times):
            taken = self.store.take()
            if taken is not None:
                self.claims.append(taken)

    @rule()
    def messages_lost(self) -> None:
        """All that the broker has; the reaper looks at what nobody has."""
        self.store.messages.clear()
        self.look()

    def look(self) -> None:
        for name in self.store.client.zrange("pingti:out", 0, -1):
            if not self.store.client.hexists("pingti:tokens", name):
                self.store.client.zadd("pingti:out", {name: 0})
        self.store.reap(max_attempts=3, oldest=self.store.messages.oldest())

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), shards=st.integers(0, 4))
    def worked(self, data: st.DataObject, shards: int) -> None:
        self.succeed(self.one(data), shards)

    def one(self, data: st.DataObject) -> Claim:
        """Mostly one of the last claims; else the chance that it is a zombie's grows with the story."""
        return data.draw(st.sampled_from(self.claims[-4:]) | st.sampled_from(self.claims))

    def succeed(self, each: Claim, shards: int) -> None:
        if each.unit == PLAN:
            self.store.planned(each, shards=shards, total=10 * shards, failed=0, cut_input="x")
        elif each.unit == FINALIZE:
            self.store.close(each)
        else:
            self.store.finish(each, Done(rows=10))

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), forever=st.booleans())
    def failed(self, data: st.DataObject, forever: bool) -> None:
        each = self.one(data)
        if forever:
            self.store.give_up(each, reason="never")
        else:
            self.store.release(each, reason="luck", max_attempts=3)

    @rule()
    def all_workers_died(self) -> None:
        expire(self.store, most=3)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancelled(self, data: st.DataObject) -> None:
        with contextlib.suppress(ConflictError):
            self.store.cancel(data.draw(st.sampled_from(sorted(self.jobs))))

    @invariant()
    def each_job_moved_as_allowed(self) -> None:
        for id, before in self.jobs.items():
            now = self.store.get(id)
            if now.status is not before.status:
                assert now.status in allowed_moves(before.status)
            assert set(before.timestamps) <= set(now.timestamps)
            self.jobs[id] = now

    @invariant()
    def each_unit_is_in_one_place(self) -> None:
        client = self.store.client
        out = dict(client.zrange("pingti:out", 0, -1, withscores=True))
        held = client.hkeys("pingti:tokens")
        assert set(held) <= set(out)
        units = [0] * 10
        ready = {id for level in range(10) for id in client.zrange(f"pingti:ready:{level}", 0, -1)}
        for id, job in self.jobs.items():
            mine = set(client.hkeys(f"pingti:job:{id}:out"))
            working = set(client.hkeys(f"pingti:job:{id}:held"))
            done = client.smembers(f"pingti:job:{id}:done")
            assert mine == {name.partition("/")[2] for name in out if name.startswith(id)}
            assert working == {name.partition("/")[2] for name in held if name.startswith(id)}
            assert not mine & done
            fields = client.hgetall(f"pingti:job:{id}")
            unpublished = int(fields.get("shards_cut", 0)) - int(fields.get("published", 0))
            waiting = len(mine - working)
            if job.status is JobStatus.RUNNING and job.error is None:
                waiting += unpublished
                if job.shards_total is not None:
                    shards = {str(number) for number in range(job.shards_total - unpublished)}
                    assert mine | done == shards  # none is lost
                    assert mine or not unpublished
            assert int(fields["waiting"]) == waiting
            assert (id in ready) == bool(waiting)
            units[job.priority] += waiting
            if FINALIZE in mine:
                assert mine == {FINALIZE}  # it comes when nothing else runs or will run
            if not job.status.final:
                assert mine  # there is always a next step
            else:
                assert not mine

        assert list(self.store.statistics.waiting()) == units
        owned = [job for job in self.jobs.values() if not job.status.final]
        load = self.store.statistics.load_of("team")
        assert load.jobs == len(owned)
        known = [job for job in owned if job.shards_total is not None]
        assert load.rows == sum(job.counts.total - job.counts.completed - job.counts.failed for job in known)
        ended = {id for id, job in self.jobs.items() if job.status.final}
        assert set(client.zrange("pingti:callbacks", 0, -1)) == ended

    def teardown(self) -> None:
        """Healthy workers from here on: every job ends, and a completed one has all its rows."""
        expire(self.store, most=100)
        self.look()
        for _ in range(1000):
            taken = self.store.take()
            if taken is None:
                break
            self.succeed(taken, 2)
        for id in self.jobs:
            job = self.store.get(id)
            assert job.status.final
            assert job.counts.completed == 10 * job.shards_done
            if job.status is JobStatus.COMPLETED:
                assert job.shards_done == job.shards_total
                assert job.counts.completed == job.counts.total


def test_no_order_of_events_loses_or_doubles_work(store: Watched) -> None:
    class Bound(Story):
        pass

    Bound.store = store
    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
