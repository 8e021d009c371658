"""What tasks need of other tasks: their decisions, their teachers and their files; and circles in it."""

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pingti.errors import ArtifactError, DefinitionError, NotFoundError
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


def parents_first(entries: Sequence[TaskEntry]) -> list[TaskEntry]:
    """Tasks in an order in which those that others depend on, by their definitions, come before them.

    Args:
        entries: any; parents that are not among them are not looked at.

    Raises:
        DefinitionError: a circle.
    """
    by_name = {entry.name: entry for entry in entries}

    def dependencies_of(task: str) -> Iterable[str]:
        return by_name[task].definition.depends_on if task in by_name else ()

    ordered: dict[str, TaskEntry] = {}

    def add(entry: TaskEntry) -> None:
        closed = circle(entry.name, dependencies_of(entry.name), dependencies_of)
        if closed:
            raise DefinitionError(
                f"{entry.path}: depends_on: a circle: {' -> '.join(closed)}; a task may not come to depend "
                "on itself"
            )
        for dependency in dependencies_of(entry.name):
            parent = dependency.partition("=")[0]
            if parent in by_name and parent not in ordered:
                add(by_name[parent])
        ordered.setdefault(entry.name, entry)

    for entry in entries:
        add(entry)
    return list(ordered.values())


def parents_without_student(entry: TaskEntry, version: int) -> list[str]:
    """The tasks that a version depends on and of which no version is promoted: no job could ask for it.

    Args:
        entry: the task.
        version: of it.

    Raises:
        NotFoundError: a task that it depends on is gone.
        ArtifactError: the version is damaged.
    """
    asked: Iterable[str] = Student.read_metadata(entry.student_folder(version)).get("depends_on", ())
    parents = dict.fromkeys(dependency.partition("=")[0] for dependency in asked)
    return [parent for parent in parents if entry.workspace.task(parent).current() is None]


def dependants(entry: TaskEntry) -> list[str]:
    """Which other tasks could not do without this one, and why; a task's own definition is not looked at.

    Args:
        entry: the task that they may need.

    Returns:
        For each a clause such as "praise (depends_on)".
    """
    others = (other for other in entry.workspace.entries() if other.name != entry.name)
    needs = {other.name: _needs(other, entry) for other in others}
    return [f"{name} ({', '.join(why)})" for name, why in needs.items() if why]


def files_named(definition_of: TaskEntry, owner: TaskEntry) -> list[str]:
    """The keys by which a definition names files of a task's folder.

    Args:
        definition_of: the task that is defined so.
        owner: whose folder it is.

    Raises:
        DefinitionError: the definition cannot be read.
    """
    keys = []
    for place, path in definition_of.definition.paths.items():
        resolved = Path(definition_of.path.parent, path).resolve()
        if "://" not in path and resolved.is_relative_to(owner.folder.resolve()):
            keys.append(".".join(str(part) for part in place if isinstance(part, str)))
    return keys


def _needs(other: TaskEntry, entry: TaskEntry) -> list[str]:
    """What a task needs another for, as keys of its definition and in words."""
    try:
        definition = other.definition
    except DefinitionError:
        text = other.path.read_bytes().decode("utf-8", "replace") if other.path.exists() else ""
        named = re.search(rf"(?<![a-z0-9_]){entry.name}(?![a-z0-9_])", text)
        return ["its definition cannot be read, and holds this name"] if named else []
    why = []
    if any(dependency.partition("=")[0] == entry.name for dependency in definition.depends_on):
        why.append("depends_on")
    else:
        with contextlib.suppress(NotFoundError, ArtifactError):
            metadata = Student.read_metadata(other.student_folder(other.current() or 0))
            asked = [dependency.partition("=")[0] for dependency in metadata.get("depends_on", ())]
            why += ["its promoted version was trained to depend on it"] if entry.name in asked else []
    if definition.teacher.model == f"task:{entry.name}":
        why.append("teacher.model")
    return why + files_named(other, entry)
