"""Decisions against a reference, a teacher's or people's labels: precision, recall and F1."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import GateSection

Classes = NDArray[np.integer]
Scores = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True)
class Measure:
    """How far decisions agree with the reference. For more than two classes: means over the classes."""

    precision: float
    recall: float
    f1: float
    """For two classes the harmonic mean of the two; else the mean of the classes' F1 (macro F1)."""
    accuracy: float
    """Share of the rows decided as the reference decides."""
    rows: int
    positives: int
    """Rows that the reference puts into the second class; for more classes: not into the first."""

    def shortfall(self, gate: GateSection) -> tuple[float, float]:
        """How much precision and recall lack to the gate; 0 where it is reached."""
        return max(0.0, gate.precision - self.precision), max(0.0, gate.recall - self.recall)

    def passes(self, gate: GateSection) -> bool:
        """Whether precision and recall reach the gate."""
        return self.shortfall(gate) == (0.0, 0.0)


def measure(reference: Classes, decided: Classes, classes: int, weights: Scores | None = None) -> Measure:
    """Compare decisions with a reference.

    A ratio without a denominator is 0: a student that never says yes has no precision to show.

    Args:
        reference: (n,), class numbers below ``classes``.
        decided: (n,), class numbers below ``classes``.
        classes: how many classes there are.
        weights: (n,), how many rows a row stands for, where rows were drawn with unequal chances: the ratios
            are then estimates for all rows (Horvitz and Thompson 1952); ``rows`` and ``positives`` count
            what was drawn.

    Returns:
        The figures.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (reference, decided), 1.0 if weights is None else weights)
    hits = np.diag(confusion)
    precisions = ratio(hits, confusion.sum(axis=0))
    recalls = ratio(hits, confusion.sum(axis=1))
    f1s = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
    # A class that the reference never names cannot be recalled; it is left out of the means.
    counted = np.array([1]) if classes == 2 else np.flatnonzero(confusion.sum(axis=1))
    return Measure(
        precision=_mean(precisions[counted]),
        recall=_mean(recalls[counted]),
        f1=_mean(f1s[counted]),
        accuracy=float(hits.sum() / max(confusion.sum(), 1e-12)),
        rows=len(reference),
        positives=int((reference > 0).sum()),
    )


def decide(scores: Scores, threshold: float | None) -> NDArray[np.int64]:
    """Class numbers (n,) for scores (n, classes): by the threshold of the second class, or the likeliest."""
    if threshold is None:
        likeliest: NDArray[np.int64] = scores.argmax(axis=1)
        return likeliest
    return (scores[:, 1] >= threshold).astype(np.int64)


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else 0.0


def ratio(part: Scores, whole: Scores) -> NDArray[np.float64]:
    """``part`` by ``whole``, both (n,); 0 where the whole, and with it the part, is 0."""
    ratios: NDArray[np.float64] = part / np.where(whole > 0, whole, 1)
    return ratios
