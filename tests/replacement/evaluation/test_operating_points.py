import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from pingti.workspace.definition import GateSection
from pingti.workspace.definition import OperatingPointSection as Demand
from replacement.evaluation import operating_points as module
from replacement.evaluation.metrics import decide, measure
from replacement.evaluation.operating_points import Scored, operating_points

# Ten documents, the relevant ones at ranks 1, 3, 4, 7 and 10.
SCORES = np.array([0.95, 0.90, 0.80, 0.70, 0.60, 0.50, 0.40, 0.30, 0.20, 0.10], np.float32)
RELEVANT = np.array([1, 0, 1, 1, 0, 0, 1, 0, 0, 1])


def two(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([1 - scores, scores], axis=1)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def days(n: int = 3000, *, bad: int = 7) -> Scored:
    """Thirty days of rows; on the days of the ``bad`` stretch of three the student sees nothing."""
    random = np.random.default_rng(3)
    reference = (random.random(n) < 0.2).astype(np.int64)
    seen = 1 / (1 + np.exp(-(np.where(reference > 0, 2.0, -2.0) + random.normal(0, 1.0, n))))
    day = 19_000 + np.arange(n) * 30 // n
    blind = (day - 19_000) // 3 == bad
    return Scored(reference=reference, scores=two(np.where(blind, 0.3, seen).astype(np.float32)), days=day)


def test_a_threshold_is_chosen_on_the_validation_rows_and_measured_on_the_holdout() -> None:
    validation = Scored(reference=RELEVANT, scores=two(SCORES))
    held = np.array([0.99, 0.93, 0.91, 0.6], np.float32)
    holdout = Scored(reference=np.array([1, 0, 1, 1]), scores=two(held))
    demands = {"default": Demand(), "sure": Demand(precision=0.9)}
    sure = operating_points(demands, validation, holdout, rng())["sure"]
    assert sure.usable
    assert sure.threshold == pytest.approx(0.925, abs=0.01)
    assert sure.holdout == measure(holdout.reference, decide(holdout.scores, sure.threshold), 2)
    assert sure.holdout is not None
    assert (sure.holdout.precision, sure.holdout.rows) == (0.5, 4)
    assert sure.validation is not None
    assert (sure.validation.precision, sure.validation.recall) == (1.0, 0.2)
    assert (sure.days, sure.worst) == ((), None)


def test_a_threshold_within_the_gate_is_preferred_to_the_best_f1() -> None:
    # From above: precision 1 at recall .5, then .67 at 1.
    scores = np.repeat(np.array([0.9, 0.7, 0.5], np.float32), 50)
    rows = Scored(reference=np.repeat([1, 0, 1], 50), scores=two(scores))
    best = rows.threshold(Demand())[0]
    assert best is not None
    assert rows.measure(best).f1 == pytest.approx(0.8)
    gate = GateSection(precision=0.9, recall=0.5)
    chosen, says = rows.threshold(Demand(), gate)
    assert chosen is not None
    assert chosen > best
    assert rows.measure(chosen).passes(gate)
    assert says == "F1 0.667 within the gate, the best of all being 0.800"
    # Where the best F1 is within the gate, or nothing is, it stays.
    for other in (GateSection(precision=0.6, recall=0.6), GateSection(precision=0.99, recall=0.99)):
        assert rows.threshold(Demand(), other)[0] == best
    # What asks for a precision or a recall of its own heeds that alone, and so does each named point.
    assert rows.threshold(Demand(recall=0.9), gate) == rows.threshold(Demand(recall=0.9))
    points = operating_points({"default": Demand(), "free": Demand()}, rows, rows, rng(), gate=gate)
    assert (points["default"].threshold, points["free"].threshold) == (chosen, best)


def test_a_demand_that_no_threshold_satisfies_is_refused_with_the_nearest() -> None:
    turned = Scored(reference=1 - RELEVANT, scores=two(SCORES))
    (dream,) = operating_points({"dream": Demand(precision=0.9)}, turned, turned, rng()).values()
    assert (dream.usable, dream.threshold, dream.holdout) == (False, None, None)
    assert dream.says == (
        "no threshold reaches precision 0.900; the nearest is 0.556, with recall 1.000 at 0.1500"
    )


def test_a_threshold_follows_the_weights_of_the_rows() -> None:
    plain = Scored(reference=RELEVANT, scores=two(SCORES))
    # The row at rank 2 stands for no other: precision at the top is nearly 1 now.
    weights = np.where(np.arange(10) == 1, 0.01, 1.0)
    light = dataclasses.replace(plain, weights=weights)
    demand = {"sure": Demand(precision=0.9)}
    before, after = (operating_points(demand, rows, plain, rng())["sure"] for rows in (plain, light))
    assert before.threshold == pytest.approx(0.925, abs=0.01)
    assert after.threshold == pytest.approx(0.65, abs=0.01)
    assert after.says.startswith("recall 0.600 at precision 0.99")


def test_days_are_told_in_stretches_and_the_worst_is_named() -> None:
    point = operating_points({"default": Demand()}, days(), days(), rng())["default"]
    assert len(point.days) == 10
    assert point.days[0].first == "2022-01-08"
    assert [stretch.measure.rows for stretch in point.days] == [300] * 10
    assert all(a.last < b.first for a, b in zip(point.days, point.days[1:], strict=False))
    assert point.worst == point.days[7]
    assert point.worst.measure.recall == 0.0
    fewer = operating_points({"default": Demand()}, days(200), days(200), rng())["default"]
    assert 1 < len(fewer.days) < 10  # a stretch needs positive rows to tell anything
    assert sum(stretch.measure.rows for stretch in fewer.days) == 200


def test_the_worst_stretch_is_worst_in_what_is_demanded() -> None:
    rows = days(bad=-1)
    blind = rows.days is not None and (rows.days - 19_000) // 3 == 2
    loud = rows.scores.copy()
    loud[blind] = [0.01, 0.99]  # everything is called positive there: recall 1, precision low
    loud_rows = dataclasses.replace(rows, scores=loud)
    demands = {"precise": Demand(precision=0.6), "complete": Demand(recall=0.8)}
    points = operating_points(demands, loud_rows, loud_rows, rng())
    assert points["precise"].worst == points["precise"].days[2]
    assert points["complete"].worst != points["complete"].days[2]


def test_intervals_hold_the_figures_and_narrow_with_the_rows() -> None:
    demands = {
        "default": Demand(),
        "sure": Demand(precision=0.8),
        "full": Demand(recall=0.9),
    }
    widths = []
    for n in (300, 3000):
        for name, point in operating_points(demands, days(n, bad=-1), days(n, bad=-1), rng()).items():
            assert point.validation is not None
            assert point.threshold is not None
            low, high = point.intervals["threshold"]
            assert low <= point.threshold + 0.02
            assert high >= point.threshold - 0.02
            for figure in ("precision", "recall", "f1"):
                low, high = point.intervals[figure]
                assert low <= getattr(point.validation, figure) <= high
            assert point.intervals["f1"][0] < point.intervals["f1"][1]
            if name == "default":
                widths.append(point.intervals["f1"][1] - point.intervals["f1"][0])
    assert widths[1] < 0.6 * widths[0]


def test_intervals_are_those_of_drawing_rows_again() -> None:
    rows = days(400, bad=-1)
    point = operating_points({"default": Demand()}, rows, rows, rng())["default"]
    again = np.random.default_rng(9)
    figures = []
    for _ in range(600):
        drawn = again.integers(0, 400, 400)
        figures.append(measure(rows.reference[drawn], decide(rows.scores[drawn], point.threshold), 2).f1)
    assert point.intervals["f1"] == pytest.approx(np.quantile(figures, [0.025, 0.975]), abs=0.02)


def test_with_three_classes_an_operating_point_is_the_likeliest_class() -> None:
    scores = np.eye(3, dtype=np.float32)
    validation = Scored(reference=np.arange(3), scores=scores, days=np.array([19_000, 19_001, 19_001]))
    holdout = Scored(reference=np.array([0, 1, 1]), scores=scores)
    point = operating_points({"default": Demand()}, validation, holdout, rng())["default"]
    assert point.threshold is None
    assert point.holdout == measure(np.array([0, 1, 1]), np.arange(3), 3)
    assert point.usable
    assert [stretch.measure.rows for stretch in point.days] == [3]


def test_without_rows_there_is_nothing_to_tell() -> None:
    none = Scored(
        reference=np.zeros(0, np.int64), scores=np.zeros((0, 2), np.float32), days=np.zeros(0, np.int64)
    )
    point = operating_points({"default": Demand()}, none, none, rng())["default"]
    assert (point.threshold, point.intervals, point.days) == (0.5, {}, ())


def rare(seed: int, n: int = 1500) -> Scored:
    """Few positives, which a good student scores higher."""
    random = np.random.default_rng(seed)
    reference = (random.random(n) < 0.03).astype(np.int64)
    odds = np.where(reference > 0, 1.5, -3.0) + random.normal(0, 1.2, n)
    day = 19_000 + np.arange(n) * 30 // n
    return Scored(reference=reference, scores=two((1 / (1 + np.exp(-odds))).astype(np.float32)), days=day)


def test_a_threshold_lies_in_its_own_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAMPLES", 100)
    demands = {
        "default": Demand(),
        "sure": Demand(precision=0.7),
        "full": Demand(recall=0.7),
    }
    for seed in range(15):
        rows = rare(seed)
        for point in operating_points(demands, rows, rows, rng()).values():
            if point.threshold is not None:
                low, high = point.intervals["threshold"]
                assert low - 1e-4 <= point.threshold <= high + 1e-4


def test_each_stretch_tells_what_its_own_rows_would_choose() -> None:
    rows = days(bad=-1)
    assert rows.days is not None
    early = rows.days < 19_015
    # Later rows are scored lower by 2 in log-odds: the same student would want another threshold there.
    odds = np.log(rows.scores[:, 1] / rows.scores[:, 0]) - np.where(early, 0.0, 2.0)
    moved = dataclasses.replace(rows, scores=two((1 / (1 + np.exp(-odds))).astype(np.float32)))
    point = operating_points({"default": Demand()}, moved, moved, rng())["default"]
    own = [stretch.threshold for stretch in point.days]
    assert len(own) == 10
    assert min(own[:5]) > max(own[5:])  # type: ignore[type-var]
    part = moved.part(np.flatnonzero(rows.days < 19_003))
    assert own[0] == part.threshold(Demand())[0]
    few = dataclasses.replace(moved, reference=np.where(early, moved.reference, 0))
    point = operating_points({"default": Demand()}, few, few, rng())["default"]
    assert point.days[-1].threshold is None


def test_a_stretch_that_cannot_tell_is_not_the_worst() -> None:
    rows = days(bad=-1)
    assert rows.days is not None
    quiet = (rows.days - 19_000) // 3 == 4
    # No positive row there and none is called: nothing is wrong.
    still = dataclasses.replace(
        rows,
        reference=np.where(quiet, 0, rows.reference),
        scores=np.where(quiet[:, None], np.float32([[0.99, 0.01]]), rows.scores),
    )
    points = operating_points(
        {
            "default": Demand(),
            "sure": Demand(precision=0.8),
            "full": Demand(recall=0.8),
        },
        still,
        still,
        rng(),
    )
    for point in points.values():
        quiet_stretch = next(stretch for stretch in point.days if stretch.measure.positives == 0)
        assert quiet_stretch.measure.accuracy == 1.0
        assert point.worst is not None
        assert point.worst != quiet_stretch


def test_with_three_classes_the_means_have_intervals() -> None:
    random = np.random.default_rng(0)
    reference = random.integers(0, 3, 600)
    scores = np.full((600, 3), 0.1, np.float32)
    scores[np.arange(600), np.where(random.random(600) < 0.8, reference, (reference + 1) % 3)] = 0.8
    rows = Scored(reference=reference, scores=scores)
    point = operating_points({"default": Demand()}, rows, rows, rng())["default"]
    assert point.intervals.keys() == {"precision", "recall", "f1"}
    for name, (low, high) in point.intervals.items():
        assert low < getattr(point.validation, name) < high
        assert 0.03 < high - low < 0.1
