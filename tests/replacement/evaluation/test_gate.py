from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from pingti.workspace.definition import GateSection
from pingti.workspace.report import shortfall
from replacement.evaluation.bootstrap import intervals
from replacement.evaluation.gate import compare, sureness, verdict
from replacement.evaluation.metrics import absent, measure, stored
from replacement.results import Round, StopReason
from replacement.training.rounds.stopping import stop_reason


def decisions(n: int, classes: int, right: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A reference, and decisions of which about the share ``right`` agree with it."""
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, classes, n)
    return reference, np.where(rng.random(n) < right, reference, rng.integers(0, classes, n))


@pytest.mark.parametrize("classes", [2, 5])
def test_intervals_are_those_of_drawing_rows_again(classes: int) -> None:
    reference, decided = decisions(400, classes, 0.8, 1)
    spans = intervals(reference, decided, classes, np.random.default_rng(0))
    rng = np.random.default_rng(7)
    drawn = [rng.integers(0, 400, 400) for _ in range(2000)]
    measured = [measure(reference[rows], decided[rows], classes) for rows in drawn]
    for name in ("precision", "recall", "f1"):
        wanted = np.quantile([getattr(drawn, name) for drawn in measured], [0.025, 0.975])
        assert spans[name] == pytest.approx(wanted, abs=0.012)
        assert spans[name][0] < getattr(measure(reference, decided, classes), name) < spans[name][1]


def test_a_class_that_a_draw_does_not_hold_is_left_out_of_its_means() -> None:
    """As ``measure`` leaves it out: a student without an error is without one in every draw."""
    reference = np.repeat([0, 1, 2, 3], [400, 50, 2, 1])
    assert measure(reference, reference, 4).f1 == 1.0
    assert intervals(reference, reference, 4, np.random.default_rng(0))["f1"] == (1.0, 1.0)
    # Of the second of two classes there is nothing else to say.
    assert intervals(reference // 3, reference // 3, 2, np.random.default_rng(0))["f1"][0] == 0.0


def test_more_rows_make_narrower_intervals() -> None:
    widths = []
    for n in (100, 1000, 10_000):
        low, high = intervals(*decisions(n, 2, 0.9, 0), 2, np.random.default_rng(0))["f1"]
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


@pytest.mark.parametrize("classes", [2, 4])
def test_a_candidate_is_compared_on_the_same_rows(classes: int) -> None:
    reference, good = decisions(2000, classes, 0.95, 3)
    flipped = np.random.default_rng(4).random(2000) < 0.1
    worse = np.where(flipped, (good + 1) % classes, good)
    rng = np.random.default_rng(0)
    lost = compare(3, reference, worse, good, classes, rng)
    assert lost.clearly_worse
    assert lost.interval[0] < lost.f1_difference < lost.interval[1] < 0
    assert not compare(3, reference, good, worse, classes, rng).clearly_worse
    same = compare(3, reference, good, good, classes, rng)
    assert (same.f1_difference, same.interval) == (0.0, (0.0, 0.0))
    assert not same.clearly_worse


def test_paired_intervals_are_narrower_than_two_apart() -> None:
    reference, good = decisions(1000, 2, 0.9, 3)
    nearly = good.copy()
    nearly[:20] = 1 - nearly[:20]
    low, high = compare(1, reference, nearly, good, 2, np.random.default_rng(0)).interval
    alone = intervals(reference, good, 2, np.random.default_rng(0))["f1"]
    assert high - low < 0.6 * (alone[1] - alone[0])


def test_the_verdict_needs_the_gate_and_no_clear_loss_to_the_incumbent() -> None:
    gate = GateSection(precision=0.8, recall=0.8)
    reference, good = decisions(2000, 2, 0.99, 5)
    worse = np.where(np.random.default_rng(1).random(2000) < 0.1, 1 - good, good)
    rng = np.random.default_rng(0)
    held, lost = measure(reference, worse, 2), compare(4, reference, worse, good, 2, rng)
    assert held.passes(gate)
    assert verdict(gate, held, None, usable=True)["passed"]
    refused = verdict(gate, held, lost, usable=True)
    assert not refused["passed"]
    lacks = shortfall({"gate": refused, "holdout": asdict(held)})
    assert "below that of the promoted version 4" in lacks
    short = verdict(GateSection(precision=0.999, recall=0.8), held, None, usable=True)
    assert not short["passed"]
    lacks = shortfall({"gate": short, "holdout": asdict(held)})
    assert lacks == f"precision {held.precision:.3f} is below 0.999"


def test_a_verdict_near_the_gate_is_told_to_be_chance() -> None:
    reference, decided = decisions(400, 2, 0.8, 1)
    reached = measure(reference, decided, 2)
    rng = np.random.default_rng(0)

    def sure(precision: float, recall: float) -> float:
        return sureness(GateSection(precision=precision, recall=recall), reference, decided, 2, rng)

    at_the_figures = sure(reached.precision, 0.01)
    assert 0.4 < at_the_figures < 0.65
    assert sure(reached.precision - 0.02, 0.01) > at_the_figures  # passes by something
    assert sure(reached.precision - 0.2, reached.recall - 0.2) == 1.0
    assert sure(min(1.0, reached.precision + 0.1), 0.01) > 0.99  # refused for sure
    report = {
        "gate": {"precision": 0.9, "recall": 0.9, "passed": False, "sure": 0.61},
        "holdout": asdict(reached),
        "holdout_intervals": {"precision": (0.8, 0.9), "recall": (0.7, 0.8), "f1": (0.7, 0.8)},
    }
    says = "of holdouts drawn again 61% give the same verdict (95 % intervals: precision 0.800 to 0.900, "
    assert says in shortfall(report)


def test_without_its_default_operating_point_no_version_passes_and_no_round_is_the_last() -> None:
    gate = GateSection(precision=0.8, recall=0.8)
    held = measure(*decisions(2000, 2, 0.99, 5), 2)
    none: dict[str, Any] = {"added": {}, "yields": {}, "boundary": 0, "hard_negatives": 0}
    turn = Round(round=1, rows=9, asked=9, threshold=0.5, validation=held, holdout=held, **none)
    assert stop_reason(gate, [turn], usable=True) == StopReason.GATE_REACHED
    assert StopReason.GATE_REACHED.sentence(gate) == "the gate is reached"
    assert stop_reason(gate, [turn], usable=False) is None
    judged = verdict(gate, held, None, usable=False)
    assert not judged["passed"]
    points = {"default": {"says": "no threshold reaches the precision 0.999; the nearest is 0.98"}}
    lacks = shortfall({"gate": judged, "holdout": asdict(held), "scenes": points})
    assert lacks == f"the operating point default cannot be had: {points['default']['says']}"


@pytest.mark.parametrize("names", [("no", "yes"), ("a", "b", "c")])
def test_classes_that_the_holdout_never_had_let_nothing_pass_unless_allowed(names: tuple[str, ...]) -> None:
    reference = np.zeros(50, np.int64)
    reference[:20] = len(names) - 2  # the last class is never there
    held = measure(reference, reference, len(names))
    missing = [names[number] for number in absent(reference, len(names))]
    assert names[-1] in missing
    says: dict[str, str] = {}
    for unmeasured in ("refuse", "allow"):
        gate = GateSection(precision=0.8, recall=0.8, unmeasured=unmeasured)
        judged = verdict(gate, held, None, usable=True, absent=missing)
        says[unmeasured] = shortfall({"gate": judged, "holdout": asdict(held), "classes": names})
        # Of a task of two classes the second is all that is counted: nothing was measured.
        assert judged["passed"] == (unmeasured == "allow" and len(names) > 2)
        assert (says[unmeasured] == "") == judged["passed"]
    assert names[-1] in says["refuse"]
    assert "gate.holdout_days" in says["refuse"]
    assert "gate.unmeasured" in says["refuse"]
    assert "0.000" not in says["refuse"]


def test_a_class_of_one_held_out_row_is_there() -> None:
    reference = np.array([0, 0, 2, 1])
    assert absent(reference, 3) == []
    assert absent(reference, 5) == [3, 4]
    assert absent(np.zeros(0, np.int64), 2) == [0, 1]


def test_figures_of_what_has_no_rows_are_none() -> None:
    none = np.zeros(5, np.int64)
    quiet = stored(measure(none, none, 2), 2)
    assert (quiet["precision"], quiet["recall"], quiet["f1"], quiet["accuracy"]) == (None, None, None, 1.0)
    false_alarm = stored(measure(none, np.array([0, 0, 0, 0, 1]), 2), 2)
    assert (false_alarm["precision"], false_alarm["recall"], false_alarm["f1"]) == (0.0, None, None)
    empty = stored(measure(none[:0], none[:0], 3), 3)
    assert [empty[name] for name in ("precision", "recall", "f1", "accuracy")] == [None] * 4
    several = stored(measure(none, none, 3), 3)  # of more classes, those that are there are counted
    assert several["f1"] == 1.0
    missed = stored(measure(np.ones(5, np.int64), none, 2), 2)
    assert (missed["precision"], missed["recall"], missed["f1"]) == (0.0, 0.0, 0.0)
