"""The Celery messages of units: which task takes a unit, under which id."""

from collections.abc import Sequence

from celery import Celery

from queue_worker.celery_app import (
    CLASSIFY_TASK,
    FINALIZE_TASK,
    PLAN_TASK,
    PUBLISHED,
    RETRAIN_TASK,
    TEACH,
    make_celery,
    send,
)
from queue_worker.jobs.commands import Publish
from queue_worker.jobs.models import FINALIZE, PLAN, RETRAIN_UNIT, RUN, Message
from queue_worker.settings import Settings

_TASKS = {PLAN: PLAN_TASK, FINALIZE: FINALIZE_TASK, RETRAIN_UNIT: RETRAIN_TASK}


def publish(application: Celery, messages: Sequence[Message]) -> None:
    """Publish what the store says is due.

    Raises:
        kombu.exceptions.OperationalError: the broker does not take it; the reaper publishes it later.
    """
    with application.producer_pool.acquire(block=True) as producer:
        for message in messages:
            task = _TASKS.get(message.unit, CLASSIFY_TASK)
            id = message.id.removeprefix(RUN)
            arguments = (id, int(message.unit)) if task == CLASSIFY_TASK else (id,)
            send(
                application,
                task,
                *arguments,
                queue=TEACH if message.taught else None,
                level=message.level,
                id=message.task_id,
                headers={PUBLISHED: message.published},
                producer=producer,
            )


def publisher(settings: Settings, *, seconds: float | None = None) -> Publish:
    """For a store: publishes by this process's application.

    Args:
        settings: where the broker is.
        seconds: that an answer of it is waited for; without end where absent.
    """

    def publish_due(messages: Sequence[Message]) -> None:
        publish(make_celery(settings, seconds=seconds), messages)

    return publish_due
