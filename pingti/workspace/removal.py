"""Removing and renaming label tasks: what stands against it, and the move itself."""

from collections.abc import Callable

from pingti.errors import ConflictError
from pingti.workspace import moves
from pingti.workspace.definition import check_name
from pingti.workspace.dependencies import dependants, files_named
from pingti.workspace.registry import TaskEntry


def remove(entry: TaskEntry, *, check: Callable[[], None]) -> None:
    """Remove a task with its versions, history, labels and review queue: all of it, or nothing.

    What teachers answered stays: tasks of the same teacher share it.

    Args:
        entry: the task.
        check: raises where jobs or runs still need the task.

    Raises:
        NotFoundError: there is no such task.
        ConflictError: a version of it is being made, or other tasks need it, which are named.
    """

    def before() -> None:
        _refuse_needed(entry, "removed")
        check()

    with entry.making():
        moves.do(entry.workspace.tasks, moves.Move(task=entry.name), before=before)


def rename(entry: TaskEntry, name: str, *, check: Callable[[], None]) -> TaskEntry:
    """Give a task another name: all that it has goes with it, and no other definition is changed.

    Reports and lines of the history keep the name under which they were written.

    Args:
        entry: the task.
        name: its new name.
        check: as of ``remove``.

    Returns:
        The task under its new name.

    Raises:
        DefinitionError: the new name is not allowed.
        NotFoundError: there is no such task.
        ConflictError: as of ``remove``; or the new name is taken, or the task's own definition names files in
            its folder.
    """
    check_name(name)
    renamed = TaskEntry(entry.workspace, name)

    def before() -> None:
        if renamed.path.exists() or renamed.folder.exists():
            taken = renamed.path if renamed.path.exists() else renamed.folder
            raise ConflictError(f"task {entry.name!r}: {taken} is there already; take another name")
        _refuse_needed(entry, "renamed")
        if keys := files_named(entry, entry):
            raise ConflictError(
                f"task {entry.name!r}: its own definition names files in its folder {entry.folder} "
                f"({', '.join(keys)}), which would be gone; put them elsewhere first"
            )
        check()
        entry.record("renamed", entry.current() or 0, why=f"{entry.name} is {name} from now on")

    with entry.making():
        moves.do(entry.workspace.tasks, moves.Move(task=entry.name, to=name), before=before)
    return renamed


def _refuse_needed(entry: TaskEntry, what: str) -> None:
    if others := dependants(entry):
        raise ConflictError(
            f"task {entry.name!r}: not {what}, as other tasks need it: {'; '.join(others)}; change or remove "
            "those first"
        )
