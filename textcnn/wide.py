"""The wide part of a student, fitted apart from its network: a linear model of hashed n-grams.

The network sees how tokens mean alike; the linear model remembers which n-grams decide. Each makes errors
of its own, so the sum of their logits beats both, and beats the two trained as one (Cheng et al. 2016 train
them jointly): a network that may lean on the n-grams learns less itself.

The features are those that scoring adds up: the n-grams of ``ngram_buckets``, each worth its inverse document
frequency, divided by the root of their number, which stands for the length of the vector. The model is a
support vector machine with squared hinge loss on the likeliest classes, one class against the others, found
by dual coordinate descent (Hsieh et al. 2008, "A Dual Coordinate Descent Method for Large-scale Linear SVM",
algorithm 1); its margins, scaled, are the logits.
"""

from collections.abc import Sequence
from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from textcnn.encoding import Encoded
from textcnn.kernel import ngram_buckets

_PENALTY: Final = 1.0  # C of the paper, for texts whose vectors have length 1 in the mean
_TOLERANCE: Final = 0.1  # of the projected gradient
_PASSES: Final = 30


def fit_wide(
    encoded: Encoded,
    targets: NDArray[np.float32],
    tasks: Sequence[int],
    *,
    buckets: int,
    strength: float,
    weights: NDArray[np.float32],
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fit the wide part to a teacher's likeliest classes.

    Args:
        encoded: ids of n texts.
        targets: float (n, columns): the probabilities of each task's classes, side by side; NaN where a
            task's teacher was not asked.
        tasks: the number of classes of each task.
        buckets: a power of two.
        strength: how many logits a class gets for a margin of 1 against the others.
        weights: (n,), how much a row counts.
        rng: the order of the steps comes from it.

    Returns:
        Rows of logits of the n-grams, float32 (buckets, columns), and what is added to the bias, float32
        (columns,).
    """
    grams, ends, worth, values = weighed_ngrams(encoded, buckets)
    table = np.zeros((buckets, targets.shape[1]), np.float32)
    bias = np.zeros(targets.shape[1], np.float32)
    orders = np.stack([rng.permutation(len(encoded)) for _ in range(_PASSES)])
    squares = squared_lengths(grams, values, ends, buckets)
    first = 0
    for classes in tasks:
        part = targets[:, first : first + classes]
        asked = ~np.isnan(part).any(axis=1)
        likeliest = np.where(asked, np.nan_to_num(part).argmax(axis=1), -1)
        penalties = np.where(asked, _PENALTY * weights, 0.0).astype(np.float64)
        # The two columns of a task of two classes mirror each other.
        for column in range(1, 2) if classes == 2 else range(classes):
            signs = np.where(likeliest == column, 1.0, -1.0)
            solution = descend(grams, values, ends, squares, signs, penalties, buckets, orders)
            table[:, first + column] = worth * solution[:-1] * strength
            bias[first + column] = solution[-1] * strength
            if classes == 2:
                table[:, first], bias[first] = -table[:, first + 1], -bias[first + 1]
        first += classes
    return table, bias


def weighed_ngrams(
    encoded: Encoded, buckets: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Make the vectors of n texts that linear models of n-grams are fitted to.

    Args:
        encoded: ids of n texts.
        buckets: a power of two.

    Returns:
        As of ``ngram_buckets`` the buckets of all texts and int64 (n + 1,), where each text's end; what an
        n-gram of each bucket is worth, float64 (buckets,); and what each of a text's counts in its vector,
        its worth divided by the root of their number.
    """
    grams, ends = ngram_buckets(encoded.ids, encoded.offsets, buckets)
    counts = np.diff(ends)
    texts = np.repeat(np.arange(len(encoded)), counts)
    seen = np.bincount(np.unique(texts * buckets + grams) % buckets, minlength=buckets)
    worth = np.log((1 + len(encoded)) / (1 + seen)) + 1.0
    values = worth[grams] / np.sqrt(counts[texts])
    # Scaled to a mean squared length of 1, so that one penalty fits long and short texts.
    scale = np.sqrt(
        max(1, len(encoded)) / max(1e-12, float(squared_lengths(grams, values, ends, buckets).sum()))
    )
    return grams, ends, worth * scale, values * scale


@numba.njit(cache=True)
def squared_lengths(
    grams: NDArray[np.int64], values: NDArray[np.float64], ends: NDArray[np.int64], buckets: int
) -> NDArray[np.float64]:
    """Squared length of each text's vector; an n-gram that comes twice counts as the sum of both."""
    squares = np.zeros(len(ends) - 1)
    sums = np.zeros(buckets)
    for text in range(len(squares)):
        for g in range(ends[text], ends[text + 1]):
            squares[text] += values[g] * (values[g] + 2.0 * sums[grams[g]])
            sums[grams[g]] += values[g]
        for g in range(ends[text], ends[text + 1]):
            sums[grams[g]] = 0.0
    return squares


@numba.njit(cache=True)
def descend(
    grams: NDArray[np.int64],
    values: NDArray[np.float64],
    ends: NDArray[np.int64],
    squares: NDArray[np.float64],
    signs: NDArray[np.float64],
    penalties: NDArray[np.float64],
    buckets: int,
    orders: NDArray[np.int64],
) -> Any:
    """Fit a support vector machine with squared hinge loss.

    Args:
        grams: as of ``weighed_ngrams``, like ``values`` and ``ends``.
        values: float64, of each n-gram in its text's vector.
        ends: int64 (n + 1,).
        squares: float64 (n,), of ``squared_lengths``.
        signs: float64 (n,): 1 and -1, the two sides.
        penalties: float64 (n,), what a text's loss is multiplied by; 0: it does not count.
        buckets: of the n-grams.
        orders: int64 (passes, n), in which the texts are gone over.

    Returns:
        The weights of the n-grams, and behind them that of a feature of value 1: the bias; float64
        (buckets + 1,).
    """
    solution = np.zeros(buckets + 1)
    duals = np.zeros(len(signs))
    for order in orders:
        worst = 0.0
        for text in order:
            if penalties[text] <= 0.0:
                continue
            margin = solution[buckets]
            for g in range(ends[text], ends[text + 1]):
                margin += solution[grams[g]] * values[g]
            damping = 0.5 / penalties[text]
            gradient = signs[text] * margin - 1.0 + damping * duals[text]
            if duals[text] == 0.0:
                gradient = min(gradient, 0.0)
            worst = max(worst, abs(gradient))
            if gradient != 0.0:
                before = duals[text]
                duals[text] = max(before - gradient / (squares[text] + 1.0 + damping), 0.0)
                step = (duals[text] - before) * signs[text]
                for g in range(ends[text], ends[text + 1]):
                    solution[grams[g]] += step * values[g]
                solution[buckets] += step
        if worst < _TOLERANCE:
            break
    return solution
