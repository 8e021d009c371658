"""The scheduler process: nightly retraining, the reaper, callbacks, retention.

``python -m queue_worker.scheduler``

Of several schedulers started by mistake one leads: it holds a key in Valkey that it renews, and another
takes over some seconds after it has died. Even two that lead for a moment do no harm, since one script
makes a night's run and notes that the night was dealt with. A night is named by its *scheduled* date (the
clock's would be wrong around midnight), and the clock is the server's, in this process's time zone.
"""

import logging
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from time import monotonic
from typing import Any

import redis
from celery import Celery

from pingti.errors import PingtiError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import (
    MOST_TICKETS,
    configure_logging,
    connect,
    make_celery,
    publish_tickets,
    tickets_waiting,
)
from queue_worker.jobs.callbacks import Callbacks
from queue_worker.jobs.store import JobStore
from queue_worker.keys import PREFIX
from queue_worker.processes.health import SCHEDULER_SECONDS, tell_scheduler
from queue_worker.processes.workplace import refuse_other_workspace
from queue_worker.retention import expire
from queue_worker.retraining.runs import RunStore
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)

_TICK_SECONDS = 2.0
_TELL_SECONDS = 10.0
_EXPIRE_SECONDS = 3600.0
_RUN_ATTEMPTS = 3
_MOST_MISSED = 31  # nights that are recorded as missed; there is nothing to learn from more


class Reaper:
    """Gives work that a dead worker held to others, and replaces tickets that were lost."""

    def __init__(self, settings: Settings, store: JobStore, publish: Callable[[int, int], None]) -> None:
        self._settings, self._store, self._publish = settings, store, publish
        self._runs = RunStore(store.client)
        self.looked = monotonic()  # when a look last succeeded

    def tick(self) -> int:
        """One look; returns the number of tickets published.

        A unit waits in the store; a ticket waits in the broker. When there are fewer tickets than units
        (a crash between storing a job and publishing its ticket, an expired lease, a server that came
        back without its last messages), the difference is published. Too many do no harm.
        """
        for name in self._store.reap(max_attempts=self._settings.max_attempts):
            _log.warning("lease expired unit=%s", name)
        for id in self._runs.reap(max_attempts=_RUN_ATTEMPTS):
            _log.warning("lease expired run=%s", id)
        levels = self._store.statistics.waiting()
        missing = min(sum(levels), MOST_TICKETS) - tickets_waiting(self._store.client)
        if missing <= 0:
            return 0
        most_urgent = next(level for level, units in enumerate(levels) if units)
        self._publish(missing, most_urgent)
        _log.info("tickets published count=%d", missing)
        return missing

    def run(self, stop: threading.Event) -> None:
        """Look every ``reap_seconds`` until ``stop`` is set."""
        while not stop.wait(self._settings.reap_seconds):
            try:
                self.tick()
                self.looked = monotonic()
            except Exception as error:  # a server that restarts must not end the reaper
                _log.error("reaper: %s", " ".join(str(error).split()))


class Leadership:
    """The key that says which of several schedulers leads; it fades ``seconds`` after its last renewal."""

    _KEY = f"{PREFIX}scheduler:leader"
    # ARGV: token, ms -> 1 for the one that leads. SET with NX alone could not renew.
    _TAKE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
    _DROP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

    def __init__(self, client: redis.Redis, *, seconds: float = 10.0) -> None:
        self._seconds = seconds
        self._token = secrets.token_hex(8)
        self._take = client.register_script(self._TAKE)
        self._drop = client.register_script(self._DROP)

    def held(self) -> bool:
        """Take the lead where nobody has it, or keep it; whether this one leads."""
        return bool(self._take(keys=[self._KEY], args=[self._token, int(self._seconds * 1000)]))

    def give_up(self) -> None:
        """Let another lead at once."""
        self._drop(keys=[self._KEY], args=[self._token])


def last_scheduled(at: time, now: datetime) -> datetime:
    """The newest moment not after ``now`` whose time of day is ``at`` (in the zone of ``now``)."""
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def between(last: date | None, night: date) -> list[date]:
    """The nights after ``last`` and before ``night``: the newest month of them."""
    days = 0 if last is None else (night - last).days - 1
    return [night - timedelta(days=back) for back in range(min(days, _MOST_MISSED), 0, -1)]


class Scheduler:
    """Makes the run of each task's night. ``now`` is the clock, with a zone; the server's where absent."""

    def __init__(
        self, settings: Settings, client: redis.Redis, now: Callable[[], datetime] | None = None
    ) -> None:
        self._settings = settings
        self._now = now or (lambda: server_time(client))
        self._runs = RunStore(client)

    def tick(self) -> list[tuple[str, date]]:
        """Make the runs that are due and were not made before; returns their tasks and nights.

        A night whose hour passed while no scheduler ran is caught up when one runs again: once, with the
        newest night, those before it being recorded as missed. A task starts with the first hour after
        its plan was first seen.
        """
        due = []
        now = self._now()
        for task, at in self._plans():
            night = last_scheduled(at, now).date()
            last = self._runs.last_night(task, at)
            if last is not None and last >= night:
                continue
            missed = between(last, night)
            if self._runs.night(task, at, night, missed):
                _log.info("retraining due task=%s night=%s missed=%d", task, night, len(missed))
                due.append((task, night))
        return due

    def _plans(self) -> Iterator[tuple[str, time]]:
        workspace = Workspace(self._settings.home)
        for name in workspace.task_names():
            try:
                plan = workspace.task(name).definition.retrain
            except PingtiError as error:  # one bad definition must not stop the other tasks
                _log.error("task skipped task=%s reason=%s", name, error)
                continue
            if plan is not None:
                yield name, plan.at


def server_time(client: redis.Redis) -> datetime:
    """The server's clock in the local zone: schedulers on several hosts have one clock so."""
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds + microseconds / 1e6).astimezone()


def run_scheduler(
    settings: Settings, stop: threading.Event, *, now: Callable[[], datetime] | None = None
) -> None:
    """Reap, send callbacks, and while leading schedule and delete what is old, until ``stop`` is set.

    ``now`` as for ``Scheduler``.
    """
    app: Celery = make_celery(settings)
    client = connect(settings)
    store = JobStore(client)
    reaper = Reaper(settings, store, lambda count, priority: publish_tickets(app, count, priority))
    scheduler = Scheduler(settings, client, now)
    leadership = Leadership(client)
    for name, run in (("reaper", reaper.run), ("callbacks", Callbacks(settings, store).run)):
        threading.Thread(target=run, args=(stop,), name=name, daemon=True).start()
    led: bool | None = None
    shown = expired = float("-inf")
    while not stop.is_set():
        try:
            leads = leadership.held()
            if leads != led:
                led = leads
                _log.info("scheduler %s", "leads" if led else "waits: another one leads")
            if leads:
                scheduler.tick()
                if monotonic() - expired >= _EXPIRE_SECONDS:
                    expired = monotonic()
                    expire(settings, store)
            # A sign of life for both threads: silent, too, when the reaper is stuck.
            if (
                monotonic() - shown >= _TELL_SECONDS
                and monotonic() - reaper.looked < SCHEDULER_SECONDS + settings.reap_seconds
            ):
                tell_scheduler(client)
                shown = monotonic()
        except Exception as error:  # as in the reaper
            _log.error("scheduler: %s", " ".join(str(error).split()))
        stop.wait(_TICK_SECONDS)
    try:
        leadership.give_up()
    except redis.RedisError as error:  # it fades
        _log.warning("the lead was not given up: %s", " ".join(str(error).split()))


def main() -> int:
    """Run until SIGTERM; the exit code."""
    configure_logging()
    stop = threading.Event()
    try:
        settings = Settings.of_environment()
        _stop_on_sigterm(stop)
        refuse_other_workspace(settings, stop)
        _log.info("scheduler starts")
        run_scheduler(settings, stop)
    except PingtiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


def _stop_on_sigterm(stop: threading.Event) -> None:
    def handle(_number: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


if __name__ == "__main__":
    sys.exit(main())
