"""Train a family's network on what all its teachers said."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from replacement.family.columns import targets_of
from replacement.family.state import Family, State
from replacement.progress import advancing
from replacement.training.rounds.students import LABELS_WIDE_STRENGTH
from replacement.trunk import KEY, described
from textcnn import Student

FILTERS = 2
"""A family's network has so many times the filters that a task's definition asks for. All tasks have them in
common: on weibo's eight, from 12,000 random rows, they were worth .007 of F1, and cost a job less than a
second task does."""


def train_students(family: Family, state: State, number: int) -> list[Student]:
    """Train the network, and read each task off it.

    Args:
        family: has texts, shape and seed.
        state: the rows.
        number: of the round.
    """
    from textcnn.train import Recipe, train  # torch only where something is trained

    lead, section = family.lead, family.lead.definition.student
    rows, targets = learned(family, state)
    architecture = section.architecture()
    trained = train(
        lead.dataset.encoded.take(rows),
        targets,
        size=lead.dataset.vocabulary.size,
        architecture=dataclasses.replace(architecture, filters=FILTERS * architecture.filters),
        rng=lead.rng(f"round {number}"),
        embedding=lead.embedding,
        tasks=[len(group.labels) for group in family.groups],
        recipe=Recipe(epochs=section.epochs, wide_strength=LABELS_WIDE_STRENGTH),
        progress=advancing(lead.progress, f"round {number}: training", len(rows) * section.epochs),
    )
    students = Student.reading(
        trained,
        lead.dataset.vocabulary,
        {
            setup.entry.name: (setup.definition.classes, readout)
            for setup, readout in zip(family.setups, family.readouts, strict=True)
        },
    )
    columns = [described(group.teacher, group.output, group.labels) for group in family.groups]
    for student in students.values():
        student.metadata[KEY] = {"name": family.name, "columns": columns}
    return [students[setup.entry.name] for setup in family.setups]


def learned(family: Family, state: State) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows that the network learns from, and what it learns of each.

    Args:
        family: has groups and teachers.
        state: the rows that the teachers were asked about.

    Returns:
        The rows, int64 (k,), ascending; and float32 (k, columns), NaN where a group's teacher was not asked.
    """
    rows = np.unique(np.concatenate([teacher.training.rows for teacher in state.teachers]))
    of_task, parts = state.of_task, []
    for group in family.groups:
        own = of_task[group.members[0]].training
        targets = np.full((len(rows), len(group.labels)), np.nan, np.float32)
        setups = [family.setups[place] for place in group.members]
        targets[np.searchsorted(rows, own.rows)] = targets_of(
            group,
            own.scored.probabilities,
            family.lead.dataset.texts_of(own.rows),
            [setup.teacher for setup in setups],
        )
        parts.append(targets)
    return rows, np.concatenate(parts, axis=1)
