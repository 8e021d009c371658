"""The keys of a report: programs read them, so they keep their names whatever the code calls things."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from api.cli.rounds import round_line
from pingti.workspace.definition import GateSection, parse
from pingti.workspace.report import Report
from replacement.evaluation.metrics import Measure
from replacement.evaluation.operating_points import OperatingPoint
from replacement.evaluation.speed import Speed
from replacement.reporting import html
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


def report(
    *, passed: bool, kept: Round = ROUND, points: dict[str, OperatingPoint] | None = None
) -> dict[str, Any]:
    """As a program reads it."""
    evaluation = Evaluation(
        kept=kept,
        verdict={"precision": 0.9, "recall": 0.9, "passed": passed},
        operating_points=points or {},
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
        rounds=[kept],
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
            "kind", "ladder",
        "clusters", "hardest", "losses", "notes",
    ]  # fmt: skip
    assert (document["stopped"], document["kept_round"]) == ("the pool is used up", 1)
    assert document["speed"] == {"student": 1000.0, "teacher": 10.0}


@pytest.mark.parametrize(
    ("measured", "unknown"),
    [
        (
            {"positives": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 1.0},
            "precision recall f1",
        ),
        ({"positives": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0, "accuracy": 0.9}, "recall f1"),
        ({"positives": 0, "rows": 0, "accuracy": 0.0}, "precision recall f1 accuracy"),
        ({"precision": 0.0, "recall": 0.0, "f1": 0.0}, ""),
    ],
)
def test_figures_that_no_row_could_tell_are_null_everywhere(
    measured: dict[str, Any], unknown: str, tmp_path: Path
) -> None:
    figures = dataclasses.replace(FIGURES, **measured)
    point = OperatingPoint(
        threshold=0.5, says="", validation=figures, holdout=figures, intervals={}, days=(), worst=None
    )
    turn = dataclasses.replace(ROUND, validation=figures, holdout=figures)
    document = report(passed=False, kept=turn, points={"default": point})
    first, scene = document["rounds"][0], document["scenes"]["default"]
    for shown in (
        document["holdout"], first["holdout"], first["calibration"], scene["holdout"], scene["calibration"]
    ):  # fmt: skip
        assert [name for name, value in shown.items() if value is None] == unknown.split()
    html.write(tmp_path, document)  # drawn, written and read again
    assert Report.load(tmp_path / "report.json").holdout.f1 == document["holdout"]["f1"]
    page = (tmp_path / "report.html").read_text()
    assert ("<td>–</td>" in page) == bool(unknown)
    line = round_line(turn, 2, GateSection())
    assert ("F1 –" in line) == ("f1" in unknown)


@pytest.mark.parametrize(("passed", "says"), [(True, ""), (False, "precision 0.800 is below 0.900")])
def test_the_gate_says_what_is_lacking(passed: bool, says: str) -> None:
    gate = report(passed=passed)["gate"]
    assert list(gate) == ["precision", "recall", "passed", "says"]
    assert gate["says"] == says
