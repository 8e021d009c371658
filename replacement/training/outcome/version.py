"""Writing a version: the student that is kept, its report, its rows, and boundary rows for a person."""

from pathlib import Path

import numpy as np

from pingti import files
from pingti.annotation import review_queue
from pingti.students import save_second
from replacement.cascade.measuring import described
from replacement.reporting import html
from replacement.reporting.document import Evaluation, build_report
from replacement.results import Outcome
from replacement.training import warm_start
from replacement.training.outcome.trained import Trained
from replacement.training.rounds.state import Asked, Setup, TrainingSet
from replacement.training.validation_set import ValidationSet


def write_version(
    setup: Setup,
    asked: Asked,
    trained: Trained,
    evaluation: Evaluation,
    *,
    run: str | None,
    beside: Path | None = None,
) -> Outcome:
    """Write the student that is kept, its report, its rows, and the boundary rows for a person.

    Args:
        setup: has the task.
        asked: all rows asked about.
        trained: has the student.
        evaluation: of it.
        run: the name of the run, if it has one.
        beside: the folder of a TextCNN that reads the same network; their tensors are one file then.
    """
    entry, definition, teacher = setup.entry, setup.definition, setup.teacher
    student, version = trained.student, entry.next_version()
    rows = {"rows_asked": asked.count, "rows_computed": teacher.rows_scored}
    report = build_report(
        evaluation,
        definition,
        task=entry.name,
        version=version,
        run=run,
        seed=setup.seed,
        subclasses=trained.subclasses.named(definition.classes, teacher.rule.labels),
        teacher={**teacher.described(), **teacher.cost, **rows, "quality": evaluation.teacher_quality},
        corpus={**setup.dataset.corpus.counts, "labelled_by_people": len(teacher.reviewed)},
        rounds=trained.rounds,
        stopped=trained.stopped,
        boundary_rows=_write_boundary_rows(setup, asked.training, version),
    )
    points = evaluation.operating_points
    student.metadata.update(
        task=entry.name,
        version=version,
        thresholds={name: point.threshold for name, point in points.items() if point.usable},
        refused={name: point.says for name, point in points.items() if not point.usable},
        rules=definition.rules.model_dump(),
        depends_on=list(definition.depends_on),
    )
    second = None
    if definition.cascade is not None and evaluation.cascade is not None and evaluation.cascade.kept:
        student.metadata["cascade"] = described(evaluation.cascade, definition.cascade.on_no_teacher)
        second = None if trained.climbed is None else trained.climbed.second
    # A run that is killed leaves no half of a version, and its number to the next one.
    with files.new_folder(entry.folder / "students" / str(version)) as folder:
        html.write(folder, report)
        warm_start.write(
            folder,
            setup.dataset.texts_of(asked.training.rows),
            asked.training.hard_negatives,
            _drawn(setup, asked.validation),
        )
        if second is not None:
            student.metadata["cascade"]["second_sha256"] = save_second(second.student, folder)
        if beside is not None and student is trained.of_rounds:
            trained.of_rounds.save_beside(folder, beside)
        else:
            student.save(folder)
    return Outcome(
        task=entry.name,
        version=version,
        passed=report.gate.passed,
        stopped=trained.stopped,
        rounds=trained.rounds,
        best=evaluation.kept,
        report=report.stored(),
    )


def _drawn(setup: Setup, validation: ValidationSet) -> warm_start.DrawnValidation:
    """The validation rows as the next run needs them."""
    pool = setup.dataset.corpus.pool
    return warm_start.DrawnValidation(
        texts=setup.dataset.texts_of(validation.rows),
        weights=validation.weights,
        pool=len(pool),
        newest=setup.dataset.texts_of(pool[-warm_start.NEWEST :]),
    )


def _write_boundary_rows(setup: Setup, training: TrainingSet, version: int) -> int:
    """Write the boundary rows for a person; how many they are."""
    boundary = np.flatnonzero(~training.clear(setup.definition.teacher.margin))
    rows, ids = training.rows[boundary], setup.dataset.corpus.ids
    return review_queue.write(
        setup.entry,
        version,
        [ids[row].as_py() if row < len(ids) else None for row in rows.tolist()],
        setup.dataset.texts_of(rows),
        training.answers.probabilities[boundary],
        training.answers.margin[boundary],
    )
