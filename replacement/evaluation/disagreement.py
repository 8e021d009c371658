"""Texts on which student and teacher clearly disagree."""

import numpy as np
from numpy.typing import NDArray

import sampling

_MARGIN = 0.2  # of the decided class over the other's, in probability
_SHARE = 0.4  # of the room beside the threshold; at one of 0.5 that is 0.2 in probability


def hard_negatives(
    teacher: NDArray[np.float32],
    student: NDArray[np.float32],
    threshold: float | None,
    *,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which rows are hard negatives: the student is sure of what the teacher denies.

    Args:
        teacher: (n, classes), probabilities.
        student: (n, classes), probabilities.
        threshold: the student's, for two classes; None: the likeliest class is taken.
        rng: orders rows that are alike.

    Returns:
        (n,).
    """
    n = len(teacher)
    if threshold is not None:
        rows = sampling.hard_negatives(
            teacher[:, 1], student[:, 1], 0.5, threshold, margin=_SHARE, budget=n, rng=rng
        )
    else:
        rows = sampling.hard_negatives_by_class(teacher, student, margin=_MARGIN, budget=n, rng=rng)
    marked = np.zeros(n, np.bool_)
    marked[rows] = True
    return marked
