"""Training a shape for a while and measuring it, and keeping what was measured."""

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pingti import files
from pingti.workspace.definition import OperatingPointSection
from replacement.evaluation.metrics import decide
from replacement.evaluation.operating_points import Scored
from replacement.progress import Progress, quiet
from replacement.recency import weighed_by_time
from replacement.search.halving import RUNGS, Trial
from replacement.search.material import Material
from replacement.search.space import Shape
from replacement.training.rounds.students import train_on
from textcnn import Student


class Trials:
    """Trains shapes; what an earlier search of the same rows and seed has trained is not trained again.

    Args:
        material: the rows.
        path: JSON lines, a trial each behind a head; it is begun anew where its head tells of other rows.
        progress: told how far a training is.
    """

    def __init__(self, material: Material, path: Path, progress: Progress) -> None:
        self._material = material
        self._path = path
        self._progress = progress
        self._head = {"rows": material.digest, "seed": material.setup.seed}
        self._kept = _read(path, self._head)
        self._count = 0

    def train(self, shape: Shape, rung: int) -> Trial:
        """Train a shape for a rung, or take what is kept of that."""
        self._count += 1
        kept = self._kept.get((shape, rung))
        if kept is not None:
            return kept
        if not self._kept:
            files.write_bytes(self._path, (json.dumps(self._head) + "\n").encode())
        trial = self._trained(shape, rung)
        self._kept[shape, rung] = trial
        files.append_line(self._path, asdict(trial))
        return trial

    def _trained(self, shape: Shape, number: int) -> Trial:
        import textcnn.train  # noqa: F401  # what torch takes to load is no part of a training

        material, rung = self._material, RUNGS[number]
        start = time.process_time()

        def tell(_: str, done: int, total: int) -> None:
            self._progress(f"shape {self._count}, {rung.spent:.0%} of a training", done, total)

        _, scored, threshold = train_shape(material, shape, rows=rung.rows, epochs=rung.epochs, progress=tell)
        return Trial(
            shape=shape,
            rung=number,
            f1=round(scored.measure(threshold).f1, 5),
            decided=tuple(decide(scored.scores, threshold).tolist()),
            seconds=round(time.process_time() - start, 3),
        )


def train_shape(
    material: Material,
    shape: Shape,
    *,
    rows: float = 1.0,
    epochs: float = 1.0,
    progress: Progress = quiet,
) -> tuple[Student, Scored, float | None]:
    """Train a student of a shape, and choose its threshold.

    Args:
        material: the rows.
        shape: any of those that are searched.
        rows: share of the rows that it learns from; the same ones for every shape.
        epochs: share of the definition's epochs.
        progress: told how far it is.

    Returns:
        The student, what it says of the validation rows, and the threshold of the best F1 there, whatever the
        definition's operating points ask for: shapes are held against each other. None: of more than two
        classes the likeliest is taken.
    """
    setup = material.setup_of(shape, progress)
    training, validation = material.asked.training, material.asked.validation
    some = setup.rng("rows of a search").permutation(len(training.rows))
    some = np.sort(some[: max(1, round(rows * len(some)))])
    section = setup.definition.student
    subclasses = material.subclasses(shape.subclasses)
    student = train_on(
        setup,
        training.rows[some],
        subclasses.targets(training.answers.labels[some]),
        subclasses,
        "search",
        shape.section(section).model_copy(update={"epochs": max(1, round(epochs * section.epochs))}),
    )
    scores = setup.dataset.scores(student, validation.rows)
    scored = weighed_by_time(validation.scored(scores), setup.definition.gate)
    return student, scored, scored.threshold(OperatingPointSection())[0]


def _read(path: Path, head: dict[str, Any]) -> dict[tuple[Shape, int], Trial]:
    """What a file keeps of trials; a line that a kill cut off, or that is none, is left out."""
    trials: dict[tuple[Shape, int], Trial] = {}
    if not path.is_file():
        return trials
    for number, line in files.read_lines(path):
        try:
            values = json.loads(line)
            if number == 1:
                if values != head:
                    return {}
                continue
            shape = Shape.stored(values.pop("shape"))
            trial = Trial(**{**values, "shape": shape, "decided": tuple(values["decided"])})
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        trials[shape, trial.rung] = trial
    return trials
