"""The Celery tasks, as a worker registers them."""

import inspect
from typing import Any

from queue_worker import celery_app
from queue_worker.settings import Settings
from reference_pages.fields import cell, code, summary

_HEAD = """\
# Celery tasks

<!-- Written by docs/generate.py from queue_worker/tasks.py; do not edit by hand. -->

The names by which `celery -A queue_worker.celery_app inspect active`, Flower and logs show the work.
Arguments are ids and numbers; all else is read from the store, so that a message that is lost, late or
doubled does no harm. How they work together: [The queue](../queue.md).

| task | queue | what it does | periodic, with default settings |
|---|---|---|---|
"""


def page() -> str:
    """The text of reference/celery-tasks.md."""
    settings = Settings(redis_url="redis://nowhere/0")
    application = celery_app.make_celery(settings)
    application.loader.import_default_modules()
    pauses = {entry["task"]: _pause(entry["schedule"]) for entry in application.conf.beat_schedule.values()}
    return _HEAD + "".join(
        f"| {code(name + _arguments(application.tasks[name]))} | {_queues(name, queue)} "
        f"| {cell(summary(application.tasks[name].run))} | {pauses.get(name, '')} |\n"
        for name, queue in celery_app.QUEUE_OF.items()
    )


def _arguments(task: Any) -> str:
    return f"({', '.join(inspect.signature(task.run).parameters)})"


def _pause(seconds: float) -> str:
    return f"every {seconds:g} s"


def _queues(name: str, queue: str) -> str:
    """The queue of a task; of shards that of those, too, whose students ask a teacher."""
    more = [celery_app.TEACH] if name == celery_app.CLASSIFY_TASK else []
    return ", ".join(map(code, (queue, *more)))
