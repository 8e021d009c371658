"""Fit a student without a network, a bag of n-grams, to a teacher's soft scores.

What fastText computes (Joulin et al. 2017, "Bag of Tricks for Efficient Text Classification") is linear from
the n-grams to the logits, so that its two matrices fold into one table: a row of logits for each bucket. That
table is fitted directly, as the wide part of a TextCNN is (``textcnn.wide``), but to probabilities: each text
counts for a class by its probability and against it by the rest. The squared hinge loss of both is least
where the margin is 2p - 1, so margins tell probabilities, and the logits are in proportion to them.

From 12,000 random rows of weibo, mean F1 of society, drama, finance and games was .684; fitted to the
likeliest class alone, as the wide part is, .671; on three domains of CLINC150 .942 and .930. Fitted to the
cross-entropy by AdaGrad, as fastText is, F1 of society and drama was .789 and .509, where this has .797 and
.572, at the same cross-entropy.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pingti.errors import InputError
from textcnn.encoding import Encoded
from textcnn.wide import descend, squared_lengths, weighed_ngrams

_PENALTY: Final = 4.0  # C; of 1, 2, 4 and 8 best or nearly, for texts whose vectors have length 1 in the mean
_LEAST: Final = 1e-3  # share of a row from which on it is looked at
_PASSES: Final = 30
_SURE: Final = 0.97  # probability of a class whose margin is 1, where those of all others are -1


def fit_ngrams(
    encoded: Encoded,
    targets: NDArray[np.float32],
    *,
    buckets: int,
    rng: np.random.Generator,
    weights: NDArray[np.float32] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit the table of a bag of n-grams, as ``Student.of_ngrams`` takes it.

    Args:
        encoded: ids of n texts.
        targets: float (n, classes), each row the teacher's probabilities.
        buckets: a power of two.
        rng: the order of the steps comes from it.
        weights: (n,), how much a row counts; 1 for all where absent.

    Returns:
        Rows of logits of the n-grams, float32 (buckets, classes), and the bias, float32 (classes,).

    Raises:
        InputError: no rows, or arrays that do not fit each other.
    """
    count = len(encoded)
    if weights is None:
        weights = np.ones(count, np.float32)
    if count == 0 or targets.ndim != 2 or len(targets) != count or weights.shape != (count,):
        raise InputError(
            f"training: {count} texts, targets of shape {targets.shape}, weights of shape {weights.shape}; "
            "one row of targets and one weight per text are needed"
        )
    classes = targets.shape[1]
    grams, ends, worth, values = weighed_ngrams(encoded, buckets)
    squares = squared_lengths(grams, values, ends, buckets)
    # Each text twice: for a class and against it.
    twice = (np.tile(grams, 2), np.tile(values, 2), np.concatenate([ends, ends[1:] + ends[-1]]))
    signs = np.repeat([1.0, -1.0], count)
    orders = np.stack([rng.permutation(2 * count) for _ in range(_PASSES)])
    logits = (np.log(_SURE / (1 - _SURE)) + np.log(classes - 1)) / 2  # that a margin of 1 is worth
    table, bias = np.zeros((buckets, classes), np.float32), np.zeros(classes, np.float32)
    # The columns of two classes mirror each other.
    for column in range(1, 2) if classes == 2 else range(classes):
        of_class = np.clip(targets[:, column].astype(np.float64), 0.0, 1.0)
        shares = np.concatenate([of_class, 1.0 - of_class])
        penalties = np.where(shares < _LEAST, 0.0, _PENALTY * shares * np.tile(weights, 2))
        solution = descend(*twice, np.tile(squares, 2), signs, penalties, buckets, orders)
        table[:, column], bias[column] = logits * worth * solution[:-1], logits * solution[-1]
    if classes == 2:
        table[:, 0], bias[0] = -table[:, 1], -bias[1]
    return table, bias
