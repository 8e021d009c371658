"""The columns of a family's network: the labels of its members' teachers, a group for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replacement.training.rounds.state import Setup
from replacement.training.subclasses import Subclasses
from replacement.training.teacher_labels import TeacherLabels, within_class
from textcnn.readout import Readout


@dataclass(frozen=True, kw_only=True, eq=False)
class Group:
    """Columns that exclude each other: a teacher's labels; of one whose outputs are questions, no and yes."""

    teacher: str
    """The teacher's fingerprint."""
    output: int | None
    """The output, of a teacher whose outputs each answer a question of their own."""
    members: tuple[int, ...]
    """The places of the tasks that read it."""
    labels: tuple[str, ...]
    """The columns' names."""


def groups_of(setups: Sequence[Setup]) -> list[Group]:
    """The groups that a family's tasks read, in the order of the tasks.

    Args:
        setups: of the tasks.
    """
    readers: dict[tuple[str, int | None], list[int]] = {}
    for place, setup in enumerate(setups):
        key = (setup.teacher.fingerprint, setup.teacher.rule.output)
        readers.setdefault(key, []).append(place)
    return [
        Group(
            teacher=teacher,
            output=output,
            members=tuple(members),
            labels=setups[members[0]].teacher.rule.labels,
        )
        for (teacher, output), members in readers.items()
    ]


def readouts_of(setups: Sequence[Setup], groups: Sequence[Group]) -> list[Readout]:
    """Where each task's classes stand in the columns.

    Args:
        setups: of the tasks.
        groups: of all columns.
    """
    sizes = tuple(len(group.labels) for group in groups)
    group_of = {place: number for number, group in enumerate(groups) for place in group.members}
    return [
        Readout(groups=sizes, group=group_of[place], class_of=setup.teacher.rule.class_of)
        for place, setup in enumerate(setups)
    ]


def subclasses_of(readout: Readout) -> Subclasses:
    """What a report tells of the labels that a readout tells apart.

    Args:
        readout: of a task.
    """
    order = np.argsort(readout.class_of, kind="stable")
    counts = np.bincount(readout.class_of)
    return Subclasses(of_label=tuple(np.argsort(order).tolist()), counts=tuple(counts.tolist()))


def targets_of(
    group: Group, outputs: NDArray[np.float32], texts: list[str], teachers: Sequence[TeacherLabels]
) -> NDArray[np.float32]:
    """What a group's columns are to learn.

    Args:
        group: of the columns.
        outputs: float32 (n, outputs), what the teacher says of n texts.
        texts: those texts.
        teachers: of the tasks that read the group: the same model, each with the labels that people gave its
            task. A label that people contradict has no part in a row; where two tasks contradict each other,
            the first is believed.

    Returns:
        float32 (n, columns), each row of sum 1.
    """
    targets: NDArray[np.float32] = outputs.astype(np.float32)
    if group.output is not None:
        holds = targets[:, group.output]
        targets = np.stack([1 - holds, holds], axis=1)
    targets = targets / np.maximum(targets.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    ruled_out: dict[int, NDArray[np.bool_]] = {}
    for teacher in teachers:
        class_of = np.asarray(teacher.rule.class_of)
        for row, decided in teacher.labelled_by_people(texts).items():
            allowed = ruled_out.get(row, np.ones(len(class_of), np.bool_)) & (class_of == decided)
            if allowed.any():
                ruled_out[row] = allowed
                targets[row] = within_class(targets[row], allowed.tolist(), True)
    return targets
