"""Decisions against a teacher's: precision, recall, F1, and the threshold of a scene."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replacement.definition import GateSection, Scene

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
        return self.shortfall(gate) == (0.0, 0.0)


def measure(gold: Classes, decided: Classes, classes: int) -> Measure:
    """Compare decisions (n,) with the reference (n,), both class numbers below ``classes``.

    A ratio without a denominator is 0: a student that never says yes has no precision to show.
    """
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (gold, decided), 1)
    hits = np.diag(confusion).astype(np.float64)
    precisions = hits / np.maximum(confusion.sum(axis=0), 1)
    recalls = hits / np.maximum(confusion.sum(axis=1), 1)
    f1s = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
    # A class that the reference never names cannot be recalled; it is left out of the means.
    counted = np.array([1]) if classes == 2 else np.flatnonzero(confusion.sum(axis=1))
    return Measure(
        precision=_mean(precisions[counted]),
        recall=_mean(recalls[counted]),
        f1=_mean(f1s[counted]),
        accuracy=float(hits.sum() / max(1, len(gold))),
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

    @property
    def f1s(self) -> NDArray[np.float64]:
        return 2 * self.precisions * self.recalls / np.maximum(self.precisions + self.recalls, 1e-12)


def curve(positive: NDArray[np.bool_], scores: Scores) -> Curve:
    """Precision-recall curve of scores (n,) for the reference ``positive`` (n,).

    A threshold lies half-way between two neighbouring scores, so that rounding cannot move a row across
    it; where the scores' type has no number between the two, at the upper. The lowest lies at the lowest
    score.
    """
    values, index = np.unique(scores.astype(np.float64), return_inverse=True)
    if len(values) == 0:
        return Curve(thresholds=np.array([0.5]), precisions=np.zeros(1), recalls=np.zeros(1))
    # A comparison is made in the scores' type, and confident students score 1 and the next number below.
    between = ((values[:-1] + values[1:]) / 2).astype(scores.dtype).astype(np.float64)
    between = np.where(between > values[:-1], between, values[1:])
    hits = np.bincount(index, weights=positive, minlength=len(values))[::-1].cumsum()[::-1]
    called = np.bincount(index, minlength=len(values))[::-1].cumsum()[::-1]
    return Curve(
        thresholds=np.concatenate([values[:1], between]),
        precisions=hits / called,
        recalls=hits / max(1, int(positive.sum())),
    )


def choose(points: Curve, scene: Scene) -> tuple[float | None, str]:
    """The scene's threshold, or None, and a sentence that says what it reaches or how near it gets."""
    if scene.precision is not None:
        return _best(points, points.precisions, points.recalls, scene.precision, "precision", "recall")
    if scene.recall is not None:
        return _best(points, points.recalls, points.precisions, scene.recall, "recall", "precision")
    if points.recalls[0] == 0.0:
        return 0.5, "0.500, for want of a positive row to choose by"
    best = int(points.f1s.argmax())
    return float(points.thresholds[best]), f"best F1 {points.f1s[best]:.3f}"


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What a scene became for a student."""

    threshold: float | None
    """None: the likeliest class is taken, or the scene cannot be had."""
    says: str
    """What it reaches on the calibration rows, or how near it gets."""
    holdout: Measure | None
    """None where the scene cannot be had."""

    @property
    def usable(self) -> bool:
        return self.holdout is not None


def operating_points(
    scenes: Mapping[str, Scene], calibration: tuple[Classes, Scores], holdout: tuple[Classes, Scores]
) -> dict[str, OperatingPoint]:
    """Each scene's threshold, chosen on the calibration rows and measured on the holdout.

    ``calibration`` and ``holdout`` are the reference's classes (n,) and the student's scores (n, classes).
    """
    classes = holdout[1].shape[1]
    points = curve(calibration[0] > 0, calibration[1][:, 1]) if classes == 2 else None
    found = {}
    for name, scene in scenes.items():
        threshold, says = choose(points, scene) if points else (None, "the likeliest class")
        held = None
        if threshold is not None or points is None:
            held = measure(holdout[0], decide(holdout[1], threshold), classes)
        found[name] = OperatingPoint(threshold=threshold, says=says, holdout=held)
    return found


def _best(
    points: Curve, fixed: Scores, free: Scores, least: float, name: str, other: str
) -> tuple[float | None, str]:
    enough = fixed >= least
    if not enough.any():
        nearest = int(fixed.argmax())
        return None, f"no threshold reaches {name} {least:.3f}; the nearest is {fixed[nearest]:.3f}"
    best = int(np.where(enough, free, -1.0).argmax())
    return float(points.thresholds[best]), f"{other} {free[best]:.3f} at {name} {fixed[best]:.3f}"


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else 0.0
