"""A round around its training: a student is measured, and the next one's rows are chosen and asked about."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from replacement.answers import Answers
from replacement.budget import rows_of_round
from replacement.evaluation import disagreement
from replacement.evaluation.metrics import decide
from replacement.results import Coverage, Round, StopReason
from replacement.training import acquisition
from replacement.training.rounds.state import Asked, Setup, TrainingSet, ask_to_learn
from textcnn import Student


def measure_round(setup: Setup, asked: Asked, student: Student, number: int) -> Round:
    """Choose a student's threshold on the validation rows, and measure it on those and on the holdout.

    Args:
        setup: has the texts.
        asked: the rows, those that the student was trained on among them.
        student: of this round.
        number: of the round.
    """
    training, definition = asked.training, setup.definition
    learned = training.learned(definition.teacher)
    validation = asked.scored_validation(setup, student)
    threshold = validation.threshold(definition.operating_points["default"], definition.gate)[0]
    return Round(
        round=number,
        rows=int(learned.sum()),
        asked=asked.count,
        computed=setup.teacher.rows_scored,
        added=training.added,
        yields=training.yields,
        boundary=int((~learned).sum()),
        hard_negatives=int(training.hard_negatives[learned].sum()),
        threshold=threshold,
        validation=validation.measure(threshold),
        holdout=asked.scored_holdout(setup, student).measure(threshold),
    )


def out_of_rows(setup: Setup, asked: Asked, number: int) -> StopReason | None:
    """Why there is nothing to ask about in the next round; None: there is.

    Args:
        setup: has budget and pool.
        asked: the rows so far.
        number: of the round that was the last.
    """
    unasked = asked.unasked(setup)
    if setup.teacher.spent:
        return StopReason.BUDGET_SPENT
    if _round_budget(setup, asked, number, unasked) >= 1:
        return None
    return StopReason.BUDGET_SPENT if len(unasked) else StopReason.POOL_USED_UP


def ask_next_rows(
    setup: Setup, asked: Asked, student: Student, result: Round
) -> tuple[Asked, tuple[Coverage, ...]]:
    """Choose the next round's rows from this round's errors, and ask about them.

    Args:
        setup: has teacher and pool, of which some rows are left.
        asked: the rows so far.
        student: of this round.
        result: of this round.

    Returns:
        The rows with the new ones; and how the student covers the clusters of those trained on.
    """
    unasked = asked.unasked(setup)
    candidates = setup.dataset.encoded.take(unasked)
    scores, features = student.score_encoded(candidates), student.features(candidates)
    chosen, coverage = acquisition.choose(
        acquisition.Candidates(
            probabilities=scores,
            features=features,
            network=student.network_logits(features) if student.readout.plain else None,
            threshold=result.threshold,
        ),
        known_rows(setup, student, asked.training.rows, asked.training.answers, result.threshold),
        known_rows(setup, student, asked.validation.rows, asked.validation.answers, result.threshold),
        result.validation,
        result.validation.shortfall(setup.definition.gate),
        budget=_round_budget(setup, asked, result.round, unasked),
        rng=setup.rng(f"rows of round {result.round + 1}"),
    )
    picked = np.concatenate(list(chosen.values()))
    kinds = np.repeat(list(chosen), [len(rows) for rows in chosen.values()])
    order = np.argsort(unasked[picked])  # in order of time, as the cache keeps them
    picked, kinds = picked[order], kinds[order]
    asked = ask_to_learn(setup, asked, unasked[picked], np.zeros(len(picked), np.bool_))
    answered = np.isin(unasked[picked], asked.training.rows)
    picked, kinds = picked[answered], kinds[answered]
    added = {kind: int((kinds == kind).sum()) for kind in chosen}
    training = _with_yields(setup, asked.training, added, kinds, scores[picked], result.threshold)
    return dataclasses.replace(asked, training=training), tuple(coverage)


def _round_budget(setup: Setup, asked: Asked, number: int, unasked: NDArray[np.int64]) -> int:
    """Rows that the round after ``number`` may ask about."""
    rounds = setup.definition.gate.rounds - number
    return min(rows_of_round(asked.left(setup), rounds, len(asked.training.rows)), len(unasked))


def known_rows(
    setup: Setup, student: Student, rows: NDArray[np.int64], answers: Answers, threshold: float | None
) -> acquisition.Known:
    """Rows whose answers are known, as a student sees them.

    Args:
        setup: has the texts.
        student: any.
        rows: int64 (m,).
        answers: the teacher's, for those m rows.
        threshold: the student's, for two classes.
    """
    encoded = setup.dataset.encoded.take(rows)
    features = student.features(encoded)
    return acquisition.Known(
        labels=answers.decided,
        decided=decide(student.score_encoded(encoded), threshold),
        vectors=answers.vectors_or(lambda: features),
        features=features,
    )


def _with_yields(
    setup: Setup,
    training: TrainingSet,
    added: dict[str, int],
    kinds: NDArray[np.str_],
    scores: NDArray[np.float32],
    threshold: float | None,
) -> TrainingSet:
    """The rows with what the last n of them turned out to be.

    ``kinds`` (n,) say why each was chosen, ``scores`` (n, classes) what the student said of it.
    """
    first = len(training.rows) - len(kinds)
    probabilities, margin = training.answers.probabilities[first:], training.answers.margin[first:]
    hard_negatives = training.hard_negatives.copy()
    hard_negatives[first:] = disagreement.hard_negatives(
        probabilities, scores, threshold, rng=setup.rng("competing")
    )
    decided = decide(scores, threshold)
    return dataclasses.replace(
        training,
        hard_negatives=hard_negatives,
        added=added,
        yields=acquisition.yields(kinds, training.answers.decided[first:], decided, margin),
    )
