"""``pingti task remove`` and ``rename``: what nothing needs any more, and what got a wrong name."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.console import Screen
from api.cli.jobs import Key
from api.cli.tasks import WORKSPACE, Home, Json, TaskName
from pingti.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from pingti.workspace.registry import TaskEntry
    from queue_worker.jobs.store import JobStore


def remove(
    task: TaskName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Annotated[
        str | None, typer.Option(help="Have the running service there do it, which has the workspace.")
    ] = None,
    key: Key = None,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Remove a task with its versions, history, labels and review queue, for good.

    Refused where a job or retraining that has not ended needs it, or another task's definition.
    """
    screen = Screen(as_json=as_json)
    if url is not None:
        from pingti.client import Client

        with Client(url, key) as service:
            versions = len(service.task(task).versions)
            _confirm(f"{task} with its versions ({versions}), history and labels goes for good", yes)
            service.delete_task(task)
    else:
        from pingti.workspace import removal
        from pingti.workspace.registry import Workspace

        entry = Workspace(home).task(task)
        _confirm(f"{task} with {_what_goes(entry)} goes for good", yes)
        with _store(home) as store:
            if store is None:
                removal.remove(entry, check=_nobody)
            else:
                from queue_worker import task_use

                task_use.remove(entry, store)
    screen.say(f"{task}: removed")
    screen.result({"task": task, "removed": True})


def rename(
    task: TaskName,
    name: Annotated[str, typer.Argument(help="Its new name.")],
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Give a task another name; its versions, history and labels go along.

    Refused where a job or retraining that has not ended needs it, or another task's definition: no other
    file is changed. An embedded service has to be stopped for it.
    """
    from pingti.workspace import removal
    from pingti.workspace.registry import Workspace

    screen = Screen(as_json=as_json)
    entry = Workspace(home).task(task)
    with _store(home) as store:
        if store is None:
            renamed = removal.rename(entry, name, check=_nobody)
        else:
            from queue_worker import task_use

            renamed = task_use.rename(entry, name, store)
    screen.say(f"{task}: is {name} from now on: {renamed.path}")
    screen.result({"task": name, "before": task, "definition": str(renamed.path)})


@contextmanager
def _store(home: Path) -> "Iterator[JobStore | None]":
    """The workspace's jobs; None where it never had a service."""
    if "PINGTI_REDIS_URL" not in os.environ and not (home / "valkey").is_dir():
        yield None
        return
    import redis

    from queue_worker.settings import Settings
    from queue_worker.task_use import store_of_workspace

    try:
        with store_of_workspace(Settings(home=home)) as store:
            yield store
    except redis.RedisError as error:
        raise UnavailableError(
            f"whether a job needs the task is not known, and nothing was changed: the server that keeps the "
            f"jobs does not answer ({' '.join(str(error).split())})"
        ) from error


def _nobody() -> None:
    """No job needs a task where there is no service."""


def _what_goes(entry: "TaskEntry") -> str:
    from pingti import files
    from pingti.annotation import labels

    labelled = sum(1 for _ in files.read_lines(entry.folder / labels.FILE))
    return (
        f"all that it has (versions: {len(entry.versions())}, lines of history: {len(entry.history())}, "
        f"labels by people: {labelled})"
    )


def _confirm(what: str, yes: bool) -> None:
    """Ask a person; where none can be asked, --yes is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{what}; nobody is here to be asked: --yes says that it is meant")
    typer.confirm(f"{what}. Remove it?", abort=True, err=True)
