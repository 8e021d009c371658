"""What a scene becomes for a student: a threshold, what it reaches, how sure that is, and on which days.

A threshold is chosen on the calibration rows of all days together: a day alone has too few positive rows,
and a threshold of its own would follow its noise. What it reaches is then told stretch by stretch of days,
beside the threshold that the stretch alone would have chosen.
Intervals are bootstrap percentiles (Efron and Tibshirani 1993, section 13.3): rows drawn with replacement,
the threshold chosen anew on each draw.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.corpus.values import iso_date
from pingti.workspace.definition import OperatingPointSection as Scene
from replacement.evaluation.metrics import Classes, Measure, Scores, decide, measure, ratio

_STEPS = 50
_PRIOR = 1e-3  # rows
_SAMPLES = 400
_LEVEL = 0.95
_STRETCHES = 10  # of days, at most
_LEAST_POSITIVES = 8  # of a stretch, on average: fewer make its figures noise

Interval = tuple[float, float]


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
        recalls=ratio(hits, hits[:1]),
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """n rows that the teacher decided and the student scored."""

    gold: Classes
    """(n,): the reference's classes."""
    scores: Scores
    """(n, classes): the student's probabilities."""
    weights: Scores | None = None
    """(n,): how many rows each stands for; 1 where absent. See ``replacement.training.validation_set``."""
    days: NDArray[np.int64] | None = None
    """(n,): days since 1970 (UTC), where the corpus has times."""

    def threshold(self, scene: Scene) -> tuple[float | None, str]:
        """As ``thresholds.choose``; for more than two classes None, the likeliest is taken."""
        if self.scores.shape[1] != 2:
            return None, "the likeliest class"
        return choose(self.curve, scene)

    @functools.cached_property
    def curve(self) -> Curve:
        """Precision and recall of the second of two classes."""
        return curve(self.gold > 0, self.scores[:, 1], self.weights)

    def part(self, rows: NDArray[np.int64]) -> "Scored":
        """Some of the rows, in that order."""
        return Scored(
            gold=self.gold[rows],
            scores=self.scores[rows],
            weights=None if self.weights is None else self.weights[rows],
            days=None if self.days is None else self.days[rows],
        )

    def measure(self, threshold: float | None) -> Measure:
        """The decisions at a threshold against the reference."""
        return measure(self.gold, decide(self.scores, threshold), self.scores.shape[1], self.weights)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a threshold reaches on the rows of some days."""

    first: str
    """ISO 8601."""
    last: str
    measure: Measure
    """Of the scene's threshold."""
    threshold: float | None
    """The one that these rows alone would choose; None where too few are positive, or none can be had."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """What a scene became for a student."""

    threshold: float | None
    """None: the likeliest class is taken, or the scene cannot be had."""
    says: str
    """What it reaches on the calibration rows, or how near it gets."""
    calibration: Measure | None
    """On the rows that chose it, all days together; None where the scene cannot be had."""
    holdout: Measure | None
    """None where the scene cannot be had."""
    intervals: dict[str, Interval]
    """95 % intervals of the threshold of two classes, and of precision, recall and F1 on the calibration rows
    (for more than two classes of their means)."""
    days: tuple[Stretch, ...]
    """On the calibration rows of stretches of days, in order of time; none where the corpus has no times."""
    worst: Stretch | None
    """The stretch that is worst in what the scene asks for, of those that can tell: one without a positive
    row has no recall, one in which nothing is called positive no precision."""

    @property
    def usable(self) -> bool:
        return self.holdout is not None


def operating_points(
    scenes: Mapping[str, Scene], calibration: Scored, holdout: Scored, rng: np.random.Generator
) -> dict[str, OperatingPoint]:
    """Each scene's threshold, chosen on the calibration rows and measured on the holdout.

    ``rng`` draws the rows of the bootstrap.
    """
    classes = holdout.scores.shape[1]
    stretches = _stretches(calibration, classes)
    draws = _Draws(calibration, rng) if len(calibration.gold) else None
    found = {}
    for name, scene in scenes.items():
        threshold, says = calibration.threshold(scene)
        if classes == 2 and threshold is None:
            found[name] = OperatingPoint(
                threshold=None, says=says, calibration=None, holdout=None, intervals={}, days=(), worst=None
            )
            continue
        days = tuple(
            Stretch(
                first=iso_date(first),
                last=iso_date(last),
                measure=part.measure(threshold),
                threshold=part.threshold(scene)[0] if (part.gold > 0).sum() >= _LEAST_POSITIVES else None,
            )
            for first, last, part in stretches
        )
        found[name] = OperatingPoint(
            threshold=threshold,
            says=says,
            calibration=calibration.measure(threshold),
            holdout=holdout.measure(threshold),
            intervals=draws.intervals(scene, threshold) if draws else {},
            days=days,
            worst=_worst(scene, threshold, days, [part for _, _, part in stretches]),
        )
    return found


def _worst(
    scene: Scene, threshold: float | None, days: tuple[Stretch, ...], parts: list[Scored]
) -> Stretch | None:
    asked = "recall" if scene.recall is not None else "precision" if scene.precision is not None else "f1"

    def tells(part: Scored) -> bool:
        if part.scores.shape[1] > 2:
            return True
        named = decide(part.scores, threshold) if asked == "precision" else part.gold
        return bool((named > 0).any())

    telling = [day for day, part in zip(days, parts, strict=True) if tells(part)]
    return min(telling, key=lambda each: float(getattr(each.measure, asked)), default=None)


class _Draws:
    """Calibration rows, drawn again with replacement."""

    def __init__(self, calibration: Scored, rng: np.random.Generator) -> None:
        n = len(calibration.gold)
        self._found = calibration
        self._counts: NDArray[np.int64] = rng.multinomial(n, np.full(n, 1 / n), size=_SAMPLES)

    @functools.cached_property
    def _drawn(self) -> list[Curve]:
        """Of every draw that has a positive row."""
        found, rows = self._found, np.arange(len(self._found.gold))
        draws = (np.repeat(rows, counts) for counts in self._counts)
        return [found.part(drawn).curve for drawn in draws if (found.gold[drawn] > 0).any()]

    def intervals(self, scene: Scene, threshold: float | None) -> dict[str, Interval]:
        """Of the threshold, chosen in every draw, and of the figures at the one that all rows chose."""
        found = self._found
        spans = {}
        if threshold is not None:
            # A draw in which nothing satisfies the scene has no threshold to tell of.
            chosen = [each for points in self._drawn if (each := choose(points, scene)[0]) is not None]
            if chosen:
                spans["threshold"] = _interval(np.array(chosen))
        decided, classes = decide(found.scores, threshold), found.scores.shape[1]
        weights = np.ones(len(decided)) if found.weights is None else found.weights
        measures = [measure(found.gold, decided, classes, counts * weights) for counts in self._counts]
        for name in ("precision", "recall", "f1"):
            spans[name] = _interval(np.array([getattr(each, name) for each in measures]))
        return spans


def _stretches(found: Scored, classes: int) -> list[tuple[int, int, Scored]]:
    """First day, last day and rows of stretches of days with about equally many rows."""
    if found.days is None or len(found.days) == 0:
        return []
    positives = int((found.gold > 0).sum()) if classes == 2 else len(found.gold)
    days, counts = np.unique(found.days, return_counts=True)
    most = max(1, min(_STRETCHES, len(days), positives // _LEAST_POSITIVES))
    # A day goes where the middle of its rows lies.
    middles = counts.cumsum() - counts / 2
    stretch_of = np.minimum((middles * most / counts.sum()).astype(np.int64), most - 1)
    parts = [days[stretch_of == number] for number in np.unique(stretch_of)]
    return [
        (first, last, found.part(np.flatnonzero((found.days >= first) & (found.days <= last))))
        for first, last in ((int(part[0]), int(part[-1])) for part in parts)
    ]


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
