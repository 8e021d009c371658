"""Newer validation rows count more, and what that costs is told."""

import dataclasses

import numpy as np
import pytest

from pingti.workspace.definition import GateSection, OperatingPointSection
from replacement.evaluation.operating_points import Scored, operating_points
from replacement.recency import effective_rows, notes_of_recency, time_weights, weighed_by_time

DEMANDS = {"default": OperatingPointSection()}


def drifting(n: int = 4000, *, days: int = 400, seed: int = 0) -> Scored:
    """Rows of ``days`` days on which the scores of positives fall from .7 to .3, those of others stay."""
    rng = np.random.default_rng(seed)
    day = np.sort(rng.integers(0, days, n))
    positive = rng.random(n) < 0.1
    centre = np.where(positive, 0.7 - 0.4 * day / days, 0.1)
    scores = np.clip(centre + rng.normal(0, 0.08, n), 0.001, 0.999).astype(np.float32)
    return Scored(
        reference=positive.astype(np.int64),
        scores=np.stack([1 - scores, scores], axis=1),
        days=day.astype(np.int64) + 20_000,
    )


def newest(rows: Scored, days: int) -> tuple[Scored, Scored]:
    """The older rows, and those of the newest days."""
    assert rows.days is not None
    held = rows.days > rows.days.max() - days
    return rows.part(np.flatnonzero(~held)), rows.part(np.flatnonzero(held))


def test_a_row_of_one_half_life_counts_half() -> None:
    weights = time_weights(np.array([100, 70, 40]), 30.0)
    assert weights / weights[0] == pytest.approx([1.0, 0.5, 0.25])
    assert weights.mean() == pytest.approx(1.0)
    assert time_weights(np.zeros(0, np.int64), 30.0).shape == (0,)


def test_where_scores_drift_the_threshold_follows() -> None:
    validation, holdout = newest(drifting(), 60)
    alike = GateSection(half_life_days=0.0)
    recent = GateSection(half_life_days=60.0)
    reached = {}
    for gate in (alike, recent):
        points = operating_points(
            DEMANDS, weighed_by_time(validation, gate), holdout, np.random.default_rng(0)
        )
        measured = points["default"].holdout
        assert measured is not None
        reached[gate.half_life_days] = measured.f1
    assert reached[60.0] > reached[0.0] + 0.02


def test_weights_of_the_draw_stay() -> None:
    rows = dataclasses.replace(drifting(100), weights=np.linspace(0.5, 1.5, 100))
    weighed = weighed_by_time(rows, GateSection(half_life_days=100.0))
    assert rows.days is not None
    assert weighed.weights is not None
    expected = np.linspace(0.5, 1.5, 100) * 0.5 ** ((rows.days.max() - rows.days) / 100.0)
    assert weighed.weights == pytest.approx(expected / expected.mean())


def test_without_times_or_half_life_nothing_is_weighed() -> None:
    rows = drifting(100)
    assert weighed_by_time(rows, GateSection(half_life_days=0.0)) is rows
    timeless = dataclasses.replace(rows, days=None)
    assert weighed_by_time(timeless, GateSection()) is timeless


def test_the_cost_in_rows_is_that_of_kish() -> None:
    assert effective_rows(np.ones(50)) == 50
    assert effective_rows(np.array([1.0, 0.0, 0.0])) == 1
    assert effective_rows(np.array([1.0, 0.5])) == 2  # 1.8
    assert effective_rows(np.zeros(0)) == 0


def test_what_it_cost_and_brought_is_told_where_the_threshold_differs() -> None:
    validation, holdout = newest(drifting(), 60)
    gate = GateSection(half_life_days=60.0)
    points = operating_points(DEMANDS, weighed_by_time(validation, gate), holdout, np.random.default_rng(0))
    (note,) = notes_of_recency(validation, holdout, points, DEMANDS, gate)
    assert note.startswith("operating point default: newer validation rows count more (gate.half_life_days")
    assert validation.days is not None
    worth = effective_rows(time_weights(validation.days, 60.0))
    assert f" = 60), which makes {len(validation.reference):,} rows worth {worth:,}: threshold" in note
    alike = validation.threshold(DEMANDS["default"], gate)[0]
    assert alike is not None
    assert f"all days alike would have chosen {alike:.3f}, precision" in note
    assert f"F1 {holdout.measure(alike).f1:.3f}" in note
    same = dataclasses.replace(points["default"], threshold=alike)
    assert notes_of_recency(validation, holdout, {"default": same}, DEMANDS, gate) == ()
    assert notes_of_recency(validation, holdout, points, DEMANDS, GateSection(half_life_days=0.0)) == ()
