"""The replacement loop: from a task's definition to a student, measured against the teacher.

A round trains a student on the rows that the teacher was asked about, lets it scan the whole pool, looks
at its errors, and chooses from them which rows the teacher is asked about next.

Three kinds of rows are kept apart. Those asked about are trained on. Validation rows, drawn from the pool,
choose the threshold and the best round. The holdout, newer than both, only measures; the gate is held
against it. ``replacement.budget`` says how many there are of each.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.errors import UnavailableError
from pingti.students import AnyStudent
from pingti.workspace.registry import TaskEntry
from replacement.answers import join
from replacement.budget import most_labelled, share_measuring
from replacement.evaluation import gate
from replacement.evaluation.holdout_size import note_of_few_rows
from replacement.kinds.ladder import climb
from replacement.kinds.narrowing import narrow, note_of_family
from replacement.kinds.training import check_kind
from replacement.progress import Progress, quiet, say, stage
from replacement.results import Outcome, Round
from replacement.training import warm_start
from replacement.training.dataset import prepare_dataset, within_answers, word_vectors
from replacement.training.outcome.evaluation import evaluate
from replacement.training.outcome.trained import Trained
from replacement.training.outcome.version import write_version
from replacement.training.people_labels import read_people_labels
from replacement.training.rounds.state import Asked, HoldoutSet, Setup, TrainingSet, ask_to_learn
from replacement.training.rounds.stopping import best_round, speak_against, stop_reason
from replacement.training.rounds.students import finish_task, train_student
from replacement.training.rounds.turn import ask_next_rows, measure_round, out_of_rows
from replacement.training.subclasses import Subclasses, divide
from replacement.training.teacher_labels import load_teacher
from replacement.training.validation_set import (
    EVEN,
    ValidationSet,
    ask_drawn_by_score,
    ask_drawn_evenly,
    ask_kept,
)
from replacement.trunk import find_trunk
from textcnn import Student

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.sources.callables import Function

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
    function: "Function | None" = None,
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
        function: what ``teacher.model = "python:NAME"`` stands for: called with a list of n texts, it gives n
            labels, or probabilities (n, labels); None or a row of NaN is no answer.

    Raises:
        InputError: a file, label or definition that cannot be used.
        UnavailableError: the teacher cannot be had.
    """
    people = read_people_labels(entry)
    with stage(progress, "reading and encoding the corpus"):
        dataset = prepare_dataset(entry, people)
    with stage(progress, "loading the teacher"):
        teacher = load_teacher(entry, people, seed=seed, progress=progress, device=device, function=function)
        dataset, unanswered = within_answers(dataset, teacher)
    trunk = find_trunk(entry, teacher.fingerprint, teacher.rule)
    if trunk is not None:
        dataset = dataset.encoded_by(trunk.student.vocabulary)
    elif entry.definition.student.read == "teacher":
        dataset = dataset.read_as_far(teacher)
    of_trunk = [trunk.note, note_of_family(entry.definition.student)] if trunk is not None else []
    every = (*teacher.guesses, *people.notes, *teacher.opened.notes, *unanswered, *of_trunk)
    notes = [note for note in every if note]
    for note in notes:
        say(progress, note)
    setup = Setup(
        entry=entry,
        seed=seed,
        progress=progress,
        dataset=dataset,
        teacher=teacher,
        embedding=teacher.token_vectors(dataset.vocabulary.tokens, entry.definition.student.embedding),
        trunk=trunk,
        notes=tuple(notes),
    )
    check_kind(setup)
    known = warm_start.read(entry, teacher.fingerprint)
    asked = ask_measuring_rows(setup, known)
    setup = _warned_of_small_holdout(setup, asked)
    asked = ask_first_rows(setup, asked, known)
    asked, trained = run_rounds(setup, asked, announce)
    trained = finish_student(setup, asked, trained, announce)
    trained = narrow(setup, asked, trained)
    trained = climb(setup, asked, trained)
    with stage(progress, "measuring the student that is kept"):
        evaluation = evaluate(setup, asked, trained, people)
    return write_version(setup, asked, trained, evaluation, run=run)


def ask_measuring_rows(setup: Setup, known: dict[str, bool]) -> Asked:
    """Have the rows labelled that choose the threshold, and those that measure.

    Args:
        setup: has corpus and teacher.
        known: rows of the promoted version, which will be learned from.
    """
    definition, corpus = setup.definition, setup.dataset.corpus
    measuring = share_measuring(
        definition.teacher.budget,
        holdout=min(definition.gate.holdout_rows, len(corpus.holdout)),
        validation=min(VALIDATION_ROWS, len(corpus.pool) // 4),
        apart=min(definition.gate.holdout_rows, len(setup.dataset.apart)),
    )
    # The draws depend on the corpus alone, so tasks over one corpus share the teacher's answers.
    held, count = setup.draw(corpus.holdout, measuring.holdout, "holdout"), measuring.validation
    promoted = gate.promoted(setup.entry) if definition.binary else None
    validation = _kept_validation(setup, promoted, count)
    if validation is None:
        validation = _drawn_validation(setup, promoted, count, by_score=promoted is not None or not known)
    answers = setup.teacher.ask(setup.dataset.texts_of(held), "teacher: holdout")
    nothing = TrainingSet(rows=np.zeros(0, np.int64), answers=join([]), hard_negatives=np.zeros(0, np.bool_))
    answered = answers.answered
    if not answered.any() or not len(validation.rows):
        raise UnavailableError(
            f"{setup.entry.path}: the teacher gave no answer for any of {len(held)} held-out texts or of the "
            f"validation rows, so that nothing can be measured; {'; '.join(setup.teacher.cost_notes)}"
        )
    holdout_set = HoldoutSet(rows=held[answered], answers=answers.take(answered), asked=len(held))
    return Asked(
        validation=validation,
        holdout=holdout_set,
        training=nothing,
        apart=draw_apart(setup, setup.dataset.apart, measuring.apart),
    )


def ask_first_rows(setup: Setup, asked: Asked, known: dict[str, bool]) -> Asked:
    """Ask about the rows of round 1: those of the promoted version, those that people labelled, and others.

    Args:
        setup: has corpus and teacher.
        asked: the rows that measure.
        known: rows of the promoted version.
    """
    asked, known_count = _ask_known(setup, asked, known)
    labelled = most_labelled(asked.left(setup), setup.definition.gate.rounds)
    asked, reviewed_count = _ask_reviewed(setup, asked, most=min(labelled, asked.left(setup) // 2))
    kind, rows = _further_rows(setup, asked, known=known_count > 0, labelled=labelled - reviewed_count)
    before = len(asked.training.rows)
    asked = ask_to_learn(setup, asked, rows, np.zeros(len(rows), np.bool_))
    answered = len(asked.training.rows) - before
    counts = {"known": known_count, kind: answered, "reviewed": reviewed_count}
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
        InputError: there are boundary rows alone, and they are left out.
        UnavailableError: the teacher gave no answer for any row to learn from.
    """
    gate_section, binary = setup.definition.gate, setup.definition.binary
    subclasses = divided(setup, asked, most=setup.definition.student.subclasses)
    rounds: list[Round] = []
    students: list[Student] = []
    while True:
        student = train_student(setup, asked.training, subclasses, len(rounds) + 1)
        if asked.validation.planned:
            validation = _rest_drawn(setup, asked.validation, student, asked.training.rows)
            asked = dataclasses.replace(asked, validation=validation)
        with stage(setup.progress, f"measuring round {len(rounds) + 1}"):
            result = measure_round(setup, asked, student, len(rounds) + 1)
        students.append(student)
        rounds.append(result)
        announce(result)
        usable = result.threshold is not None or not binary
        stopped = stop_reason(gate_section, rounds, usable=usable) or out_of_rows(setup, asked, len(rounds))
        if stopped is not None:
            best = best_round(rounds, stopped, gate_section)
            return asked, Trained(
                rounds=rounds, students=students, subclasses=subclasses, stopped=stopped, best=best
            )
        with stage(setup.progress, "choosing texts to ask the teacher about"):
            asked, coverage = ask_next_rows(setup, asked, student, result)
        rounds[-1] = dataclasses.replace(result, coverage=coverage)


def finish_student(
    setup: Setup, asked: Asked, trained: Trained, announce: Callable[[Round], None]
) -> Trained:
    """Train once more on the whole pool, where the definition asks for it.

    Args:
        setup: has texts and shape.
        asked: all rows asked about.
        trained: what the rounds made.
        announce: told the finished student's result, as that of a further round.

    Returns:
        The same with the finished student behind those of the rounds; it is the one that is kept where the
        validation rows do not speak against it.
    """
    definition = setup.definition
    if definition.student.finish_rows == 0 or setup.trunk is not None:
        return trained
    student = finish_task(setup, asked, trained.students[trained.best], trained.subclasses)
    measured = measure_round(setup, asked, student, len(trained.rounds) + 1)
    result = dataclasses.replace(measured, added={}, yields={})
    announce(result)
    before = trained.rounds[trained.best]
    kept = not speak_against(before, result, definition.gate, binary=definition.binary)
    return dataclasses.replace(
        trained,
        rounds=[*trained.rounds, result],
        students=[*trained.students, student],
        best=len(trained.rounds) if kept else trained.best,
    )


def _warned_of_small_holdout(setup: Setup, asked: Asked) -> Setup:
    """The setup with a note where few rows measure, told before the teacher is asked about more."""
    note = note_of_few_rows(
        setup.definition, asked.holdout.answers.decided, drawn_from=len(setup.dataset.corpus.holdout)
    )
    if not note:
        return setup
    say(setup.progress, note)
    return dataclasses.replace(setup, notes=(*setup.notes, note))


def _kept_validation(setup: Setup, promoted: AnyStudent | None, count: int) -> ValidationSet | None:
    """The promoted version's validation rows, and ``count`` in all; None where they are drawn anew."""
    corpus = setup.dataset.corpus
    pool_texts = setup.dataset.texts_of(corpus.pool)
    earlier = warm_start.find_validation(setup.entry, setup.teacher.fingerprint, pool_texts)
    if earlier is None:
        return None
    rng = setup.rng("calibration of newer rows")
    return ask_kept(earlier, corpus, setup.teacher, promoted, budget=count, rng=rng)


def _drawn_validation(
    setup: Setup, promoted: AnyStudent | None, count: int, *, by_score: bool
) -> ValidationSet:
    """``count`` validation rows, drawn from the whole pool; some are drawn later where there is no student.

    They are drawn ``by_score`` only by a student that has learned from none but rows drawn evenly, or not at
    all: by the promoted one, or by that of round 1 where it learns from no known rows.
    """
    by_score = by_score and setup.definition.binary
    validation = ask_drawn_evenly(
        setup.dataset.corpus,
        setup.teacher,
        even=round(count * EVEN) if by_score else count,
        budget=count,
        rng=setup.rng("calibration"),
    )
    if promoted is not None and validation.planned:
        validation = _rest_drawn(setup, validation, promoted, np.zeros(0, np.int64))
    return validation


def draw_apart(setup: Setup, texts: Sequence[str], most: int) -> tuple[str, ...]:
    """Draw the texts outside the corpus that measure.

    Args:
        setup: has the seed.
        texts: with true labels.
        most: how many are drawn; all where there are fewer.
    """
    return tuple(texts[row] for row in setup.draw(np.arange(len(texts)), most, "true labels apart").tolist())


def _rest_drawn(
    setup: Setup, validation: ValidationSet, student: AnyStudent, learned: NDArray[np.int64]
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


def _ask_reviewed(setup: Setup, asked: Asked, *, most: int) -> tuple[Asked, int]:
    """Learn from the rows that people labelled since, ``most`` at most; how many they are.

    Those among the validation rows and in the holdout only measure.
    """
    dataset = setup.dataset
    rows = np.setdiff1d(np.concatenate([asked.unasked(setup), dataset.reviewed]), asked.training.rows)
    rows = rows[setup.teacher.is_reviewed(dataset.texts.take(pa.array(rows)))]
    rows = setup.draw(rows, min(len(rows), most), "reviewed")
    if len(rows):
        asked = ask_to_learn(setup, asked, rows, np.zeros(len(rows), np.bool_))
    return asked, len(rows)


def _further_rows(setup: Setup, asked: Asked, *, known: bool, labelled: int) -> tuple[str, NDArray[np.int64]]:
    """Further rows of round 1, and of what kind they are.

    Of the seed ``labelled`` rows at most, as far as it is not known; without it rows drawn evenly, where rows
    are ``known`` newer ones.
    """
    dataset, left = setup.dataset, asked.left(setup)
    learned = asked.training.rows
    seed = np.setdiff1d(dataset.seed, learned)
    if len(seed) > labelled:
        seed = setup.draw(seed, labelled, "labelled")
    if len(seed):
        return "labelled", seed
    rows = asked.unasked(setup)
    if known:  # the corpus is in order of time
        rows = rows[rows > learned[learned < len(dataset.corpus.texts)].max(initial=-1)]
    count = max(1, min(FIRST_ROWS, left // setup.definition.gate.rounds))
    return "new" if known else "random", setup.draw(rows, min(count, len(rows)), "first")


def divided(setup: Setup, asked: Asked, *, most: int) -> Subclasses:
    """The parts of the classes, by what the teacher says of the rows asked about so far.

    Args:
        setup: has texts and teacher.
        asked: the rows.
        most: parts in all, as of ``divide``.
    """
    seen = join([asked.validation.answers, asked.training.answers])
    rows = np.concatenate([asked.validation.rows, asked.training.rows])
    return divide(
        setup.teacher.rule.class_of,
        seen.labels,
        # There is no student yet whose features would tell which labels are near each other.
        seen.vectors_or(lambda: word_vectors(setup.dataset.encoded.take(rows), setup.rng("words"))),
        most=most,
        rng=setup.rng("subclasses"),
    )
