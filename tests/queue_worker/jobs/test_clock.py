"""The server's clock is set back, as by a virtual machine: nothing is held for as long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pingti.corpus.reader import Columns
from pingti.inference.pins import Pin
from queue_worker.celery_app import connect
from queue_worker.jobs.clock import follow_clock
from queue_worker.jobs.models import PLAN
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from tests.support.brokers import require_broker
from tests.support.messages import Messages

pytestmark = pytest.mark.broker
HOUR = 3_600_000  # ms


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    require_broker()
    with Processes() as processes:
        yield processes.start_valkey(Settings(home=tmp_path_factory.mktemp("store")))


@pytest.fixture
def store(server: Settings) -> Iterator[JobStore]:
    with connect(server) as client:
        client.flushdb()
        yield JobStore(client, Messages())


def running(store: JobStore, lease_seconds: float) -> str:
    """A job whose plan a worker holds; its id."""
    pins = (Pin(task="sport", scene="default", version=3, threshold=0.25),)
    accepted = store.create(
        inputs=["/a.csv"], columns=Columns(), pins=pins, metadata={}, priority=5, settings=Settings()
    )
    assert store.claim(accepted.job.id, PLAN, worker="classify@a-1", lease_seconds=lease_seconds)
    return accepted.job.id


def set_back(store: JobStore, ms: int) -> None:
    """As if the server's clock had shown so much more until now: so it is seen after it is set back."""
    client = store.client
    for name in ("pingti:out", "pingti:callbacks", "pingti:workers"):
        for item, at in client.zrange(name, 0, -1, withscores=True):
            client.zadd(name, {item: at + ms})
    client.incrby("pingti:clock", ms)


@pytest.mark.parametrize("ms", [HOUR, 24 * HOUR, HOUR // 6])
def test_a_lease_ends_when_it_would_have(store: JobStore, ms: int) -> None:
    lost, held = running(store, 0.001), running(store, 30)
    follow_clock(store.client)
    (score,) = [store.client.zscore("pingti:out", f"{held}/{PLAN}")]
    # The lease of the first ends within the hour that comes again.
    store.client.zadd("pingti:out", {f"{lost}/{PLAN}": int(store.client.get("pingti:clock")) + 1})
    set_back(store, ms)
    store.reap(max_attempts=5)
    assert store.client.zscore("pingti:out", f"{held}/{PLAN}") == pytest.approx(score, abs=60_000)
    assert store.client.zscore("pingti:out", f"{lost}/{PLAN}") <= follow_clock(store.client) + 60_000


def test_callbacks_come_when_they_would_have_and_a_dead_worker_does_not_live_on(store: JobStore) -> None:
    now = follow_clock(store.client)
    store.client.zadd("pingti:callbacks", {"job-1": now + 5_000})
    store.statistics.present("classify@dead-1")
    set_back(store, HOUR)
    follow_clock(store.client)
    assert store.client.zscore("pingti:callbacks", "job-1") == pytest.approx(now + 5_000, abs=60_000)
    assert store.statistics.workers() == {}
    store.statistics.present("classify@alive-1")
    assert list(store.statistics.workers()) == ["classify@alive-1"]


def test_a_lease_that_was_renewed_by_the_new_clock_stays(store: JobStore) -> None:
    id = running(store, 30)
    follow_clock(store.client)
    set_back(store, HOUR)
    now = store.client.time()[0] * 1000
    store.client.zadd("pingti:out", {f"{id}/{PLAN}": now + 30_000})  # a sign of life before anybody looked
    assert store.reap(max_attempts=5) == []
    assert store.client.zscore("pingti:out", f"{id}/{PLAN}") == now + 30_000


def test_several_who_look_set_back_once(store: JobStore) -> None:
    id = running(store, 30)
    follow_clock(store.client)
    score = store.client.zscore("pingti:out", f"{id}/{PLAN}")
    set_back(store, HOUR)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: follow_clock(store.client), range(32)))
    assert store.client.zscore("pingti:out", f"{id}/{PLAN}") == pytest.approx(score, abs=60_000)
    assert store.reap(max_attempts=5) == []


def test_a_clock_that_goes_on_changes_nothing(store: JobStore) -> None:
    running(store, 30)
    before = store.client.zrange("pingti:out", 0, -1, withscores=True)
    assert follow_clock(store.client) <= follow_clock(store.client)
    assert store.client.zrange("pingti:out", 0, -1, withscores=True) == before
