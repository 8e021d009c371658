"""Which rows to take next, from scores alone.

Every strategy takes arrays over n candidate rows and gives at most ``budget`` distinct row numbers,
int64, the most wanted first. Ties are broken by the generator, so that equal rows are taken evenly.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Scores = NDArray[np.floating]
_AGREED = 16.0  # square of logits: members that are less than four logits apart agree; 1 to 16 were alike


def random_rows(n: int, *, budget: int, rng: np.random.Generator) -> Rows:
    """Draw rows evenly without replacement: they keep the distribution of the corpus.

    Args:
        n: how many rows there are.
        budget: rows at most.
        rng: decides.
    """
    return rng.permutation(n)[: max(0, budget)].astype(np.int64)


def breaking_ties(scores: Scores, *, budget: int, rng: np.random.Generator) -> Rows:
    """Take the rows of the smallest margin (Luo et al. 2005, "Active Learning to Recognize Multiple Types").

    Args:
        scores: float (n, classes), probabilities of two or more classes.
        budget: rows at most.
        rng: breaks ties.

    Raises:
        ValueError: scores of another shape.
    """
    _check(scores)
    highest = np.sort(scores, axis=1)
    return _smallest(highest[:, -1] - highest[:, -2], budget, rng)


def open_questions(scores: Sequence[Scores], *, budget: int, rng: np.random.Generator) -> Rows:
    """Take the rows for which any of several questions is most open: the smallest of their margins.

    Args:
        scores: of each question float (n, classes), probabilities of two or more classes.
        budget: rows at most.
        rng: breaks ties.

    Raises:
        ValueError: no question, or scores of another shape.
    """
    if not scores:
        raise ValueError("open_questions: needed are the scores of one question or more")
    smallest = np.full(len(scores[0]), np.inf)
    for own in scores:
        _check(own)
        highest = np.sort(own, axis=1)
        np.minimum(smallest, highest[:, -1] - highest[:, -2], out=smallest)
    return _smallest(smallest, budget, rng)


def committee(logits: Scores, member: Scores, *, budget: int, rng: np.random.Generator) -> Rows:
    """Take the rows of the smallest margin, measured by how far two members disagree about it.

    Where the members agree these are the rows of ``breaking_ties``; those come before them of which one
    member is sure and the other is not: query by committee (Seung, Opper and Sompolinsky 1992), the committee
    being the parts of one classifier. A margin is one of logits here.

    Args:
        logits: float (n, classes), the sum of what both members say, up to a constant of the row.
        member: float (n, classes), what one of them says, up to a constant of the row.
        budget: rows at most.
        rng: breaks ties.
    """
    two = np.argsort(logits, axis=1)[:, -2:]
    margin, own = (
        np.diff(np.take_along_axis(votes, two, axis=1), axis=1)[:, 0] for votes in (logits, member)
    )
    disagreement = own - (margin - own)
    return _smallest(margin / np.sqrt(_AGREED + disagreement**2), budget, rng)


def likely_false(scores: Scores, threshold: float, *, budget: int, rng: np.random.Generator) -> Rows:
    """Draw evenly from the rows called positive: a student's false positives, before a teacher was asked.

    Args:
        scores: float (n,), of the positive class.
        threshold: rows at or above it are called positive.
        budget: rows at most.
        rng: decides.
    """
    rows = np.flatnonzero(scores >= threshold)
    return rows[random_rows(len(rows), budget=budget, rng=rng)]


def hard_negatives(
    teacher: Scores, student: Scores, teacher_threshold: float, student_threshold: float, *,
    margin: float = 0.0, budget: int, rng: np.random.Generator,
) -> Rows:  # fmt: skip
    """Take the rows on which teacher and student clearly disagree, the widest disagreement first.

    One score is above its threshold and the other below its own, each by more than ``margin``. How far a
    score is from its threshold is the share that it takes of the room on its side, 0 at the threshold and 1
    at a score of 0 or 1: at a threshold of 0.1 a score of 0.02 is as clear a no as one of 0.1 at a threshold
    of 0.5. The disagreement is the sum of the two shares.

    Args:
        teacher: float (n,), of the positive class.
        student: float (n,), of the positive class.
        teacher_threshold: from which on the teacher says yes.
        student_threshold: from which on the student says yes.
        margin: share of the room, 0 to 1.
        budget: rows at most.
        rng: breaks ties.
    """
    student_share = _share_of_room(student, student_threshold)
    teacher_share = _share_of_room(teacher, teacher_threshold)
    clear = (np.abs(student_share) > margin) & (np.abs(teacher_share) > margin)
    rows = np.flatnonzero(clear & ((student_share >= 0) != (teacher_share >= 0)))
    return rows[_smallest(-np.abs(student_share - teacher_share)[rows], budget, rng)]


def hard_negatives_by_class(
    teacher: Scores, student: Scores, *, margin: float = 0.0, budget: int, rng: np.random.Generator
) -> Rows:
    """``hard_negatives`` for any number of classes: each decides otherwise than the other, by ``margin``.

    The widest sum of the two margins comes first, each that of the own class over the other's.

    Args:
        teacher: float (n, classes), probabilities of two or more classes.
        student: float (n, classes).
        margin: in probability.
        budget: rows at most.
        rng: breaks ties.

    Raises:
        ValueError: scores of another shape.
    """
    _check(teacher)
    by_teacher, by_student = teacher.argmax(axis=1), student.argmax(axis=1)
    rows = np.arange(len(teacher))
    teacher_margin = teacher[rows, by_teacher] - teacher[rows, by_student]
    student_margin = student[rows, by_student] - student[rows, by_teacher]
    differ = by_teacher != by_student
    clear = np.flatnonzero(differ & (teacher_margin > margin) & (student_margin > margin))
    return clear[_smallest(-(teacher_margin + student_margin)[clear], budget, rng)]


def _share_of_room(scores: Scores, threshold: float) -> Scores:
    """From -1 at a score of 0 over 0 at the threshold to 1 at a score of 1."""
    ahead = scores.astype(np.float64) - threshold
    share: Scores = ahead / np.where(ahead >= 0, max(1.0 - threshold, 1e-12), max(threshold, 1e-12))
    return share


def _smallest(values: Scores, budget: int, rng: np.random.Generator) -> Rows:
    shuffled = rng.permutation(len(values))
    order = np.argsort(values[shuffled], kind="stable")
    return shuffled[order][: max(0, budget)].astype(np.int64)


def _check(scores: Scores) -> None:
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise ValueError(f"scores have shape {scores.shape}; needed is (n, classes) with two or more classes")
