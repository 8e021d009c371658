"""The cheap way to a student inside a family: the trunk stays, and a head is trained on it in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError, DefinitionError, NotFoundError
from pingti.workspace.families import family_among
from pingti.workspace.registry import TaskEntry
from replacement.decision import DecisionRule
from textcnn import Encoded, Student
from textcnn.readout import Readout

KEY = "family"
"""Of a student's metadata: the family's columns."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trunk:
    """A promoted student of a family, whose trunk another task takes."""

    student: Student
    task: str
    version: int
    family: str
    readout: Readout | None
    """Where the other task's labels stand in the network; None where its teacher taught it nothing."""

    @property
    def note(self) -> str:
        """What a report tells of it."""
        return (
            f"the trunk is that of {self.task}, version {self.version}, of the family {self.family!r}, and "
            f"only the head is new: pingti replace --family {self.family} trains both, "
            'student.trunk = "own" makes a network for this task alone'
        )


def described(teacher: str, output: int | None, labels: Sequence[str]) -> dict[str, Any]:
    """What a student's metadata tells of a group of columns.

    Args:
        teacher: its fingerprint.
        output: the output that is read, of a teacher whose outputs are questions.
        labels: of the columns.
    """
    return {"teacher": teacher, "output": output, "labels": list(labels)}


def find_trunk(entry: TaskEntry, fingerprint: str, rule: DecisionRule) -> Trunk | None:
    """The trunk that a task of a family takes: its own promoted student's, or else another member's.

    Args:
        entry: the task.
        fingerprint: its teacher's.
        rule: how the task reads it.

    Returns:
        None for a task of no family, one that has a network of its own, or where nothing is promoted yet.
    """
    if entry.definition.student.trunk == "own":
        return None
    others = [other for other in entry.workspace.entries() if other.name != entry.name and _readable(other)]
    name = family_among([entry, *others], entry)
    if name is None:
        return None
    for member in [entry, *(other for other in others if family_among([entry, *others], other) == name)]:
        student = _promoted_of_family(member)
        if student is not None:
            return Trunk(
                student=student,
                task=member.name,
                version=member.current() or 0,
                family=name,
                readout=_readout(student, described(fingerprint, rule.output, rule.labels), rule),
            )
    return None


def student_on(
    trunk: Trunk,
    classes: Sequence[str],
    encoded: Encoded,
    targets: NDArray[np.float32],
    readout: Readout,
    *,
    rng: np.random.Generator,
    epochs: int,
    strength: float,
) -> Student:
    """Train a head on a trunk.

    Args:
        trunk: taken as it is.
        classes: of the task.
        encoded: n texts, by the trunk's vocabulary.
        targets: float32 (n, columns).
        readout: where the classes stand in the columns.
        rng: every random choice comes from it.
        epochs: passes over the rows.
        strength: logits for a margin of 1 of the wide part.
    """
    from textcnn.train import Recipe, train_head  # torch only where something is trained

    head = train_head(
        encoded,
        trunk.student.features(encoded),
        targets,
        wide=trunk.student.architecture.wide,
        rng=rng,
        recipe=Recipe(epochs=epochs, wide_strength=strength),
    )
    return trunk.student.with_head(*head, classes, readout)


def _readable(entry: TaskEntry) -> bool:
    """Whether a task has a definition that can be read: another's fault is none of this task's."""
    try:
        return bool(entry.definition)
    except DefinitionError:
        return False


def _promoted_of_family(entry: TaskEntry) -> Student | None:
    """A task's promoted student, if it was made by a family's run, or on such a trunk."""
    try:
        version = entry.current()
        if version is None:
            return None
        if KEY not in Student.read_metadata(entry.student_folder(version)):
            return None
        return Student.load(entry.student_folder(version))
    except (ArtifactError, NotFoundError):
        return None  # whoever uses the task is told of it; another member's trunk is as good


def _readout(student: Student, wanted: dict[str, Any], rule: DecisionRule) -> Readout | None:
    columns = student.metadata[KEY]["columns"]
    if wanted not in columns:
        return None
    return Readout(groups=student.readout.groups, group=columns.index(wanted), class_of=tuple(rule.class_of))
