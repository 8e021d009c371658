"""The order of work: strict levels, ageing, turns within a level. Waiting is counted in units.

Messages are taken as the broker gives them: the most urgent list first, the oldest of a list first.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from pingti.corpus.reader import Columns
from pingti.inference.pins import Pin
from queue_worker.celery_app import connect
from queue_worker.jobs.models import FINALIZE, PLAN, Claim, Done, Job
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import FileStamp, Settings
from tests.support.brokers import require_broker
from tests.support.messages import Messages

pytestmark = pytest.mark.broker
PINS = (Pin(task="sport", scene="default", version=1, threshold=0.5),)
HOUR = 3_600_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    require_broker()
    with Processes() as processes:
        yield processes.start_valkey(Settings(home=tmp_path_factory.mktemp("priorities")))


class Queue(JobStore):
    """A store with the messages that it has published; as two threads have it."""

    def __init__(self, client: Any) -> None:
        self.messages = Messages()
        super().__init__(client, self.messages)
        self.set_window(3)

    def take(self) -> Claim | None:
        return self.messages.take(self, 600)

    def look(self) -> None:
        """The reaper, as if some seconds had passed."""
        for name in self.client.zrange("pingti:out", 0, -1):
            if not self.client.hexists("pingti:tokens", name):
                self.client.zadd("pingti:out", {name: 0})
        self.reap(max_attempts=5, oldest=self.messages.oldest())


@pytest.fixture
def store(server: Settings) -> Iterator[Queue]:
    with connect(server) as client:
        client.flushdb()
        yield Queue(client)


def create(store: Queue, priority: int, **changes: Any) -> Job:
    settings = Settings(durable=False, ageing_minutes=60)
    given = {"inputs": ["/a.csv"], "columns": Columns(), "pins": PINS, "metadata": {}, "settings": settings}
    accepted = store.create(**{**given, "priority": priority, **changes})
    store.messages(accepted.messages)
    return accepted.job


def take(store: Queue) -> Claim:
    claim = store.take()
    assert claim is not None
    return claim


def end(store: Queue, claim: Claim, shards: int) -> None:
    """What a worker tells when it has done a unit."""
    if claim.unit == PLAN:
        store.planned(claim, shards=shards, total=10 * shards, failed=0, cut_input="x")
    elif claim.unit == FINALIZE:
        store.close(claim)
    else:
        store.finish(claim, Done(rows=10))


def wait_hours(store: Queue, job: Job, hours: float) -> None:
    """As if the job had been accepted so much earlier; the reaper has looked since."""
    store.client.hincrbyfloat(f"pingti:job:{job.id}", "at:queued", -hours * HOUR / 1000)
    store.look()


def test_an_urgent_job_starts_within_one_shard_of_a_thousand(store: Queue) -> None:
    low = create(store, 9)
    end(store, take(store), 1000)
    running = [take(store), take(store)]  # both threads are busy with it
    assert store.statistics.waiting()[9] == 998
    urgent = create(store, 0)
    end(store, running[0], 0)
    plan = take(store)
    assert plan.job == urgent.id  # the first thread that is free
    end(store, plan, 2)
    end(store, running[1], 0)
    shards = [take(store), take(store)]
    assert {each.job for each in shards} == {urgent.id}
    for each in shards:
        end(store, each, 0)
    last = take(store)
    assert last.unit == FINALIZE
    end(store, last, 0)
    assert store.get(urgent.id).status.final
    assert store.get(low.id).shards_done == 2
    assert take(store).job == low.id


def test_waiting_under_a_mixed_load(store: Queue) -> None:
    """Two big jobs in the background; small ones of three levels come every few units, on one thread."""
    store.set_window(2)  # of one thread
    shards: dict[str, int] = {}
    levels: dict[str, int] = {}
    done: Counter[int] = Counter()  # units by level
    accepted: dict[str, Counter[int]] = {}
    rivals: dict[str, int] = {}
    waited: dict[str, Counter[int]] = {}

    def submit(level: int, count: int) -> None:
        job = create(store, level, settings=Settings(durable=False, ageing_minutes=0))
        rivals[job.id] = sum(not store.get(id).status.final for id, other in levels.items() if other == level)
        shards[job.id], levels[job.id], accepted[job.id] = count, level, done.copy()

    submit(9, 300)
    submit(9, 300)
    arrivals = {10 * n: (0, 1) for n in range(1, 30)} | {10 * n + 5: (5, 4) for n in range(1, 30)}
    arrivals |= {50 * n + 7: (9, 1) for n in range(1, 6)}
    while (claim := store.take()) is not None:
        if sum(done.values()) in arrivals:  # while this unit is worked on
            submit(*arrivals[sum(done.values())])
        if claim.unit == PLAN:
            waited[claim.job] = done - accepted[claim.job]
        done[levels[claim.job]] += 1
        end(store, claim, shards[claim.job])
    assert all(store.get(id).status.final for id in shards)
    for id, before in waited.items():
        level = levels[id]
        # Of less urgent work only the unit that ran already; of its own level the window of each job there.
        assert sum(units for other, units in before.items() if other > level) <= 1
        assert before[level] <= rivals[id] + 1
    urgent = [sum(before.values()) for id, before in waited.items() if levels[id] == 0]
    assert len(urgent) == 29
    assert max(urgent) == 1
    assert max(rivals.values()) >= 2


def test_jobs_of_one_level_take_turns_from_their_first_unit(store: Queue) -> None:
    store.set_window(2)
    jobs = [create(store, 5) for _ in range(3)]
    names = {job.id: name for job, name in zip(jobs, "abc", strict=True)}
    plans = [take(store) for _ in jobs]
    for plan, count in zip(plans, (6, 2, 3), strict=True):
        end(store, plan, count)
    order = ""
    while store.statistics.waiting()[5]:
        claim = take(store)
        if claim.unit != FINALIZE:
            order += names[claim.job]
        end(store, claim, 0)
    assert order == "aabcabcacaa"  # one of each, but of the first before there were rivals
    late = create(store, 5)
    end(store, take(store), 1)
    assert take(store).job == late.id


def test_a_waiting_job_rises(store: Queue) -> None:
    old, fresh, urgent = create(store, 6), create(store, 4), create(store, 0)
    assert take(store).job == urgent.id
    wait_hours(store, old, 2.5)
    late = create(store, 4)
    assert store.statistics.waiting()[4] == 3  # two levels up, at the end of the line of that moment
    assert store.get(old.id).priority == 6  # what was asked for is kept
    assert [take(store).job for _ in range(3)] == [fresh.id, old.id, late.id]
    assert store.take() is None  # the message of its first level finds it begun


def test_no_job_rises_above_the_most_urgent(store: Queue) -> None:
    old = create(store, 3)
    urgent = [create(store, 0) for _ in range(3)]
    wait_hours(store, old, 100)
    urgent.append(create(store, 0))
    assert [take(store).job for _ in range(5)] == [*(job.id for job in urgent[:3]), old.id, urgent[3].id]


def test_work_in_progress_rises_too(store: Queue) -> None:
    old = create(store, 9)
    end(store, take(store), 4)
    running = take(store)
    wait_hours(store, old, 5)
    create(store, 3)
    assert take(store).job != old.id
    assert store.statistics.waiting() == (0, 0, 0, 0, 3, 0, 0, 0, 0, 0)
    assert store.release(running, reason="luck", max_attempts=5)
    assert store.statistics.waiting() == (0, 0, 0, 0, 4, 0, 0, 0, 0, 0)


def test_nothing_rises_where_ageing_is_off(store: Queue) -> None:
    old = create(store, 6, settings=Settings(durable=False, ageing_minutes=0))
    fresh = create(store, 4)
    wait_hours(store, old, 100)
    assert store.statistics.waiting()[6] == 1
    assert [take(store).job for _ in range(2)] == [fresh.id, old.id]


def test_a_starving_job_ends_under_a_load_that_never_ends(store: Queue) -> None:
    """Urgent jobs come faster than they are done; with ageing the old one gets its turns."""
    old = create(store, 9)
    before_it = 0
    for unit in range(100):
        create(store, 0)
        create(store, 0)
        if unit == 10:
            before_it = len(store.messages) - 1
            wait_hours(store, old, 9)
        claim = take(store)
        if claim.job == old.id:
            break
        end(store, claim, 1)
    else:
        pytest.fail("the old job never had a turn")
    assert 0 < unit - 10 <= before_it  # after those that were in the line when it came there


def test_a_small_job_waits_for_its_level_too(store: Queue) -> None:
    small = {"stamps": [FileStamp(size=10, mtime_ns=0, inode=0)]}
    create(store, 9, **small)
    urgent = [create(store, 1, **small).id for _ in range(3)]
    taken = store.claim(urgent[0], PLAN, worker="", lease_seconds=60, most=3)
    assert [claim.job for claim in taken] == urgent
