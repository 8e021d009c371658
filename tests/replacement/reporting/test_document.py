"""The keys of a report: programs read them, so they keep their names whatever the code calls things."""

import json
from typing import Any

import pytest

from pingti.workspace.definition import parse
from replacement.evaluation.metrics import Measure
from replacement.evaluation.speed import Speed
from replacement.reporting.document import Evaluation, build_report
from replacement.results import Coverage, Round, StopReason, Yield

FIGURES = Measure(precision=0.8, recall=0.9, f1=0.85, accuracy=0.9, rows=20, positives=10)
DEFINITION = parse('classes = ["no", "yes"]\n[corpus]\nfiles = ["c.jsonl"]\n[teacher]\nmodel = "m"')
ROUND = Round(
    round=1,
    rows=10,
    asked=20,
    added={"uncertain": 3},
    yields={"uncertain": Yield(rows=3, positives=2, errors=1, margin=0.25)},
    boundary=4,
    hard_negatives=5,
    threshold=0.5,
    validation=FIGURES,
    holdout=FIGURES,
    coverage=(Coverage(cluster=0, members=9, measured=8, covered=0.75),),
)


def report(*, passed: bool) -> dict[str, Any]:
    """As a program reads it."""
    evaluation = Evaluation(
        kept=ROUND,
        verdict={"precision": 0.9, "recall": 0.9, "passed": passed},
        operating_points={},
        holdout={"clusters": [], "hardest": []},
        learned={"losses": []},
        speed=Speed(student=1000.0, teacher=10.0),
    )
    document = build_report(
        evaluation,
        DEFINITION,
        task="t",
        version=2,
        run=None,
        seed=3,
        subclasses={},
        teacher={"model": "m"},
        corpus={"read": 40},
        rounds=[ROUND],
        stopped=StopReason.POOL_USED_UP,
        boundary_rows=4,
    )
    decoded: dict[str, Any] = json.loads(json.dumps(document.stored()))
    return decoded


def test_a_round_keeps_its_keys() -> None:
    figures = {"precision": 0.8, "recall": 0.9, "f1": 0.85, "accuracy": 0.9, "rows": 20, "positives": 10}
    (first,) = report(passed=True)["rounds"]
    assert list(first.items()) == [
        ("round", 1),
        ("rows", 10),
        ("asked", 20),
        ("added", {"uncertain": 3}),
        ("brought", {"uncertain": {"rows": 3, "positives": 2, "errors": 1, "lead": 0.25}}),
        ("boundary", 4),
        ("competing", 5),
        ("threshold", 0.5),
        ("calibration", figures),
        ("holdout", figures),
        ("coverage", [{"cluster": 0, "members": 9, "measured": 8, "covered": 0.75}]),
    ]


def test_a_report_keeps_its_keys() -> None:
    document = report(passed=True)
    assert list(document) == [
        "format", "task", "version", "run", "made", "seed", "classes", "subclasses", "teacher", "corpus",
        "gate", "holdout", "rounds", "kept_round", "stopped", "scenes", "boundary_rows", "speed",
        "clusters", "hardest", "losses",
    ]  # fmt: skip
    assert (document["stopped"], document["kept_round"]) == ("the pool is used up", 1)
    assert document["speed"] == {"student": 1000.0, "teacher": 10.0}


@pytest.mark.parametrize(("passed", "says"), [(True, ""), (False, "precision 0.800 is below 0.900")])
def test_the_gate_says_what_is_lacking(passed: bool, says: str) -> None:
    gate = report(passed=passed)["gate"]
    assert list(gate) == ["precision", "recall", "passed", "says"]
    assert gate["says"] == says
