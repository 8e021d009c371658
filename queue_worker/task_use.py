"""What the store knows of a label task: jobs and retrainings that need it, and what was counted of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pingti.errors import ConflictError
from pingti.files import locked
from pingti.workspace import removal
from pingti.workspace.registry import TaskEntry
from queue_worker.celery_app import connect
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import Processes
from queue_worker.processes.server_check import impatient_client
from queue_worker.processes.workplace import require_workspace
from queue_worker.retention import unfinished_jobs
from queue_worker.retraining.drift import move_agreement
from queue_worker.retraining.runs import RunStore
from queue_worker.settings import Settings

_NAMED = 3  # jobs, in a refusal


def remove(entry: TaskEntry, store: JobStore) -> None:
    """Remove a task that no job or retraining needs, with what the store knows of it.

    A job that is accepted in the same moment fails, with a sentence that names the task.

    Args:
        entry: the task.
        store: where the jobs are.

    Raises:
        NotFoundError: there is no such task.
        ConflictError: jobs, a retraining or other tasks need it; they are named.
        RedisError: the server does not answer.
    """
    removal.remove(entry, check=_check(entry, store))
    _move(store, entry.name, None)


def rename(entry: TaskEntry, name: str, store: JobStore) -> TaskEntry:
    """Rename a task that no job or retraining needs; what the store knows of it goes along.

    Args:
        entry: the task.
        name: its new name.
        store: where the jobs are.

    Returns:
        The task under its new name.

    Raises:
        DefinitionError: the new name is not allowed.
        NotFoundError: there is no such task.
        ConflictError: as of ``remove``; or the new name is taken.
        RedisError: the server does not answer.
    """
    renamed = removal.rename(entry, name, check=_check(entry, store))
    _move(store, entry.name, name)
    return renamed


@contextmanager
def store_of_workspace(settings: Settings) -> Iterator[JobStore]:
    """The jobs of a workspace whose service does not run, or keeps them in a server that is named.

    The embedded server is started for the time of a look, so that no service starts meanwhile.

    Args:
        settings: where the workspace and, if one is named, the server are.

    Raises:
        ConflictError: the service runs on this workspace's embedded server; or the server is another's.
        UnavailableError: the embedded server cannot be started.
        RedisError: the server does not answer.
    """

    def busy() -> None:
        raise ConflictError(
            f"a service runs on the workspace {settings.home}; ask it by --url, or stop it first"
        )

    with ExitStack() as stack:
        if settings.redis_url is None:
            with locked(settings.home / "valkey" / "lock", mode=0o600, busy=busy):
                pass
            settings = stack.enter_context(Processes()).start_valkey(settings)
        with impatient_client(settings) as client:
            require_workspace(client, settings.home, settings.storage)
        yield JobStore(stack.enter_context(connect(settings)))


def _check(entry: TaskEntry, store: JobStore) -> Callable[[], None]:
    def check() -> None:
        jobs = [job.id for job in unfinished_jobs(store) if any(pin.task == entry.name for pin in job.pins)]
        if jobs:
            more = f" and {len(jobs) - _NAMED:,} more" if len(jobs) > _NAMED else ""
            raise ConflictError(
                f"task {entry.name!r}: jobs that have not ended need it: {', '.join(jobs[:_NAMED])}{more}; "
                "wait for them or cancel them"
            )
        going = [run.id for run in RunStore(store.client).of_task(entry.name) if not run.state.final]
        if going:
            raise ConflictError(
                f"task {entry.name!r}: a retraining has not ended: {going[0]}; wait for it or cancel it"
            )

    return check


def _move(store: JobStore, task: str, to: str | None) -> None:
    RunStore(store.client).move(task, to)
    move_agreement(store.client, task, to)
