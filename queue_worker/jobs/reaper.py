"""Gives work that a dead worker held to others, and publishes again what has lost its message."""

import logging

from celery import Celery

from queue_worker.celery_app import CLASSIFY, oldest_published
from queue_worker.jobs.store import JobStore

_log = logging.getLogger(__name__)
RUN_ATTEMPTS = 3  # of a retraining whose process is killed


def reap(application: Celery, store: JobStore) -> list[str]:
    """One look; returns the units whose lease had expired. Any number of processes may do this at once.

    A unit that is out has a message in the broker or a worker that holds its lease. Where it has neither (a
    crash between storing a job and publishing, an expired lease, a broker that came back without its last
    messages), or its job has risen by its age, it is published. Too often does no harm.
    """
    workers = store.statistics.worker_loads()
    threads = sum(worker.threads for worker in workers if worker.name.startswith(f"{CLASSIFY}@"))
    store.set_window(threads + 1)
    expired = store.reap(
        max_attempts=application.settings.max_attempts,
        run_attempts=RUN_ATTEMPTS,
        oldest=oldest_published(store.client, application),
    )
    for name in expired:
        _log.warning("lease expired unit=%s", name)
    return expired
