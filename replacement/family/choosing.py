"""What a family's teachers are asked next: rows for the tasks that are worst."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import sampling
from replacement.evaluation import disagreement
from replacement.family.rows import TeacherRows, learn
from replacement.family.state import Family, State, budget_of_round, pool_of
from replacement.results import Round
from replacement.training import acquisition
from replacement.training.rounds.state import Asked, Setup, TrainingSet
from replacement.training.rounds.turn import known_rows
from replacement.training.validation_set import ValidationSet
from textcnn import Student
from textcnn.multi_scorer import MultiScorer

OPEN = 0.9
"""This share of a round's rows are those about which any task that lacks something is most unsure. On weibo's
eight tasks, from 3,000 labelled rows to 12,500 in four rounds, mean F1 was .807 so, .802 by ties between the
teacher's labels, .797 where each of the four worst tasks chose for itself, and .790 at random (one seed)."""
WORST = 4
"""For so many tasks of a teacher, at most, the others are chosen, after each one's own errors."""


def ask_next_rows(
    family: Family,
    state: State,
    asked: Sequence[Asked],
    students: Sequence[Student],
    results: Sequence[Round],
) -> State:
    """Choose each teacher's rows of the next round, and ask about them.

    Args:
        family: has pool and teachers.
        state: the rows so far.
        asked: the same as each task sees them.
        students: of this round.
        results: of this round.
    """
    teachers = []
    for rows in state.teachers:
        budget = min(
            budget_of_round(family, rows, results[0].round), len(rows.unasked(pool_of(family, rows)))
        )
        if budget < 1 or family.setups[rows.members[0]].teacher.spent:
            teachers.append(dataclasses.replace(rows, added={}))
            continue
        chosen = _choose(family, rows, asked, students, results, budget)
        taught = learn(rows, family.setups[rows.members[0]], chosen)
        teachers.append(_with_hard_negatives(family, taught, students, results))
    return dataclasses.replace(state, teachers=teachers)


def needs(setups: Sequence[Setup], results: Sequence[Round]) -> NDArray[np.float64]:
    """How much each task needs rows: what it lacks to its gate, or of a task that lacks nothing, nothing.

    Args:
        setups: of the tasks.
        results: of the last round.

    Returns:
        float64 (tasks,), of sum 1; even where no task lacks anything on its validation rows.
    """
    lacks = np.array(
        [
            sum(result.validation.shortfall(setup.definition.gate))
            for setup, result in zip(setups, results, strict=True)
        ]
    )
    return lacks / lacks.sum() if lacks.sum() > 0 else np.full(len(lacks), 1 / len(lacks))


def _choose(
    family: Family,
    rows: TeacherRows,
    asked: Sequence[Asked],
    students: Sequence[Student],
    results: Sequence[Round],
    budget: int,
) -> dict[str, NDArray[np.int64]]:
    """Rows of the dataset by the reason for which they are chosen, no row twice."""
    need = needs([family.setups[place] for place in rows.members], [results[place] for place in rows.members])
    lacking = [place for place, own in zip(rows.members, need.tolist(), strict=True) if own > 0]
    unasked = rows.unasked(pool_of(family, rows))
    encoded = family.lead.dataset.encoded.take(unasked)
    scorer = MultiScorer([students[place] for place in lacking])
    fingerprint = family.lead.dataset.vocabulary.fingerprint
    scores = dict(zip(lacking, scorer.score_encoded({fingerprint: encoded}), strict=True))
    first = sampling.open_questions(
        [_of_pool(family.setups[place], unasked, scores[place]) for place in lacking],
        budget=round(OPEN * budget),
        rng=family.setups[rows.members[0]].rng(f"open rows of round {results[0].round + 1}"),
    )
    left = np.ones(len(unasked), np.bool_)
    left[first] = False
    chosen: dict[str, list[NDArray[np.int64]]] = {kind: [] for kind in acquisition.KINDS}
    chosen["uncertain"].append(unasked[first])
    order = np.argsort(-need, kind="stable")[:WORST]
    worst = [rows.members[index] for index in order.tolist() if need[index] > 0]
    features = students[worst[0]].features(encoded)
    for number, place in enumerate(worst):
        setup, result = family.setups[place], results[place]
        wanted = (budget - int((~left).sum())) // (len(worst) - number)
        open_rows = np.flatnonzero(left & np.isin(unasked, setup.dataset.corpus.pool))
        if wanted < 1 or not len(open_rows):
            continue
        picked, _ = acquisition.choose(
            acquisition.Candidates(
                probabilities=scores[place][open_rows],
                features=features[open_rows],
                network=None,
                threshold=result.threshold,
            ),
            _known(setup, students[place], asked[place].training, result),
            _known(setup, students[place], asked[place].validation, result),
            result.validation,
            result.validation.shortfall(setup.definition.gate),
            budget=min(wanted, len(open_rows)),
            rng=setup.rng(f"rows of round {result.round + 1} for {setup.entry.name}"),
        )
        for kind, own in picked.items():
            chosen[kind].append(unasked[open_rows[own]])
            left[open_rows[own]] = False
    nothing = np.zeros(0, np.int64)
    return {kind: np.concatenate([nothing, *own]) for kind, own in chosen.items()}


def _known(
    setup: Setup, student: Student, asked: TrainingSet | ValidationSet, result: Round
) -> acquisition.Known:
    return known_rows(setup, student, asked.rows, asked.answers, result.threshold)


def _of_pool(setup: Setup, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores of a task, and of rows that it is not asked about, that it is sure."""
    outside = ~np.isin(rows, setup.dataset.corpus.pool)
    if not outside.any():
        return scores
    scores = scores.copy()
    scores[outside] = 0.0
    scores[outside, 0] = 1.0
    return scores


def _with_hard_negatives(
    family: Family, rows: TeacherRows, students: Sequence[Student], results: Sequence[Round]
) -> TeacherRows:
    """The rows with what each task's student was surely wrong about, among those that came last."""
    fresh = np.isin(rows.training.rows, np.concatenate([*rows.added.values(), np.zeros(0, np.int64)]))
    new = rows.training.where(fresh)
    encoded = family.lead.dataset.encoded.take(new.rows)
    texts = family.lead.dataset.texts_of(new.rows)
    scorer = MultiScorer([students[place] for place in rows.members])
    scores = scorer.score_encoded({family.lead.dataset.vocabulary.fingerprint: encoded})
    flags = {}
    for place, own in zip(rows.members, scores, strict=True):
        setup, threshold = family.setups[place], results[place].threshold
        answers = setup.teacher.read(texts, new.scored)
        flags[place] = rows.hard_negatives[place].copy()
        flags[place][fresh] = disagreement.hard_negatives(
            answers.probabilities, own, threshold, rng=setup.rng("competing")
        )
    return dataclasses.replace(rows, hard_negatives=flags)
