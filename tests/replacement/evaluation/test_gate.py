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


def made(n: int, classes: int, right: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A reference, and decisions of which about the share ``right`` agree with it."""
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, classes, n)
    return gold, np.where(rng.random(n) < right, gold, rng.integers(0, classes, n))


@pytest.mark.parametrize("classes", [2, 5])
def test_intervals_are_those_of_drawing_rows_again(classes: int) -> None:
    gold, decided = made(400, classes, 0.8, 1)
    found = intervals(gold, decided, classes, np.random.default_rng(0))
    rng = np.random.default_rng(7)
    drawn = [rng.integers(0, 400, 400) for _ in range(2000)]
    measured = [measure(gold[rows], decided[rows], classes) for rows in drawn]
    for name in ("precision", "recall", "f1"):
        wanted = np.quantile([getattr(each, name) for each in measured], [0.025, 0.975])
        assert found[name] == pytest.approx(wanted, abs=0.012)
        assert found[name][0] < getattr(measure(gold, decided, classes), name) < found[name][1]


def test_a_class_that_a_draw_does_not_hold_is_left_out_of_its_means() -> None:
    """As ``measure`` leaves it out: a student without a fault is without one in every draw."""
    gold = np.repeat([0, 1, 2, 3], [400, 50, 2, 1])
    assert measure(gold, gold, 4).f1 == 1.0
    assert intervals(gold, gold, 4, np.random.default_rng(0))["f1"] == (1.0, 1.0)
    # Of the second of two classes there is nothing else to say.
    assert intervals(gold // 3, gold // 3, 2, np.random.default_rng(0))["f1"][0] == 0.0


def test_more_rows_make_narrower_intervals() -> None:
    widths = []
    for n in (100, 1000, 10_000):
        low, high = intervals(*made(n, 2, 0.9, 0), 2, np.random.default_rng(0))["f1"]
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


@pytest.mark.parametrize("classes", [2, 4])
def test_a_candidate_is_compared_on_the_same_rows(classes: int) -> None:
    gold, good = made(2000, classes, 0.95, 3)
    flipped = np.random.default_rng(4).random(2000) < 0.1
    worse = np.where(flipped, (good + 1) % classes, good)
    rng = np.random.default_rng(0)
    found = compare(3, gold, worse, good, classes, rng)
    assert found.clearly_worse
    assert found.interval[0] < found.f1_difference < found.interval[1] < 0
    assert not compare(3, gold, good, worse, classes, rng).clearly_worse
    same = compare(3, gold, good, good, classes, rng)
    assert (same.f1_difference, same.interval) == (0.0, (0.0, 0.0))
    assert not same.clearly_worse


def test_paired_intervals_are_narrower_than_two_apart() -> None:
    gold, good = made(1000, 2, 0.9, 3)
    nearly = good.copy()
    nearly[:20] = 1 - nearly[:20]
    low, high = compare(1, gold, nearly, good, 2, np.random.default_rng(0)).interval
    alone = intervals(gold, good, 2, np.random.default_rng(0))["f1"]
    assert high - low < 0.6 * (alone[1] - alone[0])


def test_the_verdict_needs_the_gate_and_no_clear_loss_to_the_incumbent() -> None:
    gate = GateSection(precision=0.8, recall=0.8)
    gold, good = made(2000, 2, 0.99, 5)
    worse = np.where(np.random.default_rng(1).random(2000) < 0.1, 1 - good, good)
    rng = np.random.default_rng(0)
    held, lost = measure(gold, worse, 2), compare(4, gold, worse, good, 2, rng)
    assert held.passes(gate)
    assert verdict(gate, held, None, usable=True)["passed"]
    refused = verdict(gate, held, lost, usable=True)
    assert not refused["passed"]
    said = shortfall({"gate": refused, "holdout": {"precision": held.precision, "recall": held.recall}})
    assert "below that of the promoted version 4" in said
    short = verdict(GateSection(precision=0.999, recall=0.8), held, None, usable=True)
    assert not short["passed"]
    said = shortfall({"gate": short, "holdout": {"precision": held.precision, "recall": held.recall}})
    assert said == f"precision {held.precision:.3f} is below 0.999"


def test_without_its_default_scene_no_version_passes_and_no_round_is_the_last() -> None:
    gate = GateSection(precision=0.8, recall=0.8)
    held = measure(*made(2000, 2, 0.99, 5), 2)
    none: dict[str, Any] = {"added": {}, "yields": {}, "boundary": 0, "hard_negatives": 0}
    found = Round(round=1, rows=9, asked=9, threshold=0.5, validation=held, holdout=held, **none)
    assert stop_reason(gate, [found], usable=True) == StopReason.GATE_REACHED
    assert StopReason.GATE_REACHED.sentence(gate) == "the gate is reached"
    assert stop_reason(gate, [found], usable=False) is None
    judged = verdict(gate, held, None, usable=False)
    assert not judged["passed"]
    scenes = {"default": {"says": "no threshold reaches the precision 0.999; the nearest is 0.98"}}
    said = shortfall({"gate": judged, "holdout": {"precision": 0.9, "recall": 0.9}, "scenes": scenes})
    assert said == f"the scene default cannot be had: {scenes['default']['says']}"
