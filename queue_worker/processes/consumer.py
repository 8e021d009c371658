"""The consumer of Celery's worker, with one difference: a task that cannot be taken ends no worker.

Celery lets every error of a strategy but three out of the consumer, which ends the worker; the message goes
back to the queue, and ends the next one. Here it is put aside. So are messages of unknown tasks.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import redis
from celery.worker.consumer import Consumer as CeleryConsumer

from queue_worker.celery_app import connect
from queue_worker.processes.rejected import put_aside
from queue_worker.settings import Settings


class Consumer(CeleryConsumer):  # type: ignore[misc]  # celery has no types
    """Celery's consumer, which puts aside what it cannot take."""

    def create_task_handler(self, *arguments: Any, **options: Any) -> Callable[[Any], Any]:
        """Celery's handler of a message, guarded."""
        handle = super().create_task_handler(*arguments, **options)
        passed = (*self.connection_errors, *self.connection.channel_errors)

        def on_task_received(message: Any) -> Any:
            try:
                _look(message)
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


def _look(message: Any) -> None:
    """Raise ValueError for a message of which a pool's process would stumble later."""
    headers = message.headers
    if not isinstance(headers.get("id"), str) or not isinstance(headers.get("task"), str):
        raise ValueError("id and task must be texts")
    arguments, named, _ = message.payload  # three parts, as Celery's own
    if not isinstance(arguments, list) or not isinstance(named, dict):
        raise ValueError("its body does not hold arguments")
    limits = headers.get("timelimit") or [None, None]
    if not isinstance(limits, list) or [each for each in limits if not isinstance(each, int | float | None)]:
        raise ValueError("timelimit must be two numbers")
    if len(limits) != 2:
        raise ValueError("timelimit must be two numbers")
    for name in ("retries", "eta", "expires", "root_id", "parent_id", "shadow", "group"):
        if isinstance(headers.get(name), dict | list):
            raise ValueError(f"{name} is of another type")
