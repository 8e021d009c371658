"""Rows of text in, one column of decisions and one of scores per label task out.

This is what a job's shard and ``pingti classify`` share: rules, dependencies between tasks, thresholds of
the scene, and one encoding of a text for all tasks of one vocabulary.
"""

import contextlib
import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pingti.errors import ArtifactError, ConflictError, InputError, NotFoundError
from replacement.definition import RulesSection
from replacement.registry import TaskEntry, Workspace
from textcnn import Panel, Student


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a caller asks for."""

    task: str
    scene: str = "default"
    version: int | None = None
    """The promoted one where absent."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "task" or "task@scene", with "#version" behind either."""
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
    version: int
    threshold: float | None
    """Score of the positive class from which on a text is positive; None where there are more classes."""
    hidden: bool = False
    """Asked only because another task depends on it; not part of the result."""


def pin(workspace: Workspace, choices: Sequence[Choice]) -> tuple[Pin, ...]:
    """Fix versions and thresholds; tasks that others depend on come first, hidden where not asked for.

    Raises:
        NotFoundError: no such task or version.
        ConflictError: a task without a promoted version, a scene that its student does not know, tasks that
            depend on each other in a circle, or on a class that a parent's student does not have.
        InputError: a task twice, or none; tasks of whose results two columns would have one name.
    """
    names = [choice.task for choice in choices]
    if not names or len(set(names)) != len(names):
        twice = next((name for name in names if names.count(name) > 1), None)
        raise InputError(f"tasks: {twice!r} is there twice" if twice else "tasks: at least one is needed")
    asked = {choice.task: choice for choice in choices}
    pins: dict[str, Pin] = {}

    def add(task: str, path: tuple[str, ...]) -> None:
        if task in path:
            raise ConflictError(f"tasks depend on each other in a circle: {' -> '.join([*path, task])}")
        if task in pins:
            return
        made, depends_on = _pin(workspace, asked.get(task, Choice(task=task)), hidden=task not in asked)
        for dependency in depends_on:
            parent, _, label = dependency.partition("=")
            add(parent, (*path, task))
            student = workspace.task(parent).student_folder(pins[parent].version)
            _class_number(task, parent, label, Student.read_classes(student))
        pins[task] = made

    for name in names:
        add(name, ())
    columns = Counter(["id", *(column for name in names for column in _columns(name))])
    column, count = columns.most_common(1)[0]
    if count > 1:
        raise InputError(
            f"tasks: two columns of the results would be named {column!r}; ask for the tasks apart"
        )
    return tuple(pins.values())


def _columns(task: str) -> tuple[str, str]:
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
            f"task {choice.task!r}: version {version} has no scene {choice.scene!r}"
            f"{f' ({why})' if why else ''}; it has: {known}"
        )
    made = Pin(
        task=choice.task,
        scene=choice.scene,
        version=version,
        threshold=thresholds[choice.scene],
        hidden=hidden,
    )
    return made, tuple(metadata.get("depends_on", ()))


def circle(entry: TaskEntry, depends_on: Iterable[str]) -> str:
    """How a task with these dependencies would come to depend on itself, by the students promoted now.

    Empty where it would not.
    """
    ways: list[tuple[str, ...]] = [(entry.name, dependency.partition("=")[0]) for dependency in depends_on]
    seen: set[str] = set()
    while ways:
        way = ways.pop()
        if way[-1] == entry.name:
            return " -> ".join(way)
        if way[-1] in seen:
            continue
        seen.add(way[-1])
        # One that is not there, or damaged, depends on nothing; jobs are told when they are pinned.
        with contextlib.suppress(NotFoundError, ArtifactError):
            parent = entry.workspace.task(way[-1])
            metadata = Student.read_metadata(parent.student_folder(parent.current() or 0))
            ways += [(*way, each.partition("=")[0]) for each in metadata.get("depends_on", ())]
    return ""


class Classifier:
    """The students of some pins, loaded; safe to use from several threads.

    ``schema`` is that of the results: ``id``, then for every task ``<task>`` (string, null where it was not
    asked) and ``<task>_score`` (float32: the positive class's probability, or for more than two classes
    that of the class decided on). Its metadata's ``pingti.tasks`` tells versions, scenes and thresholds.
    """

    def __init__(self, workspace: Workspace, pins: Sequence[Pin]) -> None:
        self.pins = tuple(pins)
        self._tasks = [_Task(workspace, pin) for pin in self.pins]
        # What is asked of every text is scored in one pass; a dependent task often concerns few.
        asked = [task for task in self._tasks if not task.depends_on]
        self._asked_of_all = [task.pin.task for task in asked]
        self._panel = Panel([task.student for task in asked])
        fields = [("id", pa.string())]
        for pin in self.pins:
            if not pin.hidden:
                fields += zip(_columns(pin.task), (pa.string(), pa.float32()), strict=True)
        described = [dataclasses.asdict(pin) for pin in self.pins]
        self.schema = pa.schema(fields, metadata={"pingti.tasks": json.dumps(described)})

    def classify(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """One result row per row of ``rows`` (columns id and text), in the same order."""
        texts = rows.column("text")
        scored = dict(zip(self._asked_of_all, self._panel.score(texts), strict=True))
        decisions: dict[str, NDArray[np.int64]] = {}
        columns = [rows.column("id")]
        for task in self._tasks:
            decided, scores = task.decide(texts, scored.get(task.pin.task), decisions, self._tasks)
            decisions[task.pin.task] = decided
            if not task.pin.hidden:
                # Without a mask the arrays are taken as they are.
                absent = decided < 0 if decided.min(initial=0) < 0 else None
                labels = pa.DictionaryArray.from_arrays(
                    pa.array(decided, pa.int32(), mask=absent), pa.array(task.student.classes, pa.string())
                )
                columns += [labels.dictionary_decode(), pa.array(scores, pa.float32(), mask=absent)]
        return pa.record_batch(columns, schema=self.schema)


class _Task:
    def __init__(self, workspace: Workspace, pin: Pin) -> None:
        entry = workspace.task(pin.task)
        self.pin = pin
        self.student = Student.load(entry.student_folder(pin.version))
        # Rules and dependencies as they were when the student was trained, whatever the file says by now.
        self.rules = RulesSection.model_validate(self.student.metadata.get("rules", {}))
        self.depends_on = [
            dependency.partition("=")[::2] for dependency in self.student.metadata.get("depends_on", [])
        ]

    def decide(
        self,
        texts: pa.Array,
        scored: NDArray[np.float32] | None,
        decisions: dict[str, NDArray[np.int64]],
        tasks: "list[_Task]",
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Number of each text's class, -1 where the task does not apply, and its score.

        ``scored`` are the student's probabilities, (n, classes), where every text was scored.
        """
        ruled = self.rules.drop or self.rules.negative
        if scored is not None and not ruled and not np.isnan(scored[:, 0]).any():
            return self._choose(scored)  # the usual case, without a copy of anything
        applies = ~matches(texts, self.rules.drop)
        if scored is not None:
            applies &= ~np.isnan(scored[:, 0])  # not a text; what depends on another is not asked there
        for name, label in self.depends_on:
            parent = next(task.student for task in tasks if task.pin.task == name)
            applies &= decisions[name] == _class_number(self.pin.task, name, label, parent.classes)
        negative = matches(texts, self.rules.negative)
        asked = applies & ~negative
        decided = np.full(len(texts), -1, np.int64)
        decided[applies & negative] = 0
        scores = np.full(len(texts), 0.0 if self.pin.threshold is not None else 1.0, np.float32)
        rows = np.flatnonzero(asked)
        if len(rows):
            some = self.student.score(texts.take(pa.array(rows))) if scored is None else scored[rows]
            decided[rows], scores[rows] = self._choose(some)
        return decided, scores

    def _choose(self, probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        if self.pin.threshold is not None:
            scores = probabilities[:, 1]
            return (scores >= self.pin.threshold).astype(np.int64), scores
        return probabilities.argmax(axis=1), probabilities.max(axis=1)


def results_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of results: labels as numbers of a dictionary, ids and scores as they are.

    Those are seldom equal, and to look for a dictionary and for extremes cost more than to compress them.
    """
    labels = [field.name for field in schema if pa.types.is_string(field.type) and field.name != "id"]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=labels, write_statistics=labels)


def matches(texts: pa.Array, patterns: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts one of the patterns (RE2, searched anywhere) matches; False for a null."""
    found = np.zeros(len(texts), np.bool_)
    for pattern in patterns:
        hit: Any = pc.match_substring_regex(texts, pattern).fill_null(False)
        found |= hit.to_numpy(zero_copy_only=False)
    return found


def _class_number(task: str, parent: str, label: str, classes: Sequence[str]) -> int:
    if label not in classes:
        known = ", ".join(classes)
        raise ConflictError(
            f"task {task!r} depends on {parent}={label}; the classes of {parent!r} are {known}"
        )
    return classes.index(label)
