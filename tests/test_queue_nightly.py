"""Nightly retraining: what is due, once a night whatever restarts, and the process that does it."""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from test_queue_processes import gone, require_broker, until

from pingti.errors import NotFoundError
from queue_worker.app import RETRAIN, connect, make_celery, publish_retrain
from queue_worker.nightly import Scheduler, due, last_scheduled, retrain
from queue_worker.processes import Processes
from queue_worker.settings import Settings
from replacement.registry import Workspace

NIGHT = date(2025, 12, 1)
TWO = time(2, 0)


@given(at=st.times(), now=st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 2)))
def test_the_last_scheduled_moment(at: time, now: datetime) -> None:
    moment = last_scheduled(at, now)
    assert moment.timetz() == at.replace(microsecond=0, tzinfo=UTC)
    assert timedelta(0) <= now - moment < timedelta(days=1)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2025, 12, 1, 1, 59, tzinfo=UTC), []),
        (datetime(2025, 12, 1, 2, 0, tzinfo=UTC), [("praise", NIGHT)]),
        (datetime(2025, 12, 1, 3, 0, tzinfo=UTC), [("praise", NIGHT)]),
        (datetime(2025, 12, 1, 3, 1, tzinfo=UTC), []),
    ],
)
def test_due_within_the_time_for_catching_up(now: datetime, expected: list[tuple[str, date]]) -> None:
    assert due([("praise", TWO)], now, timedelta(hours=1)) == expected


def test_a_run_of_before_midnight_keeps_its_date() -> None:
    """A scheduler that is a little late has another date on its clock."""
    now = datetime(2025, 12, 2, 0, 5, tzinfo=UTC)
    assert due([("praise", time(23, 55))], now, timedelta(hours=1)) == [("praise", NIGHT)]


@pytest.fixture
def service(workspace: Workspace) -> Iterator[tuple[Settings, redis.Redis]]:
    require_broker()
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=workspace.root))
        with connect(settings) as client:
            yield settings, client


def add_plan(settings: Settings, task: str) -> None:
    path = Workspace(settings.home).tasks / f"{task}.toml"
    path.write_text(path.read_text() + '\n[retrain]\nat = "02:00"\n')


@pytest.mark.broker
def test_two_schedulers_send_a_night_once(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    add_plan(settings, "sport")
    add_plan(settings, "topic")
    (Workspace(settings.home).tasks / "tech.toml").write_text("nonsense")  # must not stop the others
    now = datetime(2025, 12, 1, 2, 0, 30, tzinfo=UTC)
    sent: list[tuple[str, date]] = []
    pair = [
        Scheduler(settings, client, lambda task, night: sent.append((task, night)), now=lambda: now)
        for _ in range(2)
    ]
    for scheduler in pair * 2:
        scheduler.tick()
    assert sorted(sent) == [("sport", NIGHT), ("topic", NIGHT)]
    now += timedelta(days=1)
    for scheduler in pair * 2:
        scheduler.tick()
    assert sorted(sent)[2:] == [("topic", NIGHT), ("topic", NIGHT + timedelta(days=1))]
    assert len(sent) == 4


@pytest.mark.broker
def test_a_lost_message_is_sent_again_but_a_begun_night_is_not(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    add_plan(settings, "sport")
    sent: list[str] = []
    scheduler = Scheduler(
        settings, client, lambda task, _: sent.append(task), now=lambda: datetime(2025, 12, 1, 2, tzinfo=UTC)
    )
    scheduler.tick()
    client.delete(f"pingti:night:sport:{NIGHT}:sent")  # as when it expires
    scheduler.tick()
    assert sent == ["sport", "sport"]
    assert retrain(settings, client, "sport", NIGHT, command=python("print('trained')")) == "done"
    client.delete(f"pingti:night:sport:{NIGHT}:sent")
    scheduler.tick()
    assert sent == ["sport", "sport"]


def python(code: str):  # type: ignore[no-untyped-def]
    return lambda task: [sys.executable, "-c", code, task]


@pytest.mark.broker
def test_a_night_runs_once_and_is_recorded(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    code = "import sys, os; print('task', sys.argv[1], os.environ['PINGTI_HOME'])"
    log = settings.home / "tasks" / "sport" / "retrain.log"
    assert retrain(settings, client, "sport", NIGHT, command=python(code)) == "done"
    assert retrain(settings, client, "sport", NIGHT, command=python(code)) == "begun before"
    assert log.read_text() == f"--- 2025-12-01\ntask sport {settings.home}\n"
    failing = python("raise SystemExit(5)")
    assert retrain(settings, client, "sport", date(2025, 12, 2), command=failing) == "failed with code 5"
    assert client.get("pingti:night:sport:2025-12-02") == "failed with code 5"
    with pytest.raises(NotFoundError):
        retrain(settings, client, "../sport", NIGHT, command=python(code))


@pytest.mark.broker
def test_a_run_that_takes_too_long_is_ended(service: tuple[Settings, redis.Redis]) -> None:
    settings, client = service
    short = settings.model_copy(update={"retrain_seconds": 0.5})
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    assert retrain(short, client, "sport", NIGHT, command=python(code)) == "timed out"
    pid = int((settings.home / "tasks" / "sport" / "retrain.log").read_text().split()[-1])
    until(lambda: gone(pid), "the process ends")


@pytest.mark.broker
def test_a_retrain_worker_takes_the_message(service: tuple[Settings, redis.Redis], tmp_path: Path) -> None:
    """The definition's teacher does not exist, so that the run must end as a failure, and say why."""
    settings, client = service
    with Processes() as processes:
        processes.start_worker(settings, queue=RETRAIN, log=tmp_path / "retrain-worker.log")
        publish_retrain(make_celery(settings), "sport", NIGHT)
        publish_retrain(make_celery(settings), "sport", NIGHT)
        night = f"pingti:night:sport:{NIGHT}"
        until(lambda: str(client.get(night)).startswith("failed with code"), f"{client.get(night)}")
        until(lambda: "begun before" in (tmp_path / "retrain-worker.log").read_text(), "the second message")
    assert (settings.home / "tasks" / "sport" / "retrain.log").read_text().count("--- 2025-12-01") == 1
