"""Which texts a task is asked about at all, where it depends on what other tasks have decided."""

from collections.abc import Collection

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.errors import ConflictError, DefinitionError, NotFoundError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.dependencies import promoted_circle
from pingti.workspace.registry import TaskEntry
from textcnn import Student


def parents_hold(entry: TaskEntry, texts: pa.Array, awaited: Collection[str] = ()) -> NDArray[np.bool_]:
    """Of which texts the promoted parents say what ``depends_on`` asks for.

    Args:
        entry: the task.
        texts: (n,) large_string.
        awaited: those of its dependencies that hold of all texts here: who decides them is not trained yet.

    Returns:
        bool (n,); all true for a task that depends on none.

    Raises:
        DefinitionError: dependencies that can never hold, or not all of them at once.
        ConflictError: a parent without a promoted version.
        NotFoundError: a parent that is not there.
    """
    holds = np.ones(len(texts), np.bool_)
    if not entry.definition.depends_on or len(texts) == 0:
        return holds
    dependencies = [own for own in entry.definition.depends_on if own not in awaited]
    parents = [Choice(task=dependency.partition("=")[0]) for dependency in dependencies]
    try:
        _check_dependencies(entry)
        if not parents:
            return holds
        pinned = pin(entry.workspace, parents)
    except (ConflictError, NotFoundError) as error:
        raise type(error)(f"{entry.path}: depends_on: {error}") from error
    classifier = Classifier.load(entry.workspace, pinned)
    decisions = classifier.classify(pa.record_batch({"id": pa.nulls(len(texts), pa.string()), "text": texts}))
    for dependency in dependencies:
        task, _, label = dependency.partition("=")
        holds &= np.array(decisions.column(task).to_pylist(), dtype=object) == label
    return holds


def _check_dependencies(entry: TaskEntry) -> None:
    """Raise DefinitionError for dependencies that can never hold, or not all of them at once."""
    way = promoted_circle(entry, entry.definition.depends_on)
    if way:
        raise DefinitionError(
            f"{entry.path}: depends_on: a circle by the versions promoted now: {way}; a task may not come to "
            "depend on itself"
        )
    parents: set[str] = set()
    for dependency in entry.definition.depends_on:
        task, _, label = dependency.partition("=")
        parent = entry.workspace.task(task)
        # The promoted student decides, whatever the definition says by now.
        version = parent.current()
        promoted = None if version is None else parent.student_folder(version)
        classes = Student.read_classes(promoted) if promoted else parent.definition.classes
        problem = ""
        if task in parents:
            problem = f"task {task!r} is named twice; a text is of one of its classes alone"
        elif label not in classes:
            problem = f"{dependency!r}: task {task!r} has no class {label!r}; it has {', '.join(classes)}"
        if problem:
            raise DefinitionError(f"{entry.path}: depends_on: {problem}")
        parents.add(task)
