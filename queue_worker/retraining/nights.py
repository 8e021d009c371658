"""Nightly retraining: which task's night is due. What runs periodically asks; every night is made once.

A night is named by its *scheduled* date (the clock's would be wrong around midnight), and the clock is the
store's, in this process's time zone.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta

import redis

from pingti.errors import PingtiError
from pingti.workspace.registry import Workspace
from queue_worker.jobs.commands import Publish
from queue_worker.retraining.runs import RunStore
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)
_MOST_MISSED = 31  # nights that are recorded as missed; there is nothing to learn from more


def last_scheduled(at: time, now: datetime) -> datetime:
    """The newest moment not after ``now`` whose time of day is ``at`` (in the zone of ``now``)."""
    today = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def between(last: date | None, night: date) -> list[date]:
    """The nights after ``last`` and before ``night``: the newest month of them."""
    days = 0 if last is None else (night - last).days - 1
    return [night - timedelta(days=back) for back in range(min(days, _MOST_MISSED), 0, -1)]


def server_time(client: redis.Redis) -> datetime:
    """The store's clock in the local zone: schedulers on several hosts have one clock so."""
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds + microseconds / 1e6).astimezone()


class Nights:
    """Makes the run of each task's night. ``now`` is the clock, with a zone; the store's where absent."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        now: Callable[[], datetime] | None = None,
        publish: Publish | None = None,
    ) -> None:
        self._settings = settings
        self._now = now or (lambda: server_time(client))
        self._runs = RunStore(client, publish)

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
