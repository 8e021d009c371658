"""Which version of which student a job uses: fixed when it is accepted, however long it then waits."""

import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pingti.errors import ConflictError, InputError
from pingti.workspace.dependencies import circle
from pingti.workspace.registry import Workspace
from textcnn.student import Student


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a caller asks for."""

    task: str
    scene: str = "default"
    """An operating point. REST and stored jobs call it a scene, as definitions do."""
    version: int | None = None
    """The promoted one where absent."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "task" or "task@scene", with "#version" behind either.

        Raises:
            InputError: the text is of neither form.
        """
        named, hash_sign, version = text.partition("#")
        task, at, scene = named.partition("@")
        if not task or (at and not scene) or (hash_sign and not re.fullmatch("[1-9][0-9]{0,8}", version)):
            raise InputError(f'task {text!r}: needed is "task" or "task@scene", then perhaps "#version"')
        return cls(task=task, scene=scene or "default", version=int(version) if version else None)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """What a choice became: it stays so however long a job waits."""

    task: str
    scene: str
    """As in ``Choice``."""
    version: int
    threshold: float | None
    """Score of the positive class from which on a text is positive; None where there are more classes."""
    hidden: bool = False
    """Asked only because another task depends on it; not part of the result."""


def pin(workspace: Workspace, choices: Sequence[Choice]) -> tuple[Pin, ...]:
    """Fix versions and thresholds; tasks that others depend on come first, hidden where not asked for.

    Args:
        workspace: where the students are.
        choices: at least one, each task once.

    Returns:
        The pins, in an order in which they can be decided.

    Raises:
        NotFoundError: no such task or version.
        ConflictError: a task without a promoted version, an operating point that its student does not know,
            tasks that depend on each other in a circle, or on a class that a parent's student does not have.
        InputError: a task twice, or none; tasks of whose results two columns would have one name.
    """
    names = [choice.task for choice in choices]
    if not names or len(set(names)) != len(names):
        twice = next((name for name in names if names.count(name) > 1), None)
        raise InputError(f"tasks: {twice!r} is there twice" if twice else "tasks: at least one is needed")
    asked = {choice.task: choice for choice in choices}
    pins: dict[str, Pin] = {}

    @functools.cache
    def pinned(task: str) -> tuple[Pin, tuple[str, ...]]:
        return _pin(workspace, asked.get(task, Choice(task=task)), hidden=task not in asked)

    def add(task: str) -> None:
        if task in pins:
            return
        own, depends_on = pinned(task)
        closed = circle(task, depends_on, lambda other: pinned(other)[1])
        if closed:
            raise ConflictError(f"tasks depend on each other in a circle: {' -> '.join(closed)}")
        for dependency in depends_on:
            parent, _, label = dependency.partition("=")
            add(parent)
            student = workspace.task(parent).student_folder(pins[parent].version)
            class_number(task, parent, label, Student.read_classes(student))
        pins[task] = own

    for name in names:
        add(name)
    columns = Counter(["id", *(column for name in names for column in columns_of(name))])
    column, count = columns.most_common(1)[0]
    if count > 1:
        raise InputError(
            f"tasks: two columns of the results would be named {column!r}; ask for the tasks apart"
        )
    return tuple(pins.values())


def columns_of(task: str) -> tuple[str, str]:
    """The columns of a task's decisions and scores."""
    return task, f"{task}_score"


def _pin(workspace: Workspace, choice: Choice, *, hidden: bool) -> tuple[Pin, tuple[str, ...]]:
    """The pin, and what its student depends on (as it was trained, whatever the definition says by now)."""
    entry = workspace.task(choice.task)
    version = choice.version if choice.version is not None else entry.current()
    if version is None:
        raise ConflictError(f"task {choice.task!r}: no student is promoted yet; pingti replace makes one")
    metadata = Student.read_metadata(entry.student_folder(version))
    thresholds = metadata.get("thresholds", {})
    if choice.scene not in thresholds:
        known = ", ".join(sorted(thresholds))
        why = metadata.get("refused", {}).get(choice.scene)
        raise ConflictError(
            f"task {choice.task!r}: version {version} has no operating point {choice.scene!r}"
            f"{f' ({why})' if why else ''}; it has: {known}"
        )
    own = Pin(
        task=choice.task,
        scene=choice.scene,
        version=version,
        threshold=thresholds[choice.scene],
        hidden=hidden,
    )
    return own, tuple(metadata.get("depends_on", ()))


def class_number(task: str, parent: str, label: str, classes: Sequence[str]) -> int:
    """Number of a parent's class on which a task depends.

    Args:
        task: the task that depends on it.
        parent: the task that decides.
        label: the class that it has to decide on.
        classes: those of the parent's student.

    Raises:
        ConflictError: the student has no such class.
    """
    if label not in classes:
        known = ", ".join(classes)
        raise ConflictError(
            f"task {task!r} depends on {parent}={label}; the classes of {parent!r} are {known}"
        )
    return classes.index(label)
