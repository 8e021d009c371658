"""What a scene becomes for a student: a threshold, what it reaches, how sure that is, and on which days.

A threshold is chosen on the calibration rows of all days together: a day alone has too few positive rows,
and a threshold of its own would follow its noise. What it reaches is then told stretch by stretch of days.
Intervals are bootstrap percentiles (Efron and Tibshirani 1993, section 13.3): rows drawn with replacement,
the threshold chosen anew on each draw.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replacement.definition import Scene
from replacement.thresholds import Classes, Measure, Scores, choose, curve, decide, measure

_SAMPLES = 400
_LEVEL = 0.95
_STRETCHES = 10  # of days, at most
_LEAST_POSITIVES = 8  # of a stretch, on average: fewer make its figures noise
_EPOCH = datetime.date(1970, 1, 1)

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """n rows that the teacher decided and the student scored."""

    gold: Classes
    """(n,): the reference's classes."""
    scores: Scores
    """(n, classes): the student's probabilities."""
    weights: Scores | None = None
    """(n,): how many rows each stands for; 1 where absent. See ``replacement.calibration``."""
    days: NDArray[np.int64] | None = None
    """(n,): days since 1970 (UTC), where the corpus has times."""

    def threshold(self, scene: Scene) -> tuple[float | None, str]:
        """As ``thresholds.choose``; for more than two classes None, the likeliest is taken."""
        if self.scores.shape[1] != 2:
            return None, "the likeliest class"
        return choose(curve(self.gold > 0, self.scores[:, 1], self.weights), scene)

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
    """95 % intervals of the threshold, and of precision, recall and F1 on the calibration rows."""
    days: tuple[Stretch, ...]
    """On the calibration rows of stretches of days, in order of time; none where the corpus has no times."""
    worst: Stretch | None
    """The stretch that is worst in what the scene asks for."""

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
    draws = _Draws(calibration, rng) if classes == 2 and len(calibration.gold) else None
    found = {}
    for name, scene in scenes.items():
        threshold, says = calibration.threshold(scene)
        if classes == 2 and threshold is None:
            found[name] = OperatingPoint(
                threshold=None, says=says, calibration=None, holdout=None, intervals={}, days=(), worst=None
            )
            continue
        decided = decide(calibration.scores, threshold)
        days = tuple(
            Stretch(first=_date(first), last=_date(last), measure=_part(calibration, decided, rows, classes))
            for first, last, rows in stretches
        )
        asked = "recall" if scene.recall is not None else "precision" if scene.precision is not None else "f1"
        found[name] = OperatingPoint(
            threshold=threshold,
            says=says,
            calibration=calibration.measure(threshold),
            holdout=holdout.measure(threshold),
            intervals=draws.intervals(scene, threshold) if draws and threshold is not None else {},
            days=days,
            worst=min(days, key=lambda each: float(getattr(each.measure, asked)), default=None),
        )
    return found


class _Draws:
    """Calibration rows of two classes, drawn again with replacement."""

    def __init__(self, calibration: Scored, rng: np.random.Generator) -> None:
        values, index = np.unique(calibration.scores[:, 1], return_inverse=True)
        n = len(index)
        weights = np.ones(n) if calibration.weights is None else calibration.weights.astype(np.float64)
        drawn: NDArray[np.float64] = rng.multinomial(n, np.full(n, 1 / n), size=_SAMPLES) * weights
        order = np.argsort(index, kind="stable")
        starts = np.searchsorted(index[order], np.arange(len(values)))
        self._values = values.astype(np.float64)

        def from_above(counts: NDArray[np.float64]) -> NDArray[np.float64]:
            """Sums (samples, values) over the rows at or above each value."""
            summed: NDArray[np.float64] = np.add.reduceat(counts[:, order], starts, axis=1)
            return summed[:, ::-1].cumsum(axis=1)[:, ::-1]

        hits = from_above(drawn * (calibration.gold > 0))
        called = from_above(drawn)
        self._precisions = hits / np.maximum(called, 1e-12)
        self._recalls = hits / np.maximum(hits[:, :1], 1e-12)
        self._f1s = 2 * hits / np.maximum(called + hits[:, :1], 1e-12)

    def intervals(self, scene: Scene, threshold: float) -> dict[str, Interval]:
        """Of the threshold, chosen in every draw, and of the figures at the one that all rows chose."""
        if scene.precision is not None:
            aim = np.where(self._precisions >= scene.precision, self._recalls, -1.0)
        elif scene.recall is not None:
            aim = np.where(self._recalls >= scene.recall, self._precisions, -1.0)
        else:
            aim = self._f1s
        # A draw in which nothing satisfies the scene has no threshold to tell of.
        had = aim.max(axis=1) >= 0.0
        chosen = self._values[aim.argmax(axis=1)][had]
        place = min(int(np.searchsorted(self._values, threshold)), len(self._values) - 1)
        figures = {"precision": self._precisions, "recall": self._recalls, "f1": self._f1s}
        return {
            **({"threshold": _interval(chosen)} if len(chosen) else {}),
            **{name: _interval(values[:, place]) for name, values in figures.items()},
        }


def _stretches(found: Scored, classes: int) -> list[tuple[int, int, NDArray[np.int64]]]:
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
        (int(part[0]), int(part[-1]), np.flatnonzero((found.days >= part[0]) & (found.days <= part[-1])))
        for part in parts
    ]


def _part(found: Scored, decided: Classes, rows: NDArray[np.int64], classes: int) -> Measure:
    weights = None if found.weights is None else found.weights[rows]
    return measure(found.gold[rows], decided[rows], classes, weights)


def _date(day: int) -> str:
    return (_EPOCH + datetime.timedelta(days=day)).isoformat()


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
