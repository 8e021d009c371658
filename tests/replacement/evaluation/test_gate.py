from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from pingti.workspace.definition import GateSection
from pingti.workspace.report import shortfall
from replacement.evaluation.bootstrap import intervals
from replacement.evaluation.gate import compare, verdict
from replacement.evaluation.metrics import measure
from replacement.results import Round, StopReason
from replacement.training.rounds import stop_reason


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
