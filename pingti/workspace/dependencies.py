"""Tasks that are asked only where another task has decided so: what depends on what, and circles in it."""

import contextlib
from collections.abc import Callable, Iterable

from pingti.errors import ArtifactError, NotFoundError
from pingti.workspace.registry import TaskEntry
from textcnn.student import Student


def circle(
    task: str, depends_on: Iterable[str], dependencies_of: Callable[[str], Iterable[str]]
) -> tuple[str, ...]:
    """The way on which a task would come to depend on itself, or nothing.

    Args:
        task: the name of the task.
        depends_on: what it depends on, each "task=class".
        dependencies_of: the same for any other task, by its name.

    Returns:
        The names on the way, from the task back to itself; empty where there is no such way.
    """
    ways: list[tuple[str, ...]] = [(task, dependency.partition("=")[0]) for dependency in depends_on]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == task:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [(*way, dependency.partition("=")[0]) for dependency in dependencies_of(way[-1])]
    return ()


def promoted_circle(entry: TaskEntry, depends_on: Iterable[str]) -> str:
    """The way of ``circle`` by the students promoted now, as a sentence shows it; empty where there is none.

    Args:
        entry: the task that would depend on ``depends_on``.
        depends_on: each "task=class".
    """

    def dependencies_of(task: str) -> Iterable[str]:
        # One that is not there, or damaged, depends on nothing; jobs are told when they are pinned.
        with contextlib.suppress(NotFoundError, ArtifactError):
            parent = entry.workspace.task(task)
            metadata = Student.read_metadata(parent.student_folder(parent.current() or 0))
            dependencies: list[str] = metadata.get("depends_on", [])
            return dependencies
        return ()

    return " -> ".join(circle(entry.name, depends_on, dependencies_of))
