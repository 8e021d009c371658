"""The content of a version's report, put together from what was measured."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pingti.workspace.definition import Definition
from pingti.workspace.report import FORMAT, Report, shortfall
from pingti.workspace.report_parts import Cascade, Rung, TeacherQuality
from replacement.evaluation.metrics import stored
from replacement.evaluation.operating_points import OperatingPoint, Stretch
from replacement.evaluation.speed import Speed
from replacement.results import Round, StopReason


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
    speed: Speed | None
    """None where the teacher is no model that is here."""
    teacher_quality: TeacherQuality | None = None
    """How often the teacher itself is right, where people's labels tell."""
    notes: tuple[str, ...] = ()
    """What a person should know of labels and teacher, a sentence each."""
    cascade: Cascade | None = None
    """Where the definition asks for one."""
    kind: str = "textcnn"
    """Of the student."""
    ladder: tuple[Rung, ...] = ()
    """The kinds of students that it was chosen from."""


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
) -> Report:
    """Put together the report of a version.

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
        The report; its ``stored()`` is what report.json holds.
    """
    report = Report.model_validate(
        {
            "format": FORMAT,
            "task": task,
            "version": version,
            "run": run,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "seed": seed,
            "classes": definition.classes,
            "subclasses": subclasses,
            "teacher": teacher,
            "corpus": corpus,
            "gate": evaluation.verdict,
            "holdout": stored(evaluation.kept.holdout, len(definition.classes)),
            "rounds": [_stored_round(result, len(definition.classes)) for result in rounds],
            "kept_round": evaluation.kept.round,
            "stopped": stopped.sentence(definition.gate),
            "operating_points": _stored_points(evaluation.operating_points, len(definition.classes)),
            "boundary_rows": boundary_rows,
            **({} if evaluation.speed is None else {"speed": asdict(evaluation.speed)}),
            **({} if evaluation.cascade is None else {"cascade": evaluation.cascade.stored()}),
            "kind": evaluation.kind,
            "ladder": [rung.stored() for rung in evaluation.ladder],
            **evaluation.holdout,
            **evaluation.learned,
        }
    )
    gate = report.gate.model_copy(update={"says": "" if report.gate.passed else shortfall(report)})
    return report.model_copy(update={"gate": gate, "notes": evaluation.notes})


def _stored_round(result: Round, classes: int) -> dict[str, Any]:
    measured = {name: stored(getattr(result, name), classes) for name in ("validation", "holdout")}
    told = {name: value for name, value in asdict(result).items() if name != "computed"}
    return {**told, **measured}


def _stored_points(points: Mapping[str, OperatingPoint], classes: int) -> dict[str, Any]:
    return {name: _stored_point(point, classes) for name, point in points.items()}


def _stored_point(point: OperatingPoint, classes: int) -> dict[str, Any]:
    def stretch(days: Stretch) -> dict[str, Any]:
        return {**asdict(days), "measure": stored(days.measure, classes)}

    measured = {
        name: None if figures is None else stored(figures, classes)
        for name, figures in (("validation", point.validation), ("holdout", point.holdout))
    }
    worst = None if point.worst is None else stretch(point.worst)
    return {**asdict(point), **measured, "days": [stretch(days) for days in point.days], "worst": worst}
