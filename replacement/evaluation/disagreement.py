"""Texts on which student and teacher clearly disagree."""

import numpy as np
from numpy.typing import NDArray

import sampling

_COMPETING_LEAD = 0.2  # of the decided class over the other's, in probability
_COMPETING_SHARE = 0.4  # of the room beside the threshold; at one of 0.5 that is 0.2 in probability


def compete(
    gold: NDArray[np.float32],
    student: NDArray[np.float32],
    threshold: float | None,
    *,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Which rows are competing negatives, (n,): the student is sure of what the teacher denies.

    ``gold`` and ``student`` are probabilities (n, classes), ``threshold`` is the student's for two classes.
    """
    n = len(gold)
    if threshold is not None:
        found = sampling.hard_negatives(
            gold[:, 1], student[:, 1], 0.5, threshold, margin=_COMPETING_SHARE, budget=n, rng=rng
        )
    else:
        found = sampling.hard_negatives_by_class(gold, student, margin=_COMPETING_LEAD, budget=n, rng=rng)
    marked = np.zeros(n, np.bool_)
    marked[found] = True
    return marked
