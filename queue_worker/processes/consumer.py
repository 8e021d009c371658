"""The consumer of Celery's worker, with three differences.

Celery lets every error of a strategy but three out of the consumer, which ends the worker; the message goes
back to the queue, and ends the next one. Here it is put aside. So are messages of unknown tasks.
And a worker ends on a server that keeps the jobs of another workspace, whenever that shows.
Events of tasks are sent ten times a second: one by one they take a third of what small jobs cost.
"""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import redis
from celery.worker.consumer import Consumer as CeleryConsumer
from vine import promise

from pingti.errors import PingtiError
from queue_worker.celery_app import connect
from queue_worker.jobs.migration import migrate
from queue_worker.processes.rejected import put_aside
from queue_worker.processes.workplace import require_workspace
from queue_worker.settings import Settings

_EVENTS_SECONDS = 0.1
_log = logging.getLogger(__name__)


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery has no types
    """Celery's consumer, which puts aside what it cannot take."""

    _events_wait = False

    def connect(self) -> Any:
        """Connect as Celery does; the server has come then: it must be the workspace's, and up to date."""
        connection = super().connect()
        settings = self.app.settings
        try:
            require_workspace(_client(settings), settings.home, settings.storage)
            migrate(_client(settings))
        except PingtiError as error:
            _log.error("%s", error)
            raise SystemExit(error.exit_code) from error
        except redis.RedisError as error:
            _log.warning("whose jobs the server keeps is not known: %s", " ".join(str(error).split()))
        return connection

    def on_send_event_buffered(self) -> None:
        """Have events sent a moment later, with those that come until then."""
        if self.hub and not self._events_wait:
            self._events_wait = True
            self.hub.call_soon(promise(self._send_events_later))

    def _send_events_later(self) -> None:
        self.hub.call_later(_EVENTS_SECONDS, self._send_events)

    def _send_events(self) -> None:
        self._events_wait = False
        self._flush_events()

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
        """Celery's handler of a message, guarded."""
        handle = super().create_task_handler(*arguments, **options)
        passed = (*self.connection_errors, *self.connection.channel_errors)

        def on_task_received(message: Any) -> Any:
            try:
                _look(message, self.app.tasks)
                return handle(message)
            except passed:
                raise  # the broker went away: Celery connects again
            except Exception as error:  # whatever anybody may push
                return self._put_aside(message, f"{type(error).__name__}: {error}")

        return on_task_received

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """A message that is no task."""
        self._put_aside(message, "it is no task")

    def on_unknown_task(self, body: Any, message: Any, exc: Any) -> None:
        """A task that is not one of ours."""
        self._put_aside(message, f"unknown task {message.headers.get('task')!r}"[:200])

    def on_invalid_task(self, body: Any, message: Any, exc: Any) -> None:
        """A task that Celery refuses."""
        self._put_aside(message, f"{type(exc).__name__}: {exc}")

    def on_decode_error(self, message: Any, exc: Any) -> None:
        """A message whose body cannot be read."""
        self._put_aside(message, f"{type(exc).__name__}: {exc}")

    def _put_aside(self, message: Any, reason: str) -> None:
        queue = (message.delivery_info or {}).get("routing_key") or "unknown"
        put_aside(_client(self.app.settings), str(queue), message.body, reason)
        message.reject_log_error(_Quiet(), self.connection_errors)


@lru_cache(maxsize=1)
def _client(settings: Settings) -> redis.Redis:
    return connect(settings)


class _Quiet:
    """A logger for Celery's word about a message that it could not reject: the broker went away."""

    def critical(self, *_: Any, **__: Any) -> None:
        """Say nothing: the message comes again."""


def _look(message: Any, tasks: Mapping[str, Any]) -> None:
    """Raise an error for a message of which a worker or a pool's process would stumble later."""
    headers = message.headers
    if not isinstance(headers.get("id"), str) or not isinstance(headers.get("task"), str):
        raise ValueError("id and task must be texts")
    arguments, named, following = message.payload  # three parts, as Celery's own
    if not isinstance(arguments, list) or not isinstance(named, dict):
        raise ValueError("its body does not hold arguments")
    if headers["task"] in tasks:
        tasks[headers["task"]].__header__(*arguments, **named)
    if following and (not isinstance(following, dict) or any(following.values())):
        raise ValueError("it brings further tasks, which are not used here")
    if headers.get("eta") is not None:  # held, and delivered again each hour, until then
        raise ValueError("it has an ETA, which is not used here")
    limits = headers.get("timelimit") or [None, None]
    if not isinstance(limits, list) or any(not isinstance(limit, int | float | None) for limit in limits):
        raise ValueError("timelimit must be two numbers")
    if len(limits) != 2:
        raise ValueError("timelimit must be two numbers")
    for name in ("retries", "expires", "root_id", "parent_id", "shadow", "group"):
        if isinstance(headers.get(name), dict | list):
            raise ValueError(f"{name} is of another type")
