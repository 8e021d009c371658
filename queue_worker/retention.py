"""What is old goes: jobs that ended long ago with their results, and uploads that no job needs any more."""

import logging
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pingti import remote
from pingti.errors import ConflictError, NotFoundError
from pingti.workspace.registry import Workspace
from queue_worker.classifying.results import remove_files
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.settings import Settings

_DAY_SECONDS = 86_400.0
_PAGE = 100
_ASIDE = ".removed"
_log = logging.getLogger(__name__)


def inputs_in_use(store: JobStore) -> set[str]:
    """Real paths of the inputs of all jobs that have not ended."""
    return {path for job in unfinished_jobs(store) for path in job.inputs}


def unfinished_jobs(store: JobStore) -> Iterator[Job]:
    """All jobs that have not ended."""
    return _jobs(store, final=False)


def expire(settings: Settings, store: JobStore) -> int:
    """Delete what is older than ``retention_days``; returns how many jobs and uploads that were.

    Any number of processes may do this at once.
    """
    limit = time.time() - settings.retention_days * _DAY_SECONDS
    gone = 0
    for job in list(_jobs(store, final=True, submitted_before=limit)):
        if job.timestamps.get(job.status, limit) < limit:
            try:
                store.delete(job.id)
            except (NotFoundError, ConflictError):  # another process was first
                continue
            remove_files(settings, job.id)
            gone += 1
    for folder in list(_old(Workspace(settings.home).jobs, limit)):
        if folder.name.startswith("job-") and not store.known(folder.name):  # its deletion was cut off
            shutil.rmtree(folder, ignore_errors=True)
            gone += 1
    old = list(_old(settings.home / "uploads", limit))
    in_use = _folders_of(settings, inputs_in_use(store)) if old else set()
    gone += remove_uploads(
        settings,
        store,
        [folder for folder in old if folder.name.endswith(_ASIDE) or _named(folder) not in in_use],
    )
    if gone:
        _log.info("expired count=%d", gone)
    return gone


def remove_uploads(settings: Settings, store: JobStore, folders: Iterable[Path]) -> int:
    """Remove folders of uploads, but those of which a job reads that has not ended; returns how many went.

    They are put aside before the look at the jobs: a job is either seen by it, or finds no file and is not
    accepted. What a crash leaves aside, an ``expire`` removes or puts back.
    """
    aside: dict[Path, Path] = {}
    for folder in folders:
        named = _named(folder)
        with suppress(FileNotFoundError):  # another process was first
            aside[named] = folder.rename(folder.with_name(f".{named.name}{_ASIDE}"))
    try:
        kept = _folders_of(settings, inputs_in_use(store)) & set(aside) if aside else set()
    except BaseException:
        kept = set(aside)
        raise
    finally:
        for named in kept:
            with suppress(FileNotFoundError):
                aside.pop(named).rename(named)
    for named, folder in aside.items():
        if settings.storage is not None:
            settings.storage.delete_below(f"uploads/{named.name}")
        shutil.rmtree(folder, ignore_errors=True)
    return len(aside)


def _named(folder: Path) -> Path:
    """The real path by which jobs name an upload's folder, put aside or not."""
    name = folder.name
    if name.endswith(_ASIDE):
        name = name.removeprefix(".").removesuffix(_ASIDE)
    return folder.parent.resolve() / name


def _folders_of(settings: Settings, paths: Iterable[str]) -> set[Path]:
    """Folders of uploads that jobs read, where they have them: here, or in the store."""
    shared = "" if settings.store is None else remote.joined(settings.store, "")
    here = f"{settings.home.resolve()}/"
    return {Path(path.replace(shared, here, 1) if shared else path).parent for path in paths}


def _old(parent: Path, limit: float) -> Iterator[Path]:
    """Folders of uploads or jobs, whole or broken off, in which nothing has changed since ``limit``."""
    try:
        folders = list(parent.iterdir())
    except FileNotFoundError:
        return
    for folder in folders:
        with suppress(FileNotFoundError):  # another process was first
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
