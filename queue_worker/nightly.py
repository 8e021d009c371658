"""The scheduler process: nightly retraining, and the reaper. ``python -m queue_worker.nightly``

Several schedulers started by mistake do no harm: a night's run is guarded by a key of task and
*scheduled* date (the clock's date would be wrong around midnight), and reaping is one script.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from time import monotonic
from typing import Any

import redis
from celery import Celery

from pingti.errors import PingtiError
from queue_worker.app import (
    MOST_TICKETS,
    configure_logging,
    connect,
    make_celery,
    publish_retrain,
    publish_tickets,
    tickets_waiting,
)
from queue_worker.health import SCHEDULER_SECONDS, tell_scheduler
from queue_worker.processes import guarded
from queue_worker.settings import Settings
from queue_worker.store import JobStore
from replacement.registry import Workspace

_log = logging.getLogger(__name__)

_TICK_SECONDS = 10.0
_SENT_SECONDS = 3600  # a message that nobody took by then is sent again
_NIGHT_SECONDS = 8 * 86_400  # how long a night's record is kept


class Reaper:
    """Gives work that a dead worker held to others, and replaces tickets that were lost."""

    def __init__(self, settings: Settings, store: JobStore, publish: Callable[[int, int], None]) -> None:
        self._settings, self._store, self._publish = settings, store, publish
        self.looked = monotonic()  # when a look last succeeded

    def tick(self) -> int:
        """One look; returns the number of tickets published.

        A unit waits in the store; a ticket waits in the broker. When there are fewer tickets than units
        (a crash between storing a job and publishing its ticket, an expired lease, a server that came
        back without its last messages), the difference is published. Too many do no harm.
        """
        for name in self._store.reap(max_attempts=self._settings.max_attempts):
            _log.warning("lease expired unit=%s", name)
        levels = self._store.waiting()
        missing = min(sum(levels), MOST_TICKETS) - tickets_waiting(self._store.client)
        if missing <= 0:
            return 0
        most_urgent = next(level for level, units in enumerate(levels) if units)
        self._publish(missing, most_urgent)
        _log.info("tickets published count=%d", missing)
        return missing

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._settings.reap_seconds):
            try:
                self.tick()
                self.looked = monotonic()
            except Exception as error:  # a server that restarts must not end the reaper
                _log.error("reaper: %s", " ".join(str(error).split()))


def last_scheduled(at: time, now: datetime) -> datetime:
    """The newest moment not after ``now`` whose time of day is ``at`` (in the zone of ``now``)."""
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def due(plans: Iterable[tuple[str, time]], now: datetime, catch_up: timedelta) -> list[tuple[str, date]]:
    """Tasks with the scheduled date of a run that should have begun by ``now``, at most ``catch_up`` ago."""
    moments = ((task, last_scheduled(at, now)) for task, at in plans)
    return [(task, moment.date()) for task, moment in moments if now - moment <= catch_up]


class Scheduler:
    """Sends each task's nightly retraining to the retrain queue. ``now`` is the clock, with a zone."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        publish: Callable[[str, date], None],
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._settings, self._client, self._publish, self._now = settings, client, publish, now

    def tick(self) -> list[tuple[str, date]]:
        """Send what is due and neither begun nor sent within the hour; returns it."""
        catch_up = timedelta(seconds=self._settings.retrain_catch_up_seconds)
        sent = []
        for task, scheduled in due(self._plans(), self._now(), catch_up):
            night = _night_key(task, scheduled)
            if self._client.exists(night):
                continue
            # If this process dies between the mark and the message, the mark expires and the run is sent
            # again; the worker's own mark makes it run once.
            if self._client.set(f"{night}:sent", 1, nx=True, ex=_SENT_SECONDS):
                self._publish(task, scheduled)
                _log.info("retraining sent task=%s scheduled=%s", task, scheduled)
                sent.append((task, scheduled))
        return sent

    def _plans(self) -> list[tuple[str, time]]:
        workspace = Workspace(self._settings.home)
        plans = []
        for name in workspace.task_names():
            try:
                plan = workspace.task(name).definition.retrain
            except PingtiError as error:  # one bad definition must not stop the other tasks
                _log.error("task skipped task=%s reason=%s", name, error)
                continue
            if plan is not None:
                plans.append((name, plan.at))
        return plans


def _night_key(task: str, scheduled: date) -> str:
    return f"pingti:night:{task}:{scheduled.isoformat()}"


def retrain_command(task: str) -> list[str]:
    """What a retraining runs: the same command as a person would, in a process that may use torch."""
    return [sys.executable, "-m", "api.cli", "replace", "--promote", "--", task]


def retrain(
    settings: Settings,
    client: redis.Redis,
    task: str,
    scheduled: date,
    command: Callable[[str], Sequence[str]] = retrain_command,
) -> str:
    """Run one night's retraining unless it was begun before; returns how it ended.

    Output goes to ``tasks/<name>/retrain.log``. The process ends with this one, and after
    ``retrain_seconds``. The answers: ``begun before``, ``done``, ``failed with code N``, ``timed out``.
    Raises NotFoundError for an unknown task.
    """
    folder = Workspace(settings.home).task(task).folder
    night = _night_key(task, scheduled)
    if not client.set(night, "running", nx=True, ex=_NIGHT_SECONDS):
        _log.info("retraining begun before task=%s scheduled=%s", task, scheduled)
        return "begun before"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "retrain.log").open("ab") as log:
        log.write(f"--- {scheduled.isoformat()}\n".encode())
        log.flush()
        try:
            process = subprocess.run(
                guarded(command(task)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **settings.environment()},
                timeout=settings.retrain_seconds,
                check=False,
            )
            outcome = "done" if process.returncode == 0 else f"failed with code {process.returncode}"
        except subprocess.TimeoutExpired:
            outcome = "timed out"
    client.set(night, outcome, ex=_NIGHT_SECONDS)
    _log.info("retraining ended task=%s scheduled=%s outcome=%s", task, scheduled, outcome)
    return outcome


def main() -> int:
    configure_logging()
    settings = Settings()
    try:
        app: Celery = make_celery(settings)
    except PingtiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    client = connect(settings)
    reaper = Reaper(settings, JobStore(client), lambda count, priority: publish_tickets(app, count, priority))
    scheduler = Scheduler(settings, client, lambda task, scheduled: publish_retrain(app, task, scheduled))
    stop = threading.Event()
    _stop_on_sigterm(stop)
    thread = threading.Thread(target=reaper.run, args=(stop,), name="reaper", daemon=True)
    thread.start()
    _log.info("scheduler starts")
    while not stop.is_set():
        try:
            scheduler.tick()
            # A sign of life for both threads: silent, too, when the reaper is stuck.
            if monotonic() - reaper.looked < SCHEDULER_SECONDS + settings.reap_seconds:
                tell_scheduler(client)
        except Exception as error:  # as in the reaper
            _log.error("scheduler: %s", " ".join(str(error).split()))
        stop.wait(_TICK_SECONDS)
    return 0


def _stop_on_sigterm(stop: threading.Event) -> None:
    def handle(_number: int, _frame: Any) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


if __name__ == "__main__":
    sys.exit(main())
