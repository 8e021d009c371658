"""The search of a task: rows, shapes, trials, and what comes of them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from pingti import files
from pingti.workspace.registry import TaskEntry
from replacement.evaluation.speed import measure_speeds
from replacement.progress import Progress, quiet
from replacement.search import drawing
from replacement.search.halving import RUNGS, Climb, Prices, Trial, climb
from replacement.search.material import Material, read_material
from replacement.search.pareto import Point, error_of_difference, front
from replacement.search.space import MOST_TIMES, Shape, shapes_around
from replacement.search.trials import Trials
from replacement.training.rounds.students import folded
from textcnn import Student

FOLDER = "search"
"""Of a task's own folder: what its searches measured, and their pictures."""
TRAININGS = 9.0
"""Full trainings whose compute a search takes at most, where nothing else is said."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What a search found."""

    task: str
    version: int
    """Whose rows it learned from and measured on."""
    rows: int
    """That it learned from."""
    validation_rows: int
    points: tuple[Point, ...]
    """All shapes that were trained in full, the definition's first, then the cheapest first."""
    trained: tuple[int, ...]
    """Shapes by rung."""
    compute: float
    """In full trainings of the definition's shape, by the count of operations."""
    by_the_clock: float
    """The same by processor time."""
    picture: str
    """The SVG file."""

    @property
    def default(self) -> Point:
        """The definition's shape."""
        return self.points[0]


def search(
    entry: TaskEntry, *, seed: int = 0, compute: float = TRAININGS, progress: Progress = quiet
) -> Searched:
    """Search for shapes of a task's student that are cheaper, or better, than its definition's.

    The teacher is asked nothing: rows and answers are those of the promoted version, or else of the newest.
    What was trained is kept, so that a search that was interrupted goes on where it was.

    Args:
        entry: the task.
        seed: every random choice comes from it.
        compute: at most so many full trainings of the definition's shape; 2 or more.
        progress: told what is being done.

    Raises:
        NotFoundError: the task has no version yet.
        ConflictError: the version's rows cannot be used.
    """
    material = read_material(entry, seed=seed, progress=progress)
    prices = price(material)
    stem = entry.folder / FOLDER / f"{material.version}-{seed}"
    trials = Trials(material, stem.with_suffix(".jsonl"), progress)
    climbed = climb(prices, trials.train, compute=compute, rng=material.setup.rng("shapes of a search"))
    points = _points(material, prices, climbed)
    picture = stem.with_suffix(".svg")
    files.write_bytes(
        picture, drawing.svg(points, f"{entry.name}: shapes, version {material.version}'s rows").encode()
    )
    seconds = [trial.seconds for trial in climbed.trials]
    whole = next(trial.seconds for trial in climbed.trials if trial.rung == len(RUNGS) - 1)
    return Searched(
        task=entry.name,
        version=material.version,
        rows=len(material.asked.training.rows),
        validation_rows=len(material.asked.validation.rows),
        points=points,
        trained=tuple(sum(trial.rung == rung for trial in climbed.trials) for rung in range(len(RUNGS))),
        compute=climbed.compute,
        by_the_clock=sum(seconds) / max(1e-9, whole),
        picture=str(picture),
    )


def price(material: Material) -> Prices:
    """Count what the shapes around a definition's cost; those beyond four times its operations are left out.

    Args:
        material: has texts, teacher and definition.
    """
    definition, rule = material.setup.definition, material.setup.teacher.rule
    section = definition.student
    known = max(material.dataset(section.vocabulary).vocabulary.size, 1)
    shapes = shapes_around(
        section, labels=len(rule.class_of), classes=len(definition.classes), known=2 * known
    )
    rows = len(material.asked.training.rows)

    @cache
    def texts(vocabulary: int) -> tuple[int, float]:
        return material.dataset(vocabulary).vocabulary.size, material.tokens(vocabulary)

    @cache
    def columns(most: int) -> int:
        return sum(material.subclasses(most).counts)

    operations = np.array(
        [shape.cost(columns(shape.subclasses), *texts(shape.vocabulary)).operations for shape in shapes]
    )
    training = np.array([shape.training(rows, section.epochs, *texts(shape.vocabulary)) for shape in shapes])
    kept = np.flatnonzero(operations <= MOST_TIMES * operations[0] * (1 + 1e-9))
    return Prices(
        shapes=[shapes[place] for place in kept.tolist()],
        operations=operations[kept],
        training=training[kept] / training[0],
    )


def _points(material: Material, prices: Prices, climbed: Climb) -> tuple[Point, ...]:
    """The shapes that were trained in full, the definition's first."""
    full = [trial for trial in climbed.trials if trial.rung == len(RUNGS) - 1]
    operations = dict(zip(prices.shapes, prices.operations.tolist(), strict=True))
    full = [full[0], *sorted(full[1:], key=lambda trial: operations[trial.shape])]
    untrained = [_untrained(material, trial.shape) for trial in full]
    texts = material.setup.dataset.texts.take(pa.array(material.asked.validation.rows))
    rates = measure_speeds(untrained, None, texts).students
    best = front([trial.f1 for trial in full], [operations[trial.shape] for trial in full])
    return tuple(
        Point(
            shape=trial.shape,
            f1=trial.f1,
            error=_error(material, trial, full[0]),
            operations=operations[trial.shape],
            cost=operations[trial.shape] / operations[full[0].shape],
            bytes=student.cost(1.0).bytes,
            texts_per_second=rate,
            on_front=on_front,
        )
        for trial, student, rate, on_front in zip(full, untrained, rates, best, strict=True)
    )


def _untrained(material: Material, shape: Shape) -> Student:
    """A student of a shape with the numbers of a network's start: it takes as long as a trained one."""
    from textcnn.network import TextCNN  # torch only where something is trained

    setup, subclasses = material.setup_of(shape), material.subclasses(shape.subclasses)
    columns = sum(subclasses.counts)
    network = TextCNN(setup.dataset.vocabulary.size, columns, shape.folded, np.random.default_rng(0))
    return folded(setup, network.eval(), subclasses)


def _error(material: Material, trial: Trial, default: Trial) -> float:
    """How sure a shape's difference to the definition's is."""
    validation = material.asked.validation
    return error_of_difference(
        validation.answers.decided,
        np.array(trial.decided),
        np.array(default.decided),
        validation.weights,
        classes=len(material.setup.definition.classes),
        rng=material.setup.rng("error of a difference"),
    )
