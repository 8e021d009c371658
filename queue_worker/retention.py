"""What is old goes: jobs that ended long ago with their results, and uploads that no job needs any more."""

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from pingti.errors import ConflictError, NotFoundError
from queue_worker.jobs import Job, JobStatus
from queue_worker.settings import Settings
from queue_worker.shards import delete_job
from queue_worker.store import JobStore
from replacement.registry import Workspace

_DAY_SECONDS = 86_400.0
_PAGE = 100
_log = logging.getLogger(__name__)


def inputs_in_use(store: JobStore) -> set[str]:
    """Real paths of the inputs of all jobs that have not ended."""
    return {path for job in _jobs(store, final=False) for path in job.inputs}


def expire(settings: Settings, store: JobStore) -> int:
    """Delete what is older than ``retention_days``; returns how many jobs and uploads that were.

    Any number of processes may do this at once.
    """
    limit = time.time() - settings.retention_days * _DAY_SECONDS
    gone = 0
    for job in list(_jobs(store, final=True, submitted_before=limit)):
        if job.timestamps.get(job.status, limit) < limit:
            try:
                delete_job(settings, store, job.id)
            except (NotFoundError, ConflictError):  # another process was first
                continue
            gone += 1
    for folder in list(_old(Workspace(settings.home).jobs, limit)):
        if folder.name.startswith("job-") and not store.known(folder.name):  # its deletion was cut off
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    old = list(_old(settings.home / "uploads", limit))
    in_use = inputs_in_use(store) if old else set()
    for folder in old:
        if not any(str(path.resolve()) in in_use for path in folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    if gone:
        _log.info("expired count=%d", gone)
    return gone


def _old(parent: Path, limit: float) -> Iterator[Path]:
    """Folders of uploads or jobs, whole or broken off, in which nothing has changed since ``limit``."""
    try:
        folders = list(parent.iterdir())
    except FileNotFoundError:
        return
    for folder in folders:
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_mtime < limit:
            yield folder


def _jobs(store: JobStore, *, final: bool, submitted_before: float | None = None) -> Iterator[Job]:
    for status in JobStatus:
        after, more = None, status.final == final
        while more:
            jobs, after = store.list_jobs(
                after=after, limit=_PAGE, status=status, submitted_before=submitted_before
            )
            yield from jobs
            more = after is not None
