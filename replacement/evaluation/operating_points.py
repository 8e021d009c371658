"""From scores to operating points: which threshold, what it reaches, how sure that is, and on which days.

Read from above: the curve of all thresholds, the choice of one, and what a student's operating points are.

A threshold is chosen on the validation rows of all days together: a day alone has too few positive rows, and
a threshold of its own would follow its noise. What it reaches is then told stretch by stretch of days, beside
the threshold that the stretch alone would have chosen. For intervals the validation rows are drawn again with
replacement, and the threshold is chosen anew on each draw (``bootstrap``).

What an owner asks of an operating point, ``[scenes.NAME]`` in a definition, is called its demand here.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.corpus.values import iso_date
from pingti.workspace.definition import GateSection, OperatingPointSection
from pingti.workspace.report_parts import Interval
from replacement.evaluation import bootstrap
from replacement.evaluation.metrics import Classes, Measure, Scores, decide, measure, ratio

_STEPS = 50  # of Newton's method
_PRIOR = 1e-3  # rows
_SAMPLES = 400
_STRETCHES = 10  # of days, at most
_LEAST_POSITIVES = 8  # of a stretch, on average: fewer make its figures noise


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Precision and recall at every threshold that tells two scores apart: k thresholds, ascending."""

    thresholds: NDArray[np.float64]
    """(k,), as all others."""
    precisions: NDArray[np.float64]
    recalls: NDArray[np.float64]
    expected: NDArray[np.float64]
    """F1 at every threshold where rows are positive as often as a logistic model of the scores says."""
    positives: int
    """Rows of the reference's second class, however they are weighted."""

    @property
    def f1s(self) -> NDArray[np.float64]:
        """(k,)."""
        return 2 * self.precisions * self.recalls / np.maximum(self.precisions + self.recalls, 1e-12)


def curve(positive: NDArray[np.bool_], scores: Scores, weights: Scores | None = None) -> Curve:
    """Compute the precision-recall curve of scores.

    A threshold lies half-way between two neighbouring scores, so that rounding cannot move a row across
    it; where the scores' type has no number between the two, at the upper. The lowest lies at the lowest
    score.

    Args:
        positive: (n,), whether the reference puts a row into the second class.
        scores: (n,), probabilities of the second class.
        weights: (n,), those of ``measure``.

    Returns:
        The curve; without rows, of a threshold of 0.5 at which everything is 0.
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

    def from_above(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of (n,) numbers over the rows at or above each threshold, (k,)."""
        return np.bincount(index, weights=numbers, minlength=len(values))[::-1].cumsum()[::-1]

    called, hits = from_above(counted), from_above(positive * counted)
    likely = from_above(_likelihoods(positive, _log_odds(scores), counted) * counted)
    return Curve(
        thresholds=np.concatenate([values[:1], between]),
        precisions=hits / called,
        recalls=ratio(hits, hits[:1]),
        expected=2 * likely / (called + likely[0]),
        positives=int(positive.sum()),
    )


def _likelihoods(
    positive: NDArray[np.bool_], log_odds: NDArray[np.float64], weights: Scores
) -> NDArray[np.float64]:
    """How likely rows (n,) are positive by a logistic model of their scores' log-odds."""
    slope, intercept = _fit(positive, log_odds, weights)
    return _logistic(slope * log_odds + intercept)


def logistic_model(positive: NDArray[np.bool_], scores: Scores, weights: Scores) -> tuple[float, float]:
    """A logistic model of how likely rows are positive, by the log-odds of their scores (Platt 1999).

    Args:
        positive: (n,), whether the reference puts a row into the second class.
        scores: (n,), probabilities of the second class.
        weights: (n,), those of ``measure``.

    Returns:
        Its slope and its intercept.
    """
    return _fit(positive, _log_odds(scores), weights)


def _fit(positive: NDArray[np.bool_], log_odds: NDArray[np.float64], weights: Scores) -> tuple[float, float]:
    """Newton's method, drawn a little to the scores as they are, for rows that it could part."""
    features = np.stack([log_odds, np.ones(len(log_odds))], axis=1)
    model = start = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        likely = _logistic(features @ model)
        gradient = features.T @ (weights * (likely - positive)) + _PRIOR * (model - start)
        hessian = (features.T * (weights * likely * (1 - likely))) @ features + _PRIOR * np.eye(2)
        step = np.clip(np.linalg.solve(hessian, gradient), -1.0, 1.0)
        model = model - step
        if np.abs(step).max() < 1e-6:
            break
    return float(model[0]), float(model[1])


def _log_odds(scores: Scores) -> NDArray[np.float64]:
    """Scores that round to 0 or 1 lie at the ends."""
    bounded = np.clip(scores.astype(np.float64), 1e-7, 1.0 - 1e-7)
    log_odds: NDArray[np.float64] = np.log(bounded / (1.0 - bounded))
    return log_odds


def _logistic(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = 0.5 + 0.5 * np.tanh(0.5 * log_odds)
    return scores


def choose(
    points: Curve, demand: OperatingPointSection, gate: GateSection | None = None
) -> tuple[float | None, str]:
    """Choose the threshold of an operating point.

    Args:
        points: the curve on the validation rows.
        demand: what is asked of it: a precision, a recall, or the best F1.
        gate: where the best F1 is asked for and falls short of it, a threshold that reaches it is preferred.

    Returns:
        The threshold, or None where none does what is asked; and a sentence that says what it reaches, or
        how near one gets.
    """
    if demand.precision is not None:
        return _best(points, points.precisions, points.recalls, demand.precision, "precision", "recall")
    if demand.recall is not None:
        return _best(points, points.recalls, points.precisions, demand.recall, "recall", "precision")
    if points.recalls[0] == 0.0:
        return 0.5, "0.500, for want of a positive row to choose by"
    # Where few rows choose, the very best is often a lucky one. Half-way, in log-odds, between the middle of
    # those within a standard error of it and what the model of the scores expects most of, lost .021 F1 to
    # the best threshold of other rows, the very best .026: six categories of weibo, 1,500 rows to choose by.
    highest = float(points.f1s.max())
    drawn = (highest * points.positives + 1) / (points.positives + 2)  # all of few right is luck, too
    near = np.flatnonzero(points.f1s >= highest - np.sqrt(drawn * (1 - drawn) / points.positives))
    log_odds = _log_odds(points.thresholds)
    wanted = (log_odds[near[0]] + log_odds[near[-1]]) / 4 + log_odds[points.expected.argmax()] / 2
    best = int(near[np.abs(log_odds[near] - wanted).argmin()])
    says = f"F1 {points.f1s[best]:.3f}, the best being {highest:.3f}"
    if gate is not None:
        # What both figures have above the gate, or, below 0, what the worse one lacks.
        above = np.minimum(points.precisions - gate.precision, points.recalls - gate.recall)
        if above[best] < 0.0 <= above.max():
            best = int(above.argmax())
            says = f"F1 {points.f1s[best]:.3f} within the gate, the best of all being {highest:.3f}"
    return float(points.thresholds[best]), says


def _best(
    points: Curve, fixed: Scores, free: Scores, least: float, name: str, other: str
) -> tuple[float | None, str]:
    """The threshold at which ``fixed``, called ``name``, reaches ``least`` and ``free`` is highest."""
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

    reference: Classes
    """(n,): the classes that count as right."""
    scores: Scores
    """(n, classes): the student's probabilities."""
    weights: Scores | None = None
    """(n,): how many rows each stands for; 1 where absent. See ``replacement.training.validation_set``."""
    days: NDArray[np.int64] | None = None
    """(n,): days since 1970 (UTC), where the corpus has times."""

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.scores.shape[1])

    def threshold(
        self, demand: OperatingPointSection, gate: GateSection | None = None
    ) -> tuple[float | None, str]:
        """As ``choose``; for more than two classes None, the likeliest is taken."""
        if self.classes != 2:
            return None, "the likeliest class"
        return choose(self.curve, demand, gate)

    @functools.cached_property
    def curve(self) -> Curve:
        """Precision and recall of the second of two classes."""
        return curve(self.reference > 0, self.scores[:, 1], self.weights)

    def part(self, rows: NDArray[np.int64]) -> "Scored":
        """Some of the rows, in that order."""
        return Scored(
            reference=self.reference[rows],
            scores=self.scores[rows],
            weights=None if self.weights is None else self.weights[rows],
            days=None if self.days is None else self.days[rows],
        )

    def measure(self, threshold: float | None) -> Measure:
        """The decisions at a threshold against the reference."""
        return measure(self.reference, decide(self.scores, threshold), self.classes, self.weights)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a threshold reaches on the validation rows of some days."""

    first: str
    """ISO 8601."""
    last: str
    measure: Measure
    """Of the operating point's threshold."""
    threshold: float | None
    """The one that these rows alone would choose; None where too few are positive, or none can be had."""


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A named threshold of a student, and what it reaches."""

    threshold: float | None
    """None: the likeliest class is taken, or the operating point cannot be had."""
    says: str
    """What it reaches on the validation rows, or how near it gets."""
    validation: Measure | None
    """On the rows that chose it, all days together; None where the operating point cannot be had."""
    holdout: Measure | None
    """None where the operating point cannot be had."""
    intervals: dict[str, Interval]
    """95 % intervals of the threshold of two classes, and of precision, recall and F1 on the validation rows
    (for more than two classes of their means)."""
    days: tuple[Stretch, ...]
    """On the validation rows of stretches of days, in order of time; none where the corpus has no times."""
    worst: Stretch | None
    """The stretch that is worst in what is asked, of those that can tell: one without a positive row has no
    recall, one in which nothing is called positive no precision."""

    @property
    def usable(self) -> bool:
        """Whether it can be had."""
        return self.holdout is not None


def operating_points(
    demands: Mapping[str, OperatingPointSection],
    validation: Scored,
    holdout: Scored,
    rng: np.random.Generator,
    *,
    gate: GateSection | None = None,
) -> dict[str, OperatingPoint]:
    """Choose the threshold of each operating point on the validation rows, and measure it on the holdout.

    Args:
        demands: what is asked of each, by name.
        validation: the rows that choose.
        holdout: the rows that measure.
        rng: draws the rows of the bootstrap.
        gate: what the operating point "default" has to reach.

    Returns:
        The operating points, by name.
    """
    stretches = _stretches(validation)
    redrawn = _redraw(validation, rng) if len(validation.reference) else None
    points = {}
    for name, demand in demands.items():
        own_gate = gate if name == "default" else None
        threshold, says = validation.threshold(demand, own_gate)
        if validation.classes == 2 and threshold is None:
            points[name] = OperatingPoint(
                threshold=None, says=says, validation=None, holdout=None, intervals={}, days=(), worst=None
            )
            continue
        days = tuple(_stretch(*stretch, demand, threshold) for stretch in stretches)
        points[name] = OperatingPoint(
            threshold=threshold,
            says=says,
            validation=validation.measure(threshold),
            holdout=holdout.measure(threshold),
            intervals=redrawn.intervals(demand, own_gate, threshold) if redrawn else {},
            days=days,
            worst=_worst(demand, threshold, days, [rows for _, _, rows in stretches]),
        )
    return points


@dataclass(frozen=True, kw_only=True, eq=False)
class _Redrawn:
    """n validation rows, drawn again with replacement."""

    rows: Scored
    counts: NDArray[np.int64]
    """(samples, n): how often each row came up."""

    @functools.cached_property
    def _curves(self) -> list[Curve]:
        """Of every draw that has a positive row."""
        numbers = np.arange(len(self.rows.reference))
        draws = (np.repeat(numbers, counts) for counts in self.counts)
        return [self.rows.part(drawn).curve for drawn in draws if (self.rows.reference[drawn] > 0).any()]

    def intervals(
        self, demand: OperatingPointSection, gate: GateSection | None, threshold: float | None
    ) -> dict[str, Interval]:
        """Of the threshold, chosen in every draw, and of the figures at the one that all rows chose."""
        rows, spans = self.rows, {}
        if threshold is not None:
            # A draw in which nothing does what is asked has no threshold to tell of.
            thresholds = [choose(points, demand, gate)[0] for points in self._curves]
            chosen = [own for own in thresholds if own is not None]
            if chosen:
                spans["threshold"] = bootstrap.interval(np.array(chosen))
        decided = decide(rows.scores, threshold)
        weights = np.ones(len(decided)) if rows.weights is None else rows.weights
        drawn_weights = (counts * weights for counts in self.counts)
        measures = (measure(rows.reference, decided, rows.classes, drawn) for drawn in drawn_weights)
        figures = [[getattr(measured, name) for name in bootstrap.FIGURES] for measured in measures]
        return spans | bootstrap.figure_intervals(np.array(figures))


def _redraw(rows: Scored, rng: np.random.Generator) -> _Redrawn:
    every = np.ones(len(rows.reference), np.int64)
    return _Redrawn(rows=rows, counts=bootstrap.draw(every, _SAMPLES, rng))


def _stretches(rows: Scored) -> list[tuple[int, int, Scored]]:
    """First day, last day and rows of stretches of days with about equally many rows, in order of time."""
    if rows.days is None or len(rows.days) == 0:
        return []
    positives = int((rows.reference > 0).sum()) if rows.classes == 2 else len(rows.reference)
    days, counts = np.unique(rows.days, return_counts=True)
    most = max(1, min(_STRETCHES, len(days), positives // _LEAST_POSITIVES))
    # A day goes where the middle of its rows lies.
    middles = counts.cumsum() - counts / 2
    stretch_of = np.minimum((middles * most / counts.sum()).astype(np.int64), most - 1)
    own_days = [days[stretch_of == number] for number in np.unique(stretch_of)]
    return [
        (first, last, rows.part(np.flatnonzero((rows.days >= first) & (rows.days <= last))))
        for first, last in ((int(own[0]), int(own[-1])) for own in own_days)
    ]


def _stretch(
    first: int, last: int, rows: Scored, demand: OperatingPointSection, threshold: float | None
) -> Stretch:
    """What a threshold reaches on the rows of the days from ``first`` to ``last``."""
    return Stretch(
        first=iso_date(first),
        last=iso_date(last),
        measure=rows.measure(threshold),
        threshold=rows.threshold(demand)[0] if (rows.reference > 0).sum() >= _LEAST_POSITIVES else None,
    )


def _worst(
    demand: OperatingPointSection, threshold: float | None, days: tuple[Stretch, ...], parts: list[Scored]
) -> Stretch | None:
    """The stretch that is worst in what is asked, of those that can tell."""
    asked = "recall" if demand.recall is not None else "precision" if demand.precision is not None else "f1"

    def tells(rows: Scored) -> bool:
        if rows.classes > 2:
            return True
        named = decide(rows.scores, threshold) if asked == "precision" else rows.reference
        return bool((named > 0).any())

    telling = [day for day, rows in zip(days, parts, strict=True) if tells(rows)]
    return min(telling, key=lambda day: float(getattr(day.measure, asked)), default=None)
