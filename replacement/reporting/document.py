"""The content of a version's report, as report.json holds it.

Some keys are older than the words that the code uses; they stay, since programs read them: "calibration" for
the validation rows, "competing" for hard negatives, "brought" for yields, "lead" for a margin, "scenes" for
operating points, "says" for sentences.
"""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pingti.workspace.definition import Definition
from pingti.workspace.report import shortfall
from replacement.evaluation.operating_points import OperatingPoint
from replacement.evaluation.speed import Speed
from replacement.results import Round, StopReason, Yield


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """What was measured of the student that is kept."""

    kept: Round
    """The round that made it."""
    verdict: dict[str, Any]
    """Of the gate: see ``replacement.evaluation.gate.verdict``."""
    operating_points: Mapping[str, OperatingPoint]
    """By the names that the definition gives them."""
    holdout: dict[str, Any]
    """What the held-out rows tell: see ``replacement.evaluation.holdout.describe``."""
    learned: dict[str, Any]
    """What the rows learned from tell: see ``replacement.evaluation.holdout.of_learned``."""
    speed: Speed


def build_report(
    evaluation: Evaluation,
    definition: Definition,
    *,
    task: str,
    version: int,
    run: str | None,
    seed: int,
    subclasses: dict[str, list[list[str]]],
    teacher: dict[str, Any],
    corpus: dict[str, int],
    rounds: Sequence[Round],
    stopped: StopReason,
    boundary_rows: int,
) -> dict[str, Any]:
    """Put together what a report says of a version.

    Args:
        evaluation: of the student that is kept.
        definition: the task's.
        task: its name.
        version: the number that the student gets.
        run: the name of the run that made it, if it has one.
        seed: of the run.
        subclasses: by class, the teacher's labels of each part of it.
        teacher: what is known of it, and how often it was asked.
        corpus: what happened to its rows, by what happened.
        rounds: all of the run.
        stopped: why no further round was run.
        boundary_rows: rows written for a person.

    Returns:
        An object of JSON values, and of tuples for arrays.
    """
    verdict = dict(evaluation.verdict)
    report = {
        "format": 1,
        "task": task,
        "version": version,
        "run": run,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seed": seed,
        "classes": list(definition.classes),
        "subclasses": subclasses,
        "teacher": teacher,
        "corpus": corpus,
        "gate": verdict,
        "holdout": asdict(evaluation.kept.holdout),
        "rounds": [_round(each) for each in rounds],
        "kept_round": evaluation.kept.round,
        "stopped": stopped.sentence(definition.gate),
        "scenes": {name: asdict(point) for name, point in evaluation.operating_points.items()},
        "boundary_rows": boundary_rows,
        "speed": asdict(evaluation.speed),
        **evaluation.holdout,
        **evaluation.learned,
    }
    verdict["says"] = "" if verdict["passed"] else shortfall(report)
    return report


def _round(result: Round) -> dict[str, Any]:
    return {
        "round": result.round,
        "rows": result.rows,
        "asked": result.asked,
        "added": result.added,
        "brought": {kind: _yield(of_kind) for kind, of_kind in result.yields.items()},
        "boundary": result.boundary,
        "competing": result.hard_negatives,
        "threshold": result.threshold,
        "calibration": asdict(result.validation),
        "holdout": asdict(result.holdout),
        "coverage": [asdict(cluster) for cluster in result.coverage],
    }


def _yield(of_kind: Yield) -> dict[str, Any]:
    return {
        "rows": of_kind.rows,
        "positives": of_kind.positives,
        "errors": of_kind.errors,
        "lead": of_kind.margin,
    }
