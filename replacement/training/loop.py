"""The replacement loop: from a task's definition to a student, measured against the teacher.

A round trains a student on the rows that the teacher was asked about, lets it scan the whole pool, looks
at its errors, and chooses from them which rows the teacher is asked about next.

Three kinds of rows are kept apart. Those asked about are trained on, but for boundary rows. Validation rows,
drawn from the pool, choose the threshold and the best round. The holdout, newer than both, only measures; the
gate is held against it.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti import files
from pingti.annotation import review_queue
from pingti.workspace.registry import TaskEntry
from replacement.answers import join
from replacement.evaluation import gate, holdout
from replacement.evaluation.metrics import decide
from replacement.evaluation.operating_points import operating_points
from replacement.progress import Progress, quiet
from replacement.reporting import html
from replacement.reporting.document import Evaluation, build_report
from replacement.results import Outcome, Round, StopReason
from replacement.training import warm_start
from replacement.training.dataset import prepare_dataset
from replacement.training.label_map import Subclasses, divide
from replacement.training.people_labels import read_people_labels
from replacement.training.rounds import (
    Asked,
    HoldoutSet,
    Setup,
    TrainingSet,
    ask_next_rows,
    ask_to_learn,
    best_round,
    measure_round,
    out_of_rows,
    scored_holdout,
    scored_validation,
    stop_reason,
    train_student,
)
from replacement.training.teacher_labels import load_teacher
from replacement.training.validation_set import (
    EVEN,
    ValidationSet,
    ask_drawn_by_score,
    ask_drawn_evenly,
)
from textcnn import Student

FIRST_ROWS = 1000
"""At most, drawn for round 1 where no labelled rows are given, or beside known ones."""
KNOWN_BUDGETS = 4
"""So many budgets' rows of the promoted version are kept, the newest."""
VALIDATION_ROWS = 1500
"""At most."""


def replace(
    entry: TaskEntry,
    *,
    seed: int = 0,
    run: str | None = None,
    progress: Progress = quiet,
    announce: Callable[[Round], None] = lambda _: None,
    device: str | None = None,
) -> Outcome:
    """Make a student for a task, and write it with its report as a new version; it is not promoted.

    Started again after a kill it goes the same way, the teacher's cached answers costing nothing. Where a
    version is promoted, its rows are learned from too, at no cost, and the first round adds newer ones.

    Args:
        entry: the task.
        seed: every random choice comes from it.
        run: a name for the report, by which a run that was cut off finds the version that it made.
        progress: told what is being done, how much of it is done, and how much there is.
        announce: told every round's result.
        device: the teacher's torch device; a GPU where there is one, if absent.

    Raises:
        InputError: a file, label or definition that cannot be used.
        UnavailableError: the teacher cannot be had.
    """
    people = read_people_labels(entry)
    dataset = prepare_dataset(entry, people)
    teacher = load_teacher(entry, people, seed=seed, progress=progress, device=device)
    setup = Setup(
        entry=entry,
        seed=seed,
        progress=progress,
        dataset=dataset,
        teacher=teacher,
        embedding=teacher.token_vectors(dataset.vocabulary.tokens, entry.definition.student.embedding),
    )
    known = warm_start.read(entry, teacher.fingerprint)
    asked = ask_measuring_rows(setup, known)
    asked = ask_first_rows(setup, asked, known)
    asked, trained = run_rounds(setup, asked, announce)
    evaluation = evaluate(setup, asked, trained, people.true)
    return write_version(setup, asked, trained, evaluation, run=run)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What all rounds of a run made."""

    rounds: list[Round]
    students: list[Student]
    """Of each round."""
    subclasses: Subclasses
    """The parts of the classes that the students tell apart."""
    stopped: StopReason
    best: int
    """The place of the round whose student is kept."""


def ask_measuring_rows(setup: Setup, known: dict[str, bool]) -> Asked:
    """Have the rows labelled that choose the threshold, and those that measure.

    Args:
        setup: has corpus and teacher.
        known: rows of the promoted version, which will be learned from.
    """
    definition, corpus = setup.definition, setup.dataset.corpus
    budget = definition.teacher.budget
    # The draws depend on the corpus alone, so tasks over one corpus share the teacher's answers.
    held = setup.draw(corpus.holdout, min(definition.gate.holdout_rows, budget // 3), "holdout")
    count = min(VALIDATION_ROWS, budget // 6, len(corpus.pool) // 4)
    promoted = gate.promoted(setup.entry) if definition.binary else None
    # Rows are drawn by a student that has learned from none but rows drawn evenly, or not at all.
    by_score = definition.binary and (promoted is not None or not known)
    validation = ask_drawn_evenly(
        corpus,
        setup.teacher,
        even=round(count * EVEN) if by_score else count,
        budget=count,
        rng=setup.rng("calibration"),
    )
    if promoted is not None and validation.planned:
        validation = _rest_drawn(setup, validation, promoted, np.zeros(0, np.int64))
    answers = setup.teacher.ask(setup.dataset.texts_of(held), "teacher: holdout")
    nothing = TrainingSet(rows=np.zeros(0, np.int64), answers=join([]), hard_negatives=np.zeros(0, np.bool_))
    holdout_set = HoldoutSet(rows=held, answers=answers)
    return Asked(validation=validation, holdout=holdout_set, training=nothing)


def ask_first_rows(setup: Setup, asked: Asked, known: dict[str, bool]) -> Asked:
    """Ask about the rows of round 1: those of the promoted version, those that people labelled, and others.

    Args:
        setup: has corpus and teacher.
        asked: the rows that measure.
        known: rows of the promoted version.
    """
    asked, known_count = _ask_known(setup, asked, known)
    asked, reviewed_count = _ask_reviewed(setup, asked)
    kind, rows = _further_rows(setup, asked, known=known_count > 0)
    asked = ask_to_learn(setup, asked, rows, np.zeros(len(rows), np.bool_))
    counts = {"known": known_count, kind: len(rows), "reviewed": reviewed_count}
    added = {name: count for name, count in counts.items() if count or name == kind}
    return dataclasses.replace(asked, training=dataclasses.replace(asked.training, added=added))


def run_rounds(setup: Setup, asked: Asked, announce: Callable[[Round], None]) -> tuple[Asked, Trained]:
    """Train, measure, and ask about further rows, until there is a reason to stop.

    Args:
        setup: has texts and teacher.
        asked: the rows of round 1, and those that measure.
        announce: told every round's result.

    Returns:
        All rows asked about, and what the rounds made.

    Raises:
        InputError: there are boundary rows alone.
    """
    gate_section, binary = setup.definition.gate, setup.definition.binary
    subclasses = _divided(setup, asked)
    rounds: list[Round] = []
    students: list[Student] = []
    while True:
        student = train_student(setup, asked.training, subclasses, len(rounds) + 1)
        if asked.validation.planned:
            validation = _rest_drawn(setup, asked.validation, student, asked.training.rows)
            asked = dataclasses.replace(asked, validation=validation)
        result = measure_round(setup, asked, student, len(rounds) + 1)
        students.append(student)
        rounds.append(result)
        announce(result)
        usable = result.threshold is not None or not binary
        stopped = stop_reason(gate_section, rounds, usable=usable) or out_of_rows(setup, asked, len(rounds))
        if stopped is not None:
            best = best_round(rounds, stopped)
            return asked, Trained(
                rounds=rounds, students=students, subclasses=subclasses, stopped=stopped, best=best
            )
        asked, coverage = ask_next_rows(setup, asked, student, result)
        rounds[-1] = dataclasses.replace(result, coverage=coverage)


def evaluate(setup: Setup, asked: Asked, trained: Trained, true: dict[str, int]) -> Evaluation:
    """Measure the student that is kept, and hold it against the gate and the promoted version.

    Args:
        setup: has texts and teacher.
        asked: all rows asked about.
        trained: has the student.
        true: true class number of texts by their normalised form, as far as they are known.
    """
    definition, corpus = setup.definition, setup.dataset.corpus
    student, kept = trained.students[trained.best], trained.rounds[trained.best]
    scored = scored_holdout(setup, asked, student)
    points = operating_points(
        definition.operating_points, scored_validation(setup, asked, student), scored, setup.rng("scenes")
    )
    promoted = gate.promoted(setup.entry)
    first = scored_holdout(setup, asked, trained.students[0])
    held = holdout.Held(
        texts=setup.dataset.texts_of(asked.holdout.rows),
        answers=asked.holdout.answers,
        scores=scored.scores,
        threshold=kept.threshold,
        days=None if corpus.days is None else corpus.days[asked.holdout.rows],
        before=decide(first.scores, trained.rounds[0].threshold),
        incumbent=promoted,
        true_labels=true,
    )
    comparison = gate.against_incumbent(
        promoted, held.texts, held.answers.decided, held.decided, setup.rng("incumbent")
    )
    verdict = gate.verdict(definition.gate, kept.holdout, comparison, usable=points["default"].usable)
    verdict["unread"] = gate.unread(setup.entry) if promoted is None else ""
    return Evaluation(
        kept=kept,
        verdict=verdict,
        operating_points=points,
        speed=setup.teacher.speed(student, setup.dataset.texts.take(pa.array(asked.holdout.rows))),
        holdout=holdout.describe(held, definition.classes, setup.rng("evidence")),
        learned=holdout.of_learned(_learned(setup, asked, trained), definition.classes),
    )


def write_version(
    setup: Setup, asked: Asked, trained: Trained, evaluation: Evaluation, *, run: str | None
) -> Outcome:
    """Write the student that is kept, its report, its rows, and the boundary rows for a person.

    Args:
        setup: has the task.
        asked: all rows asked about.
        trained: has the student.
        evaluation: of it.
        run: the name of the run, if it has one.
    """
    entry, definition, teacher = setup.entry, setup.definition, setup.teacher
    student, version = trained.students[trained.best], entry.next_version()
    report = build_report(
        evaluation,
        definition,
        task=entry.name,
        version=version,
        run=run,
        seed=setup.seed,
        subclasses=trained.subclasses.named(definition.classes, teacher.labels),
        teacher={**teacher.described(), "rows_asked": asked.count, "rows_computed": teacher.rows_scored},
        corpus=setup.dataset.corpus.counts,
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
    # A run that is killed leaves no half of a version, and its number to the next one.
    with files.new_folder(entry.folder / "students" / str(version)) as folder:
        html.write(folder, report)
        warm_start.write(folder, setup.dataset.texts_of(asked.training.rows), asked.training.hard_negatives)
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


def _rest_drawn(
    setup: Setup, validation: ValidationSet, student: Student, learned: NDArray[np.int64]
) -> ValidationSet:
    """The validation rows with those that were still to be drawn; ``learned`` may not be among them."""
    return ask_drawn_by_score(
        validation,
        setup.dataset.corpus,
        setup.teacher,
        student,
        learned=learned,
        rng=setup.rng("calibration by score"),
    )


def _ask_known(setup: Setup, asked: Asked, known: dict[str, bool]) -> tuple[Asked, int]:
    """Learn from the rows of the promoted version, as far as they are still there; how many they are."""
    if not known:
        return asked, 0
    dataset = setup.dataset
    rows = np.concatenate([asked.unasked(setup), dataset.reviewed, dataset.seed])
    places, hard_negatives = warm_start.find(dataset.texts_of(rows), known)
    most = KNOWN_BUDGETS * setup.definition.teacher.budget
    # One whose answer is gone from the cache would cost as much as any other.
    free = setup.teacher.cached(dataset.texts_of(rows[places]))
    rows, hard_negatives = rows[places][free][-most:], hard_negatives[free][-most:]
    if len(rows):
        asked = ask_to_learn(setup, asked, rows, hard_negatives, free=True)
    return asked, len(rows)


def _ask_reviewed(setup: Setup, asked: Asked) -> tuple[Asked, int]:
    """Learn from the rows that people labelled, up to half of what the budget has left; how many they are.

    Those among the validation rows and in the holdout only measure.
    """
    dataset = setup.dataset
    rows = np.setdiff1d(np.concatenate([asked.unasked(setup), dataset.reviewed]), asked.training.rows)
    rows = rows[setup.teacher.is_reviewed(dataset.texts.take(pa.array(rows)))]
    rows = setup.draw(rows, min(len(rows), asked.left(setup) // 2), "reviewed")
    if len(rows):
        asked = ask_to_learn(setup, asked, rows, np.zeros(len(rows), np.bool_))
    return asked, len(rows)


def _further_rows(setup: Setup, asked: Asked, *, known: bool) -> tuple[str, NDArray[np.int64]]:
    """Further rows of round 1, and of what kind they are.

    The seed, as far as it is not known; without it rows drawn evenly, where rows are ``known`` newer ones.
    """
    dataset, left = setup.dataset, asked.left(setup)
    learned = asked.training.rows
    seed = np.setdiff1d(dataset.seed, learned)
    if len(seed) > left:
        seed = setup.draw(seed, left, "labelled")
    if len(seed):
        return "labelled", seed
    rows = asked.unasked(setup)
    if known:  # the corpus is in order of time
        rows = rows[rows > learned[learned < len(dataset.corpus.texts)].max(initial=-1)]
    count = max(1, min(FIRST_ROWS, left // setup.definition.gate.rounds))
    return "new" if known else "random", setup.draw(rows, min(count, len(rows)), "first")


def _divided(setup: Setup, asked: Asked) -> Subclasses:
    """The parts of the classes, by what the teacher says of the rows asked about so far."""
    seen = join([asked.validation.answers, asked.training.answers])
    return divide(
        setup.teacher.class_of,
        seen.labels,
        seen.vectors,
        most=setup.definition.student.subclasses,
        rng=setup.rng("subclasses"),
    )


def _learned(setup: Setup, asked: Asked, trained: Trained) -> holdout.Learned:
    """The rows learned from, as the student that is kept sees them."""
    training, dataset = asked.training, setup.dataset
    student, kept = trained.students[trained.best], trained.rounds[trained.best]
    known_then = np.arange(len(training.rows)) < kept.rows + kept.boundary
    return holdout.Learned(
        rows=training.rows,
        rounds=[sum(result.added.values()) for result in trained.rounds],
        days=dataset.corpus.days,
        targets=training.answers.probabilities,
        scores=student.score_encoded(dataset.encoded.take(training.rows)),
        trained=training.clear(setup.definition.teacher.margin) & known_then,
        texts=dataset.texts_of,
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
