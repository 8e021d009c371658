"""Gives work that a dead worker held to others, and publishes again what has lost its message."""

import logging
from typing import cast

from celery import Celery

from queue_worker.celery_app import CLASSIFY, HAVE_TEACHERS, oldest_published
from queue_worker.jobs.store import JobStore, key_of
from queue_worker.keys import PREFIX

_log = logging.getLogger(__name__)
RUN_ATTEMPTS = 3  # of a retraining whose process is killed


def end_leases(store: JobStore, worker: str) -> int:
    """Let the leases of a worker whose process is gone end now: the next look gives its work to others.

    Args:
        store: has the leases.
        worker: its name. One that lives after all loses what it does, and nothing else.

    Returns:
        How many units it held.
    """
    client = store.client
    names = [str(name) for name in cast("list[str]", client.hkeys(f"{PREFIX}tokens"))]
    pipe = client.pipeline(transaction=False)
    for name in names:
        id, _, unit = name.rpartition("/")
        pipe.hget(f"{key_of(id)}:held", unit)
    held = [name for name, holder in zip(names, pipe.execute(), strict=True) if holder == worker]
    if held:
        client.zadd(f"{PREFIX}out", dict.fromkeys(held, 0), xx=True)
        _log.warning("leases ended worker=%s units=%d", worker, len(held))
    return len(held)


def reap(application: Celery, store: JobStore) -> list[str]:
    """One look; returns the units whose lease had expired. Any number of processes may do this at once.

    A unit that is out has a message in the broker or a worker that holds its lease. Where it has neither (a
    crash between storing a job and publishing, an expired lease, a broker that came back without its last
    messages), or its job has risen by its age, it is published. Too often does no harm.
    """
    workers = store.statistics.worker_loads()
    threads = sum(worker.threads for worker in workers if worker.name.startswith(f"{CLASSIFY}@"))
    store.set_window(threads + 1)
    taught = any(worker.queue in HAVE_TEACHERS for worker in workers)
    store.hear_teachers(taught, wait_seconds=application.settings.teacher_seconds)
    expired = store.reap(
        max_attempts=application.settings.max_attempts,
        run_attempts=RUN_ATTEMPTS,
        oldest=oldest_published(store.client, application),
    )
    for name in expired:
        _log.warning("lease expired unit=%s", name)
    return expired
