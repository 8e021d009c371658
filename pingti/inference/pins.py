"""Which version of which student a job uses: fixed when it is accepted, however long it then waits."""

import dataclasses
import functools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from pingti.errors import ConflictError, InputError
from pingti.workspace.dependencies import circle
from pingti.workspace.registry import TaskEntry, Workspace
from textcnn.student import Student

_OF_CASCADE = ("second", "unsure_from", "unsure_below", "on_no_second")


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
    column: str | None = None
    """Column of its decisions, where the task is asked at several operating points; else the task's name."""
    second: str | None = None
    """Who answers where the student is not sure, of a version with a cascade: "teacher", or "transformer", a
    student that is part of the version."""
    unsure_from: float | None = None
    """The student is not sure of scores from here on, where there is a second; of more than two classes, of
    margins."""
    unsure_below: float | None = None
    """And below here."""
    on_no_second: str | None = None
    """What becomes of such rows in a job where no teacher can be had: "fail", or "student", which answers."""

    @property
    def name(self) -> str:
        """The column of its decisions."""
        return self.column or self.task


def deciding(pins: Sequence[Pin], task: str) -> Pin:
    """The pin of a task by which those decide that depend on it: the default point, or the one named first.

    Args:
        pins: have one of the task at least.
        task: its name.
    """
    own = [pin for pin in pins if pin.task == task]
    return next((pin for pin in own if pin.scene == "default"), own[0])


def pin(workspace: Workspace, choices: Sequence[Choice]) -> tuple[Pin, ...]:
    """Fix versions and thresholds; tasks that others depend on come first, hidden where not asked for.

    Args:
        workspace: where the students are.
        choices: at least one, each operating point of a task once.

    Returns:
        The pins, in an order in which they can be decided.

    Raises:
        NotFoundError: no such task or version.
        ConflictError: a task without a promoted version, an operating point that its student does not know,
            tasks that depend on each other in a circle, or on a class that a parent's student does not have.
        InputError: an operating point twice, or none; tasks of whose results two columns would have one name.
    """
    if not choices:
        raise InputError("tasks: at least one is needed")
    if problem := twice(choices):
        raise InputError(f"tasks: {problem}")
    asked: dict[str, list[Choice]] = {}
    for choice in choices:
        asked.setdefault(choice.task, []).append(choice)
    pins: dict[str, list[Pin]] = {}

    @functools.cache
    def pinned(task: str) -> tuple[list[Pin], tuple[str, ...]]:
        if task not in asked:
            own, depends_on = _pin(workspace, Choice(task=task), hidden=True)
            return [own], depends_on
        several = [_pin(workspace, choice, several=len(asked[task]) > 1) for choice in asked[task]]
        needed = dict.fromkeys(dependency for _, depends_on in several for dependency in depends_on)
        return [own for own, _ in several], tuple(needed)

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
            student = workspace.task(parent).student_folder(deciding(pins[parent], parent).version)
            class_number(task, parent, label, Student.read_classes(student))
        pins[task] = own

    for name in asked:
        add(name)
    every = tuple(own for several in pins.values() for own in several)
    shown = (own for own in every if not own.hidden)
    columns = Counter(["id", *(column for own in shown for column in columns_of(own))])
    column, count = columns.most_common(1)[0]
    if count > 1:
        raise InputError(
            f"tasks: two columns of the results would be named {column!r}; ask for the tasks apart"
        )
    return every


def twice(choices: Sequence[Choice]) -> str:
    """Which operating point is asked for twice, in words; empty where none is.

    Args:
        choices: of a caller.
    """
    points = [(choice.task, choice.scene) for choice in choices]
    for task, scene in points:
        if points.count((task, scene)) > 1:
            named = task if scene == "default" else f"{task}@{scene}"
            return f"{named!r} is there twice; name each operating point of a task once"
    return ""


def columns_of(pin: Pin) -> dict[str, pa.DataType]:
    """The columns of a pin's decisions and scores, and of who decided where there is a second, with types."""
    columns = {pin.name: pa.string(), f"{pin.name}_score": pa.float32()}
    return columns if pin.second is None else {**columns, f"{pin.name}_by": pa.string()}


def described(pin: Pin) -> dict[str, Any]:
    """A pin's fields as files hold them: those of a cascade only where it has one.

    Args:
        pin: of any student.
    """
    fields = dataclasses.asdict(pin)
    return (
        fields
        if pin.second is not None
        else {name: fields[name] for name in fields if name not in _OF_CASCADE}
    )


def alone(pins: Sequence[Pin]) -> tuple[Pin, ...]:
    """The same pins without a second: their students decide all rows.

    Args:
        pins: of any students.
    """
    return tuple(
        dataclasses.replace(pin, second=None, unsure_from=None, unsure_below=None, on_no_second=None)
        for pin in pins
    )


def _pin(
    workspace: Workspace, choice: Choice, *, hidden: bool = False, several: bool = False
) -> tuple[Pin, tuple[str, ...]]:
    """The pin, and what its student depends on (as it was trained, whatever the definition says by now)."""
    entry = workspace.task(choice.task)
    version = choice.version if choice.version is not None else entry.current()
    if version is None:
        raise ConflictError(f"task {choice.task!r}: no student is promoted yet{_towards_one(entry)}")
    metadata = Student.read_metadata(entry.student_folder(version))
    thresholds = metadata.get("thresholds", {})
    if choice.scene not in thresholds:
        known = ", ".join(sorted(thresholds))
        why = metadata.get("refused", {}).get(choice.scene)
        raise ConflictError(
            f"task {choice.task!r}: version {version} has no operating point {choice.scene!r}"
            f"{f' ({why})' if why else ''}; it has: {known}"
        )
    cascade = metadata.get("cascade", {})
    low, high = cascade.get("bands", {}).get(choice.scene, (None, None))
    own = Pin(
        task=choice.task,
        scene=choice.scene,
        version=version,
        threshold=thresholds[choice.scene],
        hidden=hidden,
        column=f"{choice.task}@{choice.scene}" if several and choice.scene != "default" else None,
        second=None if low is None else cascade["second"],
        unsure_from=low,
        unsure_below=high,
        on_no_second=None if low is None else cascade.get("on_no_teacher"),
    )
    return own, tuple(metadata.get("depends_on", ()))


def _towards_one(entry: TaskEntry) -> str:
    """What to do where no version is promoted."""
    versions = entry.versions()
    if not versions:
        return f"; pingti replace {entry.name} makes one"
    return (
        f": version {versions[-1]} is there but not promoted; pingti task report {entry.name} tells why, "
        f"and pingti promote {entry.name} promotes one that reached its gate"
    )


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
