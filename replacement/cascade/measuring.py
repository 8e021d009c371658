"""The cascade of a version: the band that its student gets, and what student and teacher reach together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import CascadeSection, GateSection
from pingti.workspace.report import Cascade, CascadePoint, Figures, Rung
from replacement.cascade.band import Point, choose, measured, points_of
from replacement.evaluation.metrics import stored
from replacement.evaluation.operating_points import Scored
from replacement.evaluation.speed import Speed

_SHOWN = 40  # points of the curve in a report


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What a cascade is chosen by and measured on, with the teacher's classes as the reference."""

    validation: Scored
    time: NDArray[np.int64]
    """int64 (m,): which validation rows are older."""
    holdout: Scored


def make_cascade(
    section: CascadeSection, gate: GateSection, rows: Rows, threshold: float | None, speed: Speed | None
) -> Cascade:
    """Choose the scores of which a student is not sure, and measure what it reaches with its teacher.

    Args:
        section: what is asked of the cascade.
        gate: what a version has to reach.
        rows: validation rows, which choose, and held-out rows, which measure.
        threshold: of two classes, by which the student decides.
        speed: of student and teacher, where it is known.

    Returns:
        What the report says of it. It is ``kept`` where it asks about no more rows than it may.
    """
    points = points_of(rows.validation, threshold, rows.time, confidence=section.confidence)
    chosen = choose(points, section.agreement)
    figures, share = measured(rows.holdout, threshold, chosen.band)
    kept = chosen.teacher_share <= section.most_teacher_share
    seconds = None
    if speed is not None:
        seconds = round(1e6 / speed.student + share * 1e6 / speed.teacher, 1)
    return Cascade(
        second=section.second,
        wanted=section.agreement,
        confidence=section.confidence,
        low=chosen.band.low,
        high=chosen.band.high,
        kept=kept,
        validation=_point(chosen),
        holdout=Figures(**stored(figures, rows.holdout.classes)),
        teacher_share=round(share, 4),
        seconds_per_million=seconds,
        passes=kept and figures.passes(gate),
        says=_says(section, chosen, kept=kept),
        curve=_curve(points, rows.holdout, threshold),
    )


def _says(section: CascadeSection, chosen: Point, *, kept: bool) -> str:
    asks = f"the teacher is asked about {chosen.teacher_share:.1%} of the validation rows"
    if kept:
        return (
            f"{asks}, and with it at least {chosen.at_least:.4f} of the rows of days to come are decided as "
            f"the teacher decides, at a confidence of {section.confidence:g}"
        )
    return (
        f"no cascade: for an agreement of {section.agreement:g} {asks}, more than cascade.most_teacher_share "
        f"({section.most_teacher_share:g}) allows; the student answers alone"
    )


def _curve(points: tuple[Point, ...], holdout: Scored, threshold: float | None) -> tuple[CascadePoint, ...]:
    """Points of the choice, the least teacher share first, with what each reaches on the holdout."""
    places = np.unique(np.linspace(0, len(points) - 1, _SHOWN).round().astype(np.int64))[::-1]
    return tuple(_point(points[place], holdout, threshold) for place in places.tolist())


def _point(point: Point, holdout: Scored | None = None, threshold: float | None = None) -> CascadePoint:
    figures = {
        "teacher_share": round(point.teacher_share, 4),
        "agreement": round(point.agreement, 4),
        "at_least": round(point.at_least, 4),
    }
    if holdout is not None:
        figures["holdout"] = round(measured(holdout, threshold, point.band)[0].accuracy, 4)
    return CascadePoint(**figures)


def rung_of(cascade: Cascade, bytes: int) -> Rung:
    """A cascade as a rung of the ladder, beside the student that it is made of.

    Args:
        cascade: of the student.
        bytes: of the student's numbers.
    """
    figures, seconds = cascade.holdout, cascade.seconds_per_million
    return Rung(
        kind="cascade",
        f1=figures.f1,
        precision=figures.precision,
        recall=figures.recall,
        agreement=figures.accuracy,
        texts_per_second=None if seconds is None else 1e6 / seconds,
        bytes=bytes,
        teacher_share=cascade.teacher_share,
        passes=cascade.passes,
        kept=cascade.kept,
        note=cascade.says,
    )


def described(cascade: Cascade, on_no_teacher: str) -> dict[str, object]:
    """What a student's metadata say of its cascade: who is asked, and where it is not sure.

    Args:
        cascade: one that is kept.
        on_no_teacher: as of the definition.
    """
    return {
        "second": cascade.second,
        "agreement": cascade.wanted,
        "confidence": cascade.confidence,
        "on_no_teacher": on_no_teacher,
        # By operating point: another one is meant to decide otherwise than the teacher.
        "bands": {"default": [cascade.low, cascade.high]},
    }
