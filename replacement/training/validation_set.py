"""Which rows of the pool choose the threshold: drawn with known chances, more where they tell more.

Drawn evenly, 1,500 rows of a task of 2 % positives hold 30 of them, and the threshold is the noisiest part
of the student. So a third is drawn evenly, and the others in proportion to how much a row can move the
estimated F1, given what a student thinks of it (Sawade, Landwehr and Scheffer 2010, "Active Estimation of
F-Measures", section 3). A row's weight is one over its chance to be drawn either way: weighted sums over
the rows drawn estimate those over the pool without bias (Horvitz and Thompson 1952), and because of the
even third no weight exceeds three times that of a row drawn evenly. What is drawn is not learned from: in a
small pool the rows that tell most, its positives, would nearly all be drawn, so a chance has a ceiling.

The rows of a promoted version are kept by the run that follows it: drawn anew they would take rows away that
were learned from. Only what is new in the pool since is drawn from, in proportion to its size.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import sampling
from pingti.students import AnyStudent
from pingti.workspace.definition import OperatingPointSection
from replacement.answers import Answers, join
from replacement.evaluation.operating_points import Scored, choose, curve
from replacement.training.dataset import Corpus
from replacement.training.teacher_labels import TeacherLabels
from replacement.training.warm_start import EarlierValidation

_WHAT = "teacher: validation"
EVEN = 1 / 3
"""Share of the rows that is drawn evenly, before there is a student."""
MOST = 1 / 4
"""Highest chance of a row to be among the others; the rest of what is alike to it is there to learn from."""
_LEAST_SURE, _SUREST = 0.5, 0.97  # an F1 estimated outside would leave some rows nearly no chance


@dataclass(frozen=True, kw_only=True, eq=False)
class ValidationSet:
    """The m rows of the pool that choose threshold and round, with the teacher's answers."""

    rows: NDArray[np.int64]
    """(m,): rows of the corpus."""
    answers: Answers
    weights: NDArray[np.float64]
    """(m,), of mean 1: how many rows each stands for."""
    days: NDArray[np.int64] | None
    """(m,): days since 1970 (UTC), where the corpus has times."""
    budget: int
    """Rows that the teacher may be asked about for it."""
    planned: int
    """Those of them that are still to be drawn, by a student's scores."""

    def scored(self, scores: NDArray[np.float32]) -> Scored:
        """The rows beside what a student says of them.

        Args:
            scores: float32 (m, classes), the student's probabilities.
        """
        return Scored(reference=self.answers.decided, scores=scores, weights=self.weights, days=self.days)


def ask_drawn_evenly(
    corpus: Corpus, teacher: TeacherLabels, *, even: int, budget: int, rng: np.random.Generator
) -> ValidationSet:
    """Draw rows of the pool evenly, and ask about them.

    The draw depends on the corpus alone: tasks over one corpus share the teacher's answers.

    Args:
        corpus: has the pool.
        teacher: is asked.
        even: rows to be drawn now.
        budget: rows in all; ``ask_drawn_by_score`` draws the others.
        rng: draws the rows.
    """
    drawn = sampling.random_rows(len(corpus.pool), budget=even, rng=rng)
    rows, answers = _answered(teacher, corpus, np.sort(corpus.pool[drawn]))
    return ValidationSet(
        rows=rows,
        answers=answers,
        weights=np.ones(len(rows)),
        days=None if corpus.days is None else corpus.days[rows],
        budget=budget,
        planned=budget - even,
    )


def ask_drawn_by_score(
    validation: ValidationSet,
    corpus: Corpus,
    teacher: TeacherLabels,
    student: AnyStudent,
    *,
    learned: NDArray[np.int64],
    rng: np.random.Generator,
) -> ValidationSet:
    """Draw the planned rows by what a student of two classes thinks of the pool, and ask about them.

    Args:
        validation: the rows drawn evenly.
        corpus: has the pool.
        teacher: is asked.
        student: one that learned from rows drawn evenly or from none, of this corpus or another.
        learned: (k,), rows that may not be drawn any more, themselves drawn evenly.
        rng: draws the rows.
    """
    pool = corpus.pool
    texts = _texts(corpus, pool)
    # Rows that people labelled were not drawn evenly: the even part alone stands for them.
    picked, weights = draw_by_score(
        student.score(texts)[:, 1],
        np.searchsorted(pool, validation.rows),
        validation.answers.decided > 0,
        ~np.isin(pool, learned) & ~teacher.is_reviewed(texts),
        budget=validation.planned,
        rng=rng,
    )
    answers = teacher.ask(texts.take(pa.array(picked)).to_pylist(), _WHAT)
    answered = answers.answered
    rows = np.concatenate([validation.rows, pool[picked[answered]]])
    weights = weights[np.concatenate([np.ones(len(validation.rows), np.bool_), answered])]
    return dataclasses.replace(
        validation,
        rows=rows,
        answers=join([validation.answers, answers.take(answered)]),
        weights=weights if answered.all() else weights / weights.mean(),
        days=None if corpus.days is None else corpus.days[rows],
        planned=0,
    )


def ask_kept(
    earlier: EarlierValidation,
    corpus: Corpus,
    teacher: TeacherLabels,
    student: AnyStudent | None,
    *,
    budget: int,
    rng: np.random.Generator,
) -> ValidationSet | None:
    """Take the promoted version's validation rows again, beside rows of what is new in the pool since.

    Args:
        earlier: those that are still there; none of them was learned from.
        corpus: has the pool.
        teacher: is asked.
        student: the promoted one, of two classes, by whose scores new rows are drawn; None: evenly.
        budget: rows in all.
        rng: draws the new rows, and which of the earlier ones make room for them.

    Returns:
        The rows; None where so few of the earlier ones are left that all are better drawn anew.
    """
    pool, kept, stands_for = corpus.pool, earlier.places, earlier.stands_for
    if 2 * len(kept) < budget:
        return None
    newer = np.arange(earlier.first_new, len(pool))
    new_budget = min(len(newer), max(1, round(budget * len(newer) / len(pool)))) if len(newer) else 0
    if len(kept) > budget - new_budget:
        stay = np.sort(sampling.random_rows(len(kept), budget=budget - new_budget, rng=rng))
        stands_for = stands_for[stay] * (len(kept) / max(1, len(stay)))
        kept = kept[stay]
    fresh, answers, weights = _ask_newer(newer, corpus, teacher, student, budget=new_budget, rng=rng)
    asked = len(kept) + new_budget
    old = teacher.ask(_texts(corpus, pool[kept]).to_pylist(), _WHAT)
    kept, stands_for, old = kept[old.answered], stands_for[old.answered], old.take(old.answered)
    rows, every = pool[np.concatenate([kept, fresh])], np.concatenate([stands_for, weights])
    return ValidationSet(
        rows=rows,
        answers=join([old, answers]),
        weights=every / every.mean(),
        days=None if corpus.days is None else corpus.days[rows],
        budget=asked,
        planned=0,
    )


def _ask_newer(
    newer: NDArray[np.int64],
    corpus: Corpus,
    teacher: TeacherLabels,
    student: AnyStudent | None,
    *,
    budget: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], Answers, NDArray[np.float64]]:
    """Draw from places ``newer`` of the pool (the last ones); places, answers, rows that each stands for."""
    if not budget:
        return newer[:0], join([]), np.zeros(0)
    even = max(1, round(budget * EVEN)) if student is not None else budget
    drawn = np.sort(newer[sampling.random_rows(len(newer), budget=even, rng=rng)])
    answers = teacher.ask(_texts(corpus, corpus.pool[drawn]).to_pylist(), _WHAT)
    drawn, answers = drawn[answers.answered], answers.take(answers.answered)
    weights = np.ones(len(drawn))
    if student is not None:
        texts = _texts(corpus, corpus.pool[newer])
        picked, weights = draw_by_score(
            student.score(texts)[:, 1],
            drawn - newer[0],
            answers.decided > 0,
            ~teacher.is_reviewed(texts),
            budget=budget - even,
            rng=rng,
        )
        further = teacher.ask(texts.take(pa.array(picked)).to_pylist(), _WHAT)
        weights = weights[np.concatenate([np.ones(len(drawn), np.bool_), further.answered])]
        drawn = np.concatenate([drawn, newer[picked[further.answered]]])
        answers = join([answers, further.take(further.answered)])
    return drawn, answers, weights / weights.sum() * len(newer)


def _answered(
    teacher: TeacherLabels, corpus: Corpus, rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Answers]:
    """Those of ``rows`` of the corpus for which the teacher has an answer, and the answers."""
    answers = teacher.ask(_texts(corpus, rows).to_pylist(), _WHAT)
    return rows[answers.answered], answers.take(answers.answered)


def _texts(corpus: Corpus, rows: NDArray[np.int64]) -> pa.Array:
    return corpus.texts.take(pa.array(rows))


def draw_by_score(
    scores: NDArray[np.floating],
    even: NDArray[np.int64],
    positive: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    *,
    budget: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw further validation rows of a task of two classes.

    Args:
        scores: (n,), a student's probability of the second class for every row of the pool.
        even: (m,), rows of the pool that were drawn evenly already, and ...
        positive: (m,): whether the reference puts them into the second class.
        usable: (n,), which rows may be drawn. False for rows left out by what they are, those of ``even``
            among them too; or, of the others, for rows drawn evenly for something else.
        budget: rows to draw; fewer are drawn where fewer are usable.
        rng: draws the rows.

    Returns:
        The rows drawn, ascending; and weights (m + rows drawn,) of ``even`` and of them, of mean 1.
    """
    return draw_by_pull(pull_of(scores, even, positive), even, usable, budget=budget, rng=rng)


def pull_of(
    scores: NDArray[np.floating], even: NDArray[np.int64], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """How much each row moves the estimated F1 of a task of two classes.

    Args:
        scores: as of ``draw_by_score``, like ``even`` and ``positive``.
        even: (m,).
        positive: (m,).

    Returns:
        float64 (n,), above 0.
    """
    points = curve(positive, scores[even])
    threshold, _ = choose(points, OperatingPointSection())
    f1 = min(max(float(points.f1s.max(initial=0.0)), _LEAST_SURE), _SUREST)
    return _pull(scores, threshold or 0.5, f1)


def draw_by_pull(
    pull: NDArray[np.float64],
    even: NDArray[np.int64],
    usable: NDArray[np.bool_],
    *,
    budget: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Draw further validation rows in proportion to how much they tell.

    Args:
        pull: (n,), above 0, for every row of the pool.
        even: as of ``draw_by_score``, like ``usable``, ``budget`` and ``rng``.
        usable: (n,).
        budget: rows to draw.
        rng: draws the rows.

    Returns:
        As of ``draw_by_score``.
    """
    n, m = len(pull), len(even)
    fresh = usable.copy()
    fresh[even] = False
    candidates = np.flatnonzero(fresh)
    budget = min(budget, len(candidates))
    chances = _chances(pull, candidates, budget)
    chances[~usable] = 0.0
    # Systematic draw in random order: row i with chance i, and exactly as many as the chances add up to.
    shuffled = rng.permutation(candidates)
    steps = np.floor(chances[shuffled].cumsum() + rng.random() + 1e-9)
    picked = np.sort(shuffled[np.diff(steps, prepend=0.0) > 0])
    rows = np.concatenate([even, picked])
    # Drawn evenly, or else, as one of the candidates, by its chance.
    share = m / n
    weights = 1.0 / (share + len(candidates) / n * chances[rows])
    return picked, weights / weights.mean()


def _pull(scores: NDArray[np.floating], threshold: float, f1: float) -> NDArray[np.float64]:
    """How much a row moves the estimated F1, (n,): the root of its expected squared part in the error."""
    p = np.clip(scores.astype(np.float64), 1e-6, 1 - 1e-6)
    called = p * (1 - f1) ** 2 + (1 - p) * f1**2 / 4
    moves: NDArray[np.float64] = np.sqrt(np.where(scores >= threshold, called, p * f1**2 / 4))
    return np.maximum(moves, 1e-6)


def _chances(pull: NDArray[np.float64], candidates: NDArray[np.int64], budget: int) -> NDArray[np.float64]:
    """Chances (n,) in proportion to ``pull``, at most ``MOST``; those of the candidates add up to ``budget``.

    Where ``budget`` is a larger share of the candidates than that, the share is every row's chance.
    """
    if budget == 0:
        return np.zeros(len(pull))
    own = pull[candidates]
    most = max(MOST, budget / len(candidates))
    scale = budget / own.sum()
    for _ in range(50):
        scale *= budget / np.minimum(scale * own, most).sum()
    chances: NDArray[np.float64] = np.minimum(scale * pull, most)
    return chances
