"""Training the students of a task: on a network of their own, on a family's trunk, or on the whole pool."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pingti.errors import InputError, UnavailableError
from pingti.workspace.definition import Definition, StudentSection
from replacement.progress import advancing
from replacement.self_training.finish import column_probabilities, finish
from replacement.training.rounds.state import Asked, Setup, TrainingSet
from replacement.training.subclasses import Subclasses
from replacement.trunk import KEY, Trunk, student_on
from textcnn import Student
from textcnn.fold import first_columns
from textcnn.readout import Readout

if TYPE_CHECKING:  # torch only where something is trained
    from textcnn.network import TextCNN
    from textcnn.train import Recipe

LABELS_WIDE_STRENGTH = 0.5
"""Logits for a margin of 1 of the wide part, of a network that learns more labels than classes. On weibo's
tasks, from 12,000 random rows, mean F1 was .785 with 0.25, .790 with 0.5, .783 with 1, .775 with 1.5."""


def train_student(setup: Setup, training: TrainingSet, subclasses: Subclasses, number: int) -> Student:
    """Train a student on the rows known so far.

    Args:
        setup: has texts, shape and seed.
        training: the rows.
        subclasses: the parts of the classes.
        number: of the round.

    Raises:
        InputError: there are boundary rows alone, and they are left out.
        UnavailableError: there are no rows.
    """
    definition = setup.definition
    learned = training.learned(definition.teacher)
    rows = training.rows[learned]
    if len(learned) == 0:
        raise UnavailableError(
            f"{setup.entry.path}: the teacher gave no answer for any row to learn from"
            + "".join(f"; {note}" for note in setup.teacher.cost_notes)
        )
    if len(rows) == 0:
        raise InputError(
            f"{setup.entry.path}: teacher.margin: on all {len(learned)} rows the teacher's margin is below "
            f'{definition.teacher.margin}, and teacher.boundary = "leave"; nothing is left to learn from'
        )
    targets = subclasses.targets(training.answers.labels[learned])
    if setup.trunk is not None:
        return _student_on_trunk(setup, setup.trunk, rows, targets, subclasses, number)
    return train_on(setup, rows, targets, subclasses, f"round {number}")


def train_on(
    setup: Setup,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    subclasses: Subclasses,
    what: str,
    section: StudentSection | None = None,
) -> Student:
    """Train a student of its own network on some rows.

    Args:
        setup: has texts and seed.
        rows: int64 (n,), of the dataset.
        targets: float32 (n, subclasses), what it learns of them.
        subclasses: the parts of the classes.
        what: which training it is; it is part of the seed.
        section: its shape, for which ``setup`` has the vocabulary; the definition's where absent.
    """
    from textcnn.train import class_weights, train  # torch only where something is trained

    definition, dataset = setup.definition, setup.dataset
    section = section or definition.student
    # Of two classes the threshold does what weights would: F1 was level.
    weights = None
    if not definition.binary:
        decided = np.add.reduceat(targets, first_columns(subclasses.counts), axis=1).argmax(axis=1)
        weights = class_weights(decided, len(definition.classes))
    network = train(
        dataset.encoded.take(rows),
        targets,
        weights=weights,
        size=dataset.vocabulary.size,
        architecture=section.architecture(),
        rng=setup.rng(what),
        embedding=setup.embedding,
        recipe=_recipe(definition, subclasses, section.epochs),
        progress=advancing(setup.progress, f"{what}: training", len(rows) * section.epochs),
    )
    return folded(setup, network, subclasses)


def folded(setup: Setup, network: "TextCNN", subclasses: Subclasses) -> Student:
    """Fold a network of the task's own.

    Args:
        setup: has classes and vocabulary.
        network: of that vocabulary.
        subclasses: the parts of the classes, its columns.
    """
    vocabulary, classes = setup.dataset.vocabulary, setup.definition.classes
    if not subclasses.divided:
        return Student.from_network(network, vocabulary, classes)
    tasks = {setup.entry.name: (classes, Readout.of_subclasses(subclasses.counts))}
    return Student.reading(network, vocabulary, tasks)[setup.entry.name]


def finish_task(setup: Setup, asked: Asked, student: Student, subclasses: Subclasses) -> Student:
    """Finish the student of a task.

    Args:
        setup: has texts and shape, and says how many rows of the pool may be learned from besides.
        asked: all rows asked about.
        student: the best round's.
        subclasses: the parts of the classes.
    """
    training, encoded = asked.training, setup.dataset.encoded
    learned = training.learned(setup.definition.teacher)
    return finish(
        lambda rows, targets: train_on(setup, rows, targets, subclasses, "finish"),
        lambda rows: column_probabilities(student, encoded.take(rows)),
        training.rows[learned],
        subclasses.targets(training.answers.labels[learned]),
        asked.unasked(setup),
        groups=student.readout.groups,
        most=setup.definition.student.finish_rows,
        rng=setup.rng("rows of the finish"),
    )


def _student_on_trunk(
    setup: Setup,
    trunk: Trunk,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    subclasses: Subclasses,
    number: int,
) -> Student:
    """A student of a family: first read off its network as it is, where that has learned from the teacher."""
    definition = setup.definition
    if number == 1 and trunk.readout is not None:
        student = trunk.student.read_as(definition.classes, trunk.readout)
        student.metadata[KEY] = trunk.student.metadata[KEY]
        return student
    recipe = _recipe(definition, subclasses, definition.student.epochs)
    student = student_on(
        trunk,
        definition.classes,
        setup.dataset.encoded.take(rows),
        targets,
        Readout.of_subclasses(subclasses.counts),
        rng=setup.rng(f"round {number}"),
        epochs=recipe.epochs,
        strength=recipe.wide_strength,
    )
    # Its own columns: who takes the trunk from it finds none of its teacher's in them.
    student.metadata[KEY] = {"name": trunk.family, "columns": []}
    return student


def _recipe(definition: Definition, subclasses: Subclasses, epochs: int) -> "Recipe":
    """How a student is trained.

    Where many classes are weighed evenly, the wide part's margins are smaller, and 1.5 logits for each
    calibrate as well: on weibo's nine, from 12,000 random rows, weights made macro F1 .71 to .74.
    """
    from textcnn.train import Recipe

    if subclasses.divided:
        return Recipe(epochs=epochs, wide_strength=LABELS_WIDE_STRENGTH)
    return Recipe(epochs=epochs, wide_strength=1.0 if definition.binary else 1.5)
