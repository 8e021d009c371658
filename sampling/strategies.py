"""Which rows to take next, from scores alone.

Every strategy takes arrays over n candidate rows and gives at most ``budget`` distinct row numbers,
int64, the most wanted first. Ties are broken by the generator, so that equal rows are taken evenly.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Scores = NDArray[np.floating]
_AGREED = 16.0  # square of logits: members that are less than four logits apart agree; 1 to 16 were alike


def random_rows(n: int, *, budget: int, rng: np.random.Generator) -> Rows:
    """Rows drawn evenly without replacement: they keep the distribution of the corpus."""
    return rng.permutation(n)[: max(0, budget)].astype(np.int64)


def least_confidence(scores: Scores, *, budget: int, rng: np.random.Generator) -> Rows:
    """Smallest highest probability first (Lewis and Gale 1994). ``scores``: (n, classes)."""
    _check(scores)
    return _smallest(scores.max(axis=1), budget, rng)


def breaking_ties(scores: Scores, *, budget: int, rng: np.random.Generator) -> Rows:
    """Smallest lead of the likeliest class first (Luo et al. 2005). ``scores``: (n, classes)."""
    _check(scores)
    highest = np.sort(scores, axis=1)
    return _smallest(highest[:, -1] - highest[:, -2], budget, rng)


def committee(logits: Scores, member: Scores, *, budget: int, rng: np.random.Generator) -> Rows:
    """Smallest lead of the likeliest class first, measured by how far two members disagree about it.

    ``logits``, (n, classes), is the sum of what both members say, ``member`` what one of them says; each up
    to a constant of its row. Where the members agree these are the rows of ``breaking_ties``; those come
    before them of which one member is sure and the other is not: query by committee (Seung, Opper and
    Sompolinsky 1992), the committee being the parts of one classifier.
    """
    two = np.argsort(logits, axis=1)[:, -2:]
    lead, own = (np.diff(np.take_along_axis(each, two, axis=1), axis=1)[:, 0] for each in (logits, member))
    disagreement = own - (lead - own)
    return _smallest(lead / np.sqrt(_AGREED + disagreement**2), budget, rng)


def near_threshold(scores: Scores, threshold: float, *, budget: int, rng: np.random.Generator) -> Rows:
    """Smallest distance to the decision threshold first. ``scores``: (n,) of the positive class.

    The distance is one of log-odds: from a threshold of 0.97, a score of 0.94 is as far as one of 0.985, and
    rows that the student is sure of are not near because no score is above 1.
    """
    return _smallest(np.abs(_log_odds(scores) - _log_odds(np.array(threshold))), budget, rng)


def _log_odds(scores: Scores) -> Scores:
    """Scores that round to 0 or 1 lie at the ends."""
    bounded = np.clip(scores.astype(np.float64), 1e-7, 1.0 - 1e-7)
    odds: Scores = np.log(bounded / (1.0 - bounded))
    return odds


def likely_false(scores: Scores, threshold: float, *, budget: int, rng: np.random.Generator) -> Rows:
    """Rows called positive, drawn evenly: where a student's false positives are, before a teacher was asked.

    ``scores``: (n,) of the positive class. Rows at or above ``threshold`` are called positive.
    """
    rows = np.flatnonzero(scores >= threshold)
    return rows[random_rows(len(rows), budget=budget, rng=rng)]


def competing(
    teacher: Scores, student: Scores, teacher_threshold: float, student_threshold: float, *,
    margin: float = 0.0, budget: int, rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """Rows on which teacher and student clearly disagree, the widest disagreement first.

    One score is above its threshold and the other below its own, each by more than ``margin``. Both
    scores are (n,) of the positive class. How far a score is from its threshold is the share that it takes
    of the room on its side, 0 at the threshold and 1 at a score of 0 or 1: at a threshold of 0.1 a score of
    0.02 is as clear a no as one of 0.1 at a threshold of 0.5. The disagreement is the sum of the two shares.
    """
    ahead = _share_of_room(student, student_threshold)
    gold = _share_of_room(teacher, teacher_threshold)
    clear = (np.abs(ahead) > margin) & (np.abs(gold) > margin) & ((ahead >= 0) != (gold >= 0))
    rows = np.flatnonzero(clear)
    return rows[_smallest(-np.abs(ahead - gold)[rows], budget, rng)]


def _share_of_room(scores: Scores, threshold: float) -> Scores:
    """From -1 at a score of 0 over 0 at the threshold to 1 at a score of 1."""
    ahead = scores.astype(np.float64) - threshold
    found: Scores = ahead / np.where(ahead >= 0, max(1.0 - threshold, 1e-12), max(threshold, 1e-12))
    return found


def competing_classes(
    teacher: Scores, student: Scores, *, margin: float = 0.0, budget: int, rng: np.random.Generator
) -> Rows:
    """``competing`` for any number of classes: the decisions differ and each leads the other by ``margin``.

    Both scores are (n, classes). The widest sum of the two leads comes first.
    """
    _check(teacher)
    gold, called = teacher.argmax(axis=1), student.argmax(axis=1)
    rows = np.arange(len(teacher))
    teacher_lead = teacher[rows, gold] - teacher[rows, called]
    student_lead = student[rows, called] - student[rows, gold]
    clear = np.flatnonzero((gold != called) & (teacher_lead > margin) & (student_lead > margin))
    return clear[_smallest(-(teacher_lead + student_lead)[clear], budget, rng)]


def _smallest(values: Scores, budget: int, rng: np.random.Generator) -> Rows:
    shuffled = rng.permutation(len(values))
    order = np.argsort(values[shuffled], kind="stable")
    return shuffled[order][: max(0, budget)].astype(np.int64)


def _check(scores: Scores) -> None:
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"scores have shape {scores.shape}; needed is (n, classes) with two or more classes")
