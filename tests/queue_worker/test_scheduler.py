"""Nightly retraining: what is due, once a night whatever restarts, and who leads."""

import socket
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from time import sleep

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from pingti.workspace.registry import Workspace
from queue_worker.celery_app import CONTROL, connect, lists_of
from queue_worker.jobs.store import JobStore
from queue_worker.processes.health import alive
from queue_worker.processes.launcher import Processes
from queue_worker.retraining.drift import agreement, count
from queue_worker.retraining.nights import Nights, between, last_scheduled, server_time
from queue_worker.retraining.runs import RunState, RunStore, runs
from queue_worker.settings import Settings
from tests.support.brokers import require_broker, until
from tests.support.scheduler import Clocked

NIGHT = date(2025, 12, 1)
DAY = timedelta(days=1)


@given(at=st.times(), now=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 2)))
def test_the_last_scheduled_moment(at: time, now: datetime) -> None:
    moment = last_scheduled(at, now)
    assert moment.timetz() == at.replace(microsecond=0, tzinfo=UTC)
    assert timedelta(0) <= now - moment < DAY


def test_a_run_of_before_midnight_keeps_its_date() -> None:
    """A scheduler that is a little late has another date on its clock."""
    assert last_scheduled(time(23, 55), datetime(2025, 12, 2, 0, 5, tzinfo=UTC)).date() == NIGHT


def test_the_nights_between_two() -> None:
    assert between(None, NIGHT) == []
    assert between(NIGHT - DAY, NIGHT) == []
    assert between(NIGHT - 3 * DAY, NIGHT) == [NIGHT - 2 * DAY, NIGHT - DAY]
    assert between(NIGHT - 1000 * DAY, NIGHT)[-1] == NIGHT - DAY
    assert len(between(NIGHT - 1000 * DAY, NIGHT)) == 31


@pytest.fixture
def service(workspace: Workspace) -> Iterator[tuple[Settings, redis.Redis]]:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        with connect(settings) as client:
            yield settings, client


def add_plan(settings: Settings, task: str, at: str = "02:00") -> None:
    path = Workspace(settings.home).tasks / f"{task}.toml"
    path.write_text(path.read_text().partition("\n[retrain]")[0] + f'\n[retrain]\nat = "{at}"\n')


class Clock:
    def __init__(self, *moment: int) -> None:
        self.now = datetime(*moment, tzinfo=UTC)  # type: ignore[misc, arg-type]

    def __call__(self) -> datetime:
        return self.now


@pytest.mark.broker
def test_two_schedulers_make_a_night_once(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    add_plan(settings, "sport")
    add_plan(settings, "topic")
    (Workspace(settings.home).tasks / "tech.toml").write_text("nonsense")  # must not stop the others
    clock = Clock(2025, 11, 30, 12)
    pair = [Nights(settings, client, clock) for _ in range(2)]
    due = [run for nights in pair * 2 for run in nights.tick()]
    assert due == []  # a new plan starts with its next hour
    clock.now = datetime(2025, 12, 1, 1, 59, 59, tzinfo=UTC)
    assert pair[0].tick() == []
    clock.now = datetime(2025, 12, 1, 2, 0, 30, tzinfo=UTC)
    due = [each for scheduler in pair * 2 for each in scheduler.tick()]
    assert due == [("sport", NIGHT), ("topic", NIGHT)]
    (Workspace(settings.home).tasks / "sport.toml").unlink()
    clock.now += DAY
    assert [each for scheduler in pair * 2 for each in scheduler.tick()] == [("topic", NIGHT + DAY)]
    assert [run.night for run in runs(client, "topic")] == [NIGHT + DAY, NIGHT]
    (run,) = runs(client, "sport")
    assert (run.id, run.state, run.who) == (f"sport/{NIGHT}", RunState.QUEUED, "scheduler")


@pytest.mark.broker
def test_missed_nights_are_caught_up_once(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    add_plan(settings, "sport")
    clock = Clock(2025, 12, 1, 1)
    Nights(settings, client, clock).tick()
    clock.now = datetime(2025, 12, 4, 9, tzinfo=UTC)  # none ran for three nights
    assert Nights(settings, client, clock).tick() == [("sport", date(2025, 12, 4))]
    assert Nights(settings, client, clock).tick() == []
    by_night = {run.night: (run.state, run.reason) for run in runs(client, "sport")}
    reason = "no scheduler ran; the run of 2025-12-04 stands for it"
    assert by_night == {
        date(2025, 12, 4): (RunState.QUEUED, None),
        **{date(2025, 12, day): (RunState.MISSED, reason) for day in (1, 2, 3)},
    }
    clock.now += DAY
    assert Nights(settings, client, clock).tick() == [("sport", date(2025, 12, 5))]
    # A clock that goes back makes nothing again.
    clock.now -= 3 * DAY
    assert Nights(settings, client, clock).tick() == []
    assert len(runs(client, "sport")) == 5


@pytest.mark.broker
def test_another_hour_starts_with_its_next_night(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    add_plan(settings, "sport", at="23:00")
    clock = Clock(2025, 12, 1, 12)
    Nights(settings, client, clock).tick()
    add_plan(settings, "sport", at="02:00")
    assert Nights(settings, client, clock).tick() == []
    clock.now = datetime(2025, 12, 2, 2, tzinfo=UTC)
    assert Nights(settings, client, clock).tick() == [("sport", date(2025, 12, 2))]


@pytest.mark.broker
def test_old_runs_are_forgotten_but_none_that_is_under_way(service: tuple[Settings, redis.Redis]) -> None:
    _, client = service
    store = RunStore(client)
    store.night("sport", time(2), NIGHT)
    for day in range(1, 130):
        assert store.night("sport", time(2), NIGHT + day * DAY)
        claim = store.claim(f"sport/{NIGHT + day * DAY}", worker="", lease_seconds=60)
        assert claim is not None
        if day > 1:
            assert store.finish(claim, RunState.REFUSED, version=day, reason="")
    kept = store.of_task("sport", limit=1000)
    assert (len(kept), kept[0].night, kept[0].version) == (101, NIGHT + 129 * DAY, 129)
    assert (kept[-1].night, kept[-1].state) == (NIGHT + DAY, RunState.RUNNING)
    records = [
        key for key in client.scan_iter("pingti:run:*") if not key.endswith((":out", ":held", ":attempts"))
    ]
    assert len(records) == 101


@pytest.mark.broker
def test_no_name_of_a_task_or_host_is_one_of_the_queues_own_keys(
    service: tuple[Settings, redis.Redis],
) -> None:
    settings, client = service
    store = RunStore(client)
    for task in ("waiting", "leases", "of", "sport"):
        asked = store.demand(task, who="eva")
        claim = store.claim(asked.id, worker="", lease_seconds=60)
        assert claim is not None
        assert JobStore(client).reap(max_attempts=3) == []
        assert [run.id for run in runs(client, task)] == [claim.run.id]
    tasks = Workspace(settings.home).tasks
    day = server_time(client).astimezone(UTC).date()
    for job, name in [("a", "counted"), ("b", "counted"), ("b", "sport")]:
        (tasks / f"{name}.toml").write_bytes((tasks / "sport.toml").read_bytes())
        entry = Workspace(settings.home).task(name)
        count(client, entry, job=job, day=day, version=1, rows=10, agreed=9)
    assert [day.rows for day in agreement(client, "counted", days=2)] == [20]
    client.set("pingti:scheduler:leader", "another")
    assert not alive(client, "scheduler", "leader")


@pytest.mark.broker
def test_the_clock_is_the_servers(service: tuple[Settings, redis.Redis]) -> None:
    _, client = service
    assert abs((server_time(client) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.broker
def test_another_scheduler_goes_on_after_a_killed_one(
    service: tuple[Settings, redis.Redis], tmp_path: Path
) -> None:
    """Two beats do no harm, and one of them is enough."""
    settings, client = service
    add_plan(settings, "sport")
    with Processes() as processes:
        nights = Clocked(processes, settings, tmp_path)
        nights.set("2025-12-01T01:00:00")
        first = nights.start()
        until(lambda: client.hexists("pingti:nights", "sport"), "the plan is seen")
        nights.start()
        until(lambda: nights.log.read_text().count("beat starts") == 2, "the second one runs")
        nights.kill(first)
        nights.set("2025-12-01T02:00:00")
        until(lambda: runs(client, "sport"), "the second one makes the night")
        nights.start()
        until(lambda: nights.log.read_text().count("beat starts") == 3, "a third one runs")
        nights.set("2025-12-02T02:00:00")
        until(lambda: len(runs(client, "sport")) == 2, "the next night")
        assert [run.night for run in runs(client, "sport")] == [NIGHT + DAY, NIGHT]


@pytest.mark.broker
def test_beat_keeps_no_file_of_its_own(
    service: tuple[Settings, redis.Redis], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, client = service
    monkeypatch.chdir(tmp_path)
    with Processes() as processes:
        processes.start_scheduler(settings, log=settings.home / "scheduler.log")
        until(lambda: alive(client, "scheduler", socket.gethostname()), "it works")
    assert list(tmp_path.glob("celerybeat*")) == []


@pytest.mark.broker
def test_beat_alone_adds_nothing_to_what_nobody_takes(
    service: tuple[Settings, redis.Redis], tmp_path: Path
) -> None:
    settings, client = service
    quick = settings.model_copy(update={"reap_seconds": 0.05})
    name = lists_of(CONTROL)[0]
    with Processes() as processes:
        command = [sys.executable, "-P", "-m", "celery", "-A", "queue_worker.celery_app", "beat"]
        processes.start("beat", command, settings=quick, log=tmp_path / "log", cwd=tmp_path)
        until(lambda: client.llen(name) == 4, "as many as there are periodic tasks")
        sleep(1.0)  # twenty further looks of the reaper
        assert client.llen(name) == 4
        client.lpop(name)
        until(lambda: client.llen(name) == 4, "what was taken is replaced")
    assert client.llen(name) == 4
    assert list(tmp_path.glob("celerybeat*")) == []
