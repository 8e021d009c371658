"""Newer validation rows count more: what chooses a threshold is what today looks like.

A row of an age of one half-life counts half as much as one of the newest day. What a class of few rows is
called by drifts; but every weight that is not alike costs rows, too: n rows of weights w tell as much as
(sum w)^2 / sum w^2 alike ones (Kish 1965, section 11.7). So the half-life is long, and the cost is told: on
six weibo tasks (2 to 8 % positives, three seeds, 1,500 rows of ten months, measured on the two months after)
half-lives from 180 days on cost nothing (+.0001 F1), 60 days .0006, 20 days .0044.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import GateSection, OperatingPointSection
from replacement.evaluation.metrics import Measure
from replacement.evaluation.operating_points import OperatingPoint, Scored


def time_weights(days: NDArray[np.int64], half_life: float) -> NDArray[np.float64]:
    """How much rows count by their age.

    Args:
        days: int64 (n,), days since 1970.
        half_life: in days.

    Returns:
        float64 (n,), of mean 1; those of the newest day are the largest.
    """
    weights: NDArray[np.float64] = 0.5 ** ((days.max(initial=0) - days) / half_life)
    return weights / weights.mean() if len(weights) else weights


def weighed_by_time(rows: Scored, gate: GateSection) -> Scored:
    """The validation rows, newer ones counting more.

    Args:
        rows: as they were drawn.
        gate: has the half-life; 0 weighs all days alike.
    """
    if rows.days is None or gate.half_life_days == 0.0:
        return rows
    weights = time_weights(rows.days, gate.half_life_days)
    if rows.weights is not None:
        weights = weights * rows.weights
        weights = weights / weights.mean()
    return dataclasses.replace(rows, weights=weights)


def effective_rows(weights: NDArray[np.floating]) -> int:
    """How many rows of equal weight tell as much as rows of these weights (n,)."""
    return round(float(weights.sum() ** 2 / (weights**2).sum())) if len(weights) else 0


def notes_of_recency(
    alike: Scored,
    holdout: Scored,
    points: Mapping[str, OperatingPoint],
    demands: Mapping[str, OperatingPointSection],
    gate: GateSection,
) -> tuple[str, ...]:
    """What weighing by time cost and brought, a sentence each operating point.

    Args:
        alike: the validation rows, all days counting alike.
        holdout: the rows that measure.
        points: the operating points, by name, that the weighed rows chose.
        demands: what is asked of each.
        gate: what the operating point "default" has to reach.

    Returns:
        The sentences, where it made a difference; none where the corpus has no times.
    """
    weighed = weighed_by_time(alike, gate)
    if weighed is alike or alike.classes != 2 or weighed.weights is None:
        return ()
    before = len(alike.reference) if alike.weights is None else effective_rows(alike.weights)
    notes = []
    for name, point in points.items():
        threshold, _ = alike.threshold(demands[name], gate if name == "default" else None)
        if point.threshold is None or threshold is None or point.holdout is None:
            continue
        if round(point.threshold, 3) == round(threshold, 3):
            continue
        other = holdout.measure(threshold)
        notes.append(
            f"operating point {name}: newer validation rows count more (gate.half_life_days = "
            f"{gate.half_life_days:g}), which makes {before:,} rows worth "
            f"{effective_rows(weighed.weights):,}: threshold {point.threshold:.3f}, "
            f"{_figures(point.holdout)} on the holdout; all days alike would have chosen {threshold:.3f}, "
            f"{_figures(other)}"
        )
    return tuple(notes)


def _figures(measured: Measure) -> str:
    return f"precision {measured.precision:.3f}, recall {measured.recall:.3f}, F1 {measured.f1:.3f}"
