"""Celery's pool of threads, with one difference: every task ends.

An error outside of a task's own code (in what Celery does before and after it) is dropped by Celery's
threads: the message is never acknowledged, and the worker has a place less for ever. Here it is the task's
failure.
"""

import logging
from collections.abc import Callable
from typing import Any

from billiard.einfo import ExceptionInfo
from celery.concurrency.thread import TaskPool

_log = logging.getLogger(__name__)


class Threads(TaskPool):  # type: ignore[misc]  # celery has no types
    """Celery's pool of threads, in which every task ends."""

    def on_apply(self, target: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Have a thread do a task."""

        def end(*of_task: Any, **named: Any) -> Any:
            try:
                return target(*of_task, **named)
            except Exception as error:
                _log.exception("failed outside of a task")
                try:  # Celery would raise a MemoryError again
                    raise RuntimeError(f"{type(error).__name__}: {error}") from None
                except RuntimeError:
                    return 1, ExceptionInfo(), 0.0

        return super().on_apply(end, *arguments, **options)
