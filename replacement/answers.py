"""The teacher's answers for some texts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The teacher's answers for n texts."""

    probabilities: NDArray[np.float32]
    """(n, classes) in the order of the task's classes."""
    labels: NDArray[np.float32]
    """(n, labels) in the order of the teacher's labels, of which one or more stand for a class."""
    vectors: NDArray[np.float32]
    """(n, hidden): [CLS] vectors, or those of a sentence model; of width 0 where there are none."""

    @property
    def answered(self) -> NDArray[np.bool_]:
        """(n,): False where the teacher gave no answer; such a row is NaN, and is used for nothing."""
        return np.asarray(np.isfinite(self.probabilities).all(axis=1), np.bool_)

    def take(self, rows: NDArray[np.bool_]) -> "Answers":
        """Some of the answers.

        Args:
            rows: bool (n,), which ones.
        """
        return Answers(
            probabilities=self.probabilities[rows], labels=self.labels[rows], vectors=self.vectors[rows]
        )

    def vectors_or(self, features: Callable[[], NDArray[np.float32]]) -> NDArray[np.float32]:
        """What tells which rows are near each other.

        Args:
            features: gives something else, float32 (n, k), where there are no vectors.
        """
        return self.vectors if self.vectors.shape[1] else features()

    @property
    def decided(self) -> NDArray[np.int64]:
        """(n,): the class number that the teacher decides on."""
        decided: NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return decided

    @property
    def margin(self) -> NDArray[np.float32]:
        """(n,): how far the likeliest class leads the next, in probability."""
        return margin(self.probabilities)


def margin(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the likeliest class leads the next, in probability.

    Args:
        probabilities: float32 (n, classes).

    Returns:
        float32 (n,).
    """
    ordered = np.sort(probabilities, axis=1)
    margins: NDArray[np.float32] = ordered[:, -1] - ordered[:, -2]
    return margins


def join(parts: list[Answers]) -> Answers:
    """Put answers one behind the other.

    Args:
        parts: answers of one teacher and one task.

    Returns:
        All of them in that order; without any part, none of two classes.
    """
    if not parts:
        nothing = np.zeros((0, 2), np.float32)
        return Answers(probabilities=nothing, labels=nothing, vectors=nothing)
    parts = [part for part in parts if len(part.probabilities)] or parts[:1]
    return Answers(
        probabilities=np.concatenate([part.probabilities for part in parts]),
        labels=np.concatenate([part.labels for part in parts]),
        vectors=np.concatenate([part.vectors for part in parts]),
    )
