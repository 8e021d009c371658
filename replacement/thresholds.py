"""Decisions against a teacher's: precision, recall, F1, and the threshold of a scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replacement.definition import GateSection, Scene

Classes = NDArray[np.integer]
Scores = NDArray[np.floating]
_STEPS = 50
_PRIOR = 1e-3  # rows


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
        return self.shortfall(gate) == (0.0, 0.0)


def measure(gold: Classes, decided: Classes, classes: int, weights: Scores | None = None) -> Measure:
    """Compare decisions (n,) with the reference (n,), both class numbers below ``classes``.

    A ratio without a denominator is 0: a student that never says yes has no precision to show. ``weights``
    (n,) are how many rows a row stands for, where rows were drawn with unequal chances: the ratios are then
    estimates for all rows (Horvitz and Thompson 1952); ``rows`` and ``positives`` count what was drawn.
    """
    confusion = np.zeros((classes, classes))
    np.add.at(confusion, (gold, decided), 1.0 if weights is None else weights)
    hits = np.diag(confusion)
    precisions = _ratio(hits, confusion.sum(axis=0))
    recalls = _ratio(hits, confusion.sum(axis=1))
    f1s = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
    # A class that the reference never names cannot be recalled; it is left out of the means.
    counted = np.array([1]) if classes == 2 else np.flatnonzero(confusion.sum(axis=1))
    return Measure(
        precision=_mean(precisions[counted]),
        recall=_mean(recalls[counted]),
        f1=_mean(f1s[counted]),
        accuracy=float(hits.sum() / max(confusion.sum(), 1e-12)),
        rows=len(gold),
        positives=int((gold > 0).sum()),
    )


def decide(scores: Scores, threshold: float | None) -> NDArray[np.int64]:
    """Class numbers (n,) for scores (n, classes): by the threshold of the second class, or the likeliest."""
    if threshold is None:
        likeliest: NDArray[np.int64] = scores.argmax(axis=1)
        return likeliest
    return (scores[:, 1] >= threshold).astype(np.int64)


def lead(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the likeliest class is ahead of the next, (n,), for probabilities (n, classes)."""
    ordered = np.sort(probabilities, axis=1)
    ahead: NDArray[np.float32] = ordered[:, -1] - ordered[:, -2]
    return ahead


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Precision and recall at every threshold that tells two scores apart, thresholds ascending."""

    thresholds: NDArray[np.float64]
    precisions: NDArray[np.float64]
    recalls: NDArray[np.float64]
    expected: NDArray[np.float64]
    """F1 at every threshold where rows are positive as often as a logistic model of the scores says."""
    positives: int
    """Rows of the reference's second class, however they are weighted."""

    @property
    def f1s(self) -> NDArray[np.float64]:
        return 2 * self.precisions * self.recalls / np.maximum(self.precisions + self.recalls, 1e-12)


def curve(positive: NDArray[np.bool_], scores: Scores, weights: Scores | None = None) -> Curve:
    """Precision-recall curve of scores (n,) for the reference ``positive`` (n,).

    ``weights`` (n,) are those of ``measure``.

    A threshold lies half-way between two neighbouring scores, so that rounding cannot move a row across
    it; where the scores' type has no number between the two, at the upper. The lowest lies at the lowest
    score.
    """
    values, index = np.unique(scores.astype(np.float64), return_inverse=True)
    if len(values) == 0:
        nothing = np.zeros(1)
        return Curve(
            thresholds=np.array([0.5]), precisions=nothing, recalls=nothing, expected=nothing, positives=0
        )
    # A comparison is made in the scores' type, and confident students score 1 and the next number below.
    between = ((values[:-1] + values[1:]) / 2).astype(scores.dtype).astype(np.float64)
    between = np.where(between > values[:-1], between, values[1:])
    counted = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)

    def from_above(each: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(index, weights=each, minlength=len(values))[::-1].cumsum()[::-1]

    called, hits = from_above(counted), from_above(positive * counted)
    likely = from_above(_likelihoods(positive, _odds(scores), counted) * counted)
    return Curve(
        thresholds=np.concatenate([values[:1], between]),
        precisions=hits / called,
        recalls=_ratio(hits, hits[:1]),
        expected=2 * likely / (called + likely[0]),
        positives=int(positive.sum()),
    )


def choose(points: Curve, scene: Scene) -> tuple[float | None, str]:
    """The scene's threshold, or None, and a sentence that says what it reaches or how near it gets."""
    if scene.precision is not None:
        return _best(points, points.precisions, points.recalls, scene.precision, "precision", "recall")
    if scene.recall is not None:
        return _best(points, points.recalls, points.precisions, scene.recall, "recall", "precision")
    if points.recalls[0] == 0.0:
        return 0.5, "0.500, for want of a positive row to choose by"
    # Where few rows choose, the very best is often a lucky one. Half-way, in log-odds, between the middle of
    # those within a standard error of it and what the model of the scores expects most of, lost .021 F1 to
    # the best threshold of other rows, the very best .026: six categories of weibo, 1,500 rows to choose by.
    highest = float(points.f1s.max())
    drawn = (highest * points.positives + 1) / (points.positives + 2)  # all of few right is luck, too
    near = np.flatnonzero(points.f1s >= highest - np.sqrt(drawn * (1 - drawn) / points.positives))
    odds = _odds(points.thresholds)
    wanted = (odds[near[0]] + odds[near[-1]]) / 4 + odds[points.expected.argmax()] / 2
    best = int(near[np.abs(odds[near] - wanted).argmin()])
    return float(points.thresholds[best]), f"F1 {points.f1s[best]:.3f}, the best being {highest:.3f}"


def _likelihoods(
    positive: NDArray[np.bool_], odds: NDArray[np.float64], weights: Scores
) -> NDArray[np.float64]:
    """How likely rows (n,) are positive by a logistic model of their scores' log-odds (Platt 1999).

    Fitted by Newton's method, drawn a little to the scores as they are, for rows that it could part.
    """
    features = np.stack([odds, np.ones(len(odds))], axis=1)
    model = start = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        likely = _logistic(features @ model)
        slope = features.T @ (weights * (likely - positive)) + _PRIOR * (model - start)
        bend = (features.T * (weights * likely * (1 - likely))) @ features + _PRIOR * np.eye(2)
        step = np.clip(np.linalg.solve(bend, slope), -1.0, 1.0)
        model = model - step
        if np.abs(step).max() < 1e-6:
            break
    return _logistic(features @ model)


def _odds(scores: Scores) -> NDArray[np.float64]:
    bounded = np.clip(scores.astype(np.float64), 1e-7, 1.0 - 1e-7)
    found: NDArray[np.float64] = np.log(bounded / (1.0 - bounded))
    return found


def _logistic(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.5 + 0.5 * np.tanh(0.5 * odds)
    return found


def _best(
    points: Curve, fixed: Scores, free: Scores, least: float, name: str, other: str
) -> tuple[float | None, str]:
    enough = fixed >= least
    if not enough.any():
        nearest = int(np.lexsort((free, fixed))[-1])
        return None, (
            f"no threshold reaches {name} {least:.3f}; the nearest is {fixed[nearest]:.3f}, "
            f"with {other} {free[nearest]:.3f} at {points.thresholds[nearest]:.4f}"
        )
    best = int(np.where(enough, free, -1.0).argmax())
    return float(points.thresholds[best]), f"{other} {free[best]:.3f} at {name} {fixed[best]:.3f}"


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else 0.0


def _ratio(part: Scores, whole: Scores) -> NDArray[np.float64]:
    found: NDArray[np.float64] = part / np.where(whole > 0, whole, 1)
    return found
