"""The finish: one more training after the rounds, on the whole pool, that costs the teacher nothing.

Self-training (Scudder 1965; Xie et al. 2020, "Self-training with Noisy Student"): a student learns the rows
that the teacher was asked about, several times each, and all others as an earlier student sees them, which
teaches it the words that no row asked about has. What the earlier student says is softened (Hinton et al.
2015, section 2), since it is no teacher. Rows of the holdout and validation rows are no part of it.

Measured on weibo (30,000 titles, a quarter of them asked about, half the passes of a round) it lost F1 on the
holdout on two tasks of three, society .847 to .825, games .856 to .838, sports .904 to .906, and took four
times as long as the last round. With a network of the teacher's labels society fell from .848 to .841 (at
temperature 1 to .847). So it is off unless a definition asks for it.

Arrays in, so that a task and a family finish alike.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from textcnn import Encoded, Student
from textcnn.readout import Readout

REPEATS = 3
"""A row that the teacher was asked about is learned so many times as often as another."""
TEMPERATURE = 2.0

Trained = TypeVar("Trained")


def finish(
    train: Callable[[NDArray[np.int64], NDArray[np.float32]], Trained],
    guess: Callable[[NDArray[np.int64]], NDArray[np.float32]],
    asked: NDArray[np.int64],
    targets: NDArray[np.float32],
    others: NDArray[np.int64],
    *,
    groups: Sequence[int],
    most: int,
    rng: np.random.Generator,
) -> Trained:
    """Train once more.

    Args:
        train: is given rows, int64 (n,), and their targets, float32 (n, columns), and trains on them.
        guess: gives an earlier student's probabilities of the columns of rows, float32 (n, columns).
        asked: int64 (k,), rows that the teacher was asked about.
        targets: float32 (k, columns), what is learned of them; NaN where a teacher was not asked.
        others: int64 (m,), rows that may be learned from besides, none of them measuring anything.
        groups: how many columns exclude each other, group by group.
        most: so many of ``others`` at most, drawn evenly.
        rng: draws them.

    Returns:
        What ``train`` gives.
    """
    if len(others) > most:
        others = np.sort(rng.permutation(others)[:most])
    guessed = soften(guess(others), groups, TEMPERATURE)
    rows = np.concatenate([*[asked] * REPEATS, others])
    return train(rows, np.concatenate([*[targets] * REPEATS, guessed]))


def soften(
    probabilities: NDArray[np.float32], groups: Sequence[int], temperature: float
) -> NDArray[np.float32]:
    """Probabilities at another temperature.

    Args:
        probabilities: float32 (n, columns).
        groups: as of ``finish``.
        temperature: above 1 they become more alike.

    Returns:
        float32 (n, columns); those of a group sum to 1.
    """
    softened = np.maximum(probabilities.astype(np.float64), 1e-12) ** (1.0 / temperature)
    first = np.cumsum([0, *groups[:-1]])
    sums = np.add.reduceat(softened, first, axis=1)
    shares: NDArray[np.float32] = (softened / np.repeat(sums, groups, axis=1)).astype(np.float32)
    return shares


def column_probabilities(student: Student, encoded: Encoded) -> NDArray[np.float32]:
    """What a student's network says of each of its columns.

    Args:
        student: any that reads the network.
        encoded: n texts.

    Returns:
        float32 (n, columns); those of a group sum to 1.
    """
    groups = student.readout.groups
    parts = []
    for group, count in enumerate(groups):
        readout = Readout(groups=groups, group=group, class_of=tuple(range(count)))
        names = [str(column) for column in range(count)]
        parts.append(student.read_as(names, readout).score_encoded(encoded))
    return np.concatenate(parts, axis=1)
