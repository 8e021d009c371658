"""The cascade of a version: the band that its student gets, and what student and second reach together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import CascadeSection, GateSection
from pingti.workspace.report_parts import Cascade, CascadePoint, Figures, Rung
from replacement.cascade.band import Point, choose, measured, points_of
from replacement.evaluation.metrics import stored
from replacement.evaluation.operating_points import Scored

_SHOWN = 40  # points of the curve in a report


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """What a cascade is chosen by and measured on, with the teacher's classes as the reference."""

    validation: Scored
    time: NDArray[np.int64]
    """int64 (m,): which validation rows are older."""
    holdout: Scored
    second: "SecondRows | None" = None
    """Of a second that is no teacher."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SecondRows:
    """What a student decides that answers where another is not sure."""

    validation: NDArray[np.int64]
    """int64 (m,): class numbers; so of the holdout."""
    holdout: NDArray[np.int64]
    texts_per_second: float
    """On one core."""


def make_cascade(
    section: CascadeSection,
    gate: GateSection,
    rows: Rows,
    threshold: float | None,
    *,
    rate: float | None,
    teacher_rate: float | None,
) -> Cascade:
    """Choose the scores of which a student is not sure, and measure what it reaches with its second.

    Args:
        section: what is asked of the cascade.
        gate: what a version has to reach.
        rows: validation rows, which choose, and held-out rows, which measure.
        threshold: of two classes, by which the student decides.
        rate: texts that the student scores in a second of one core, where that is known.
        teacher_rate: the teacher's.

    Returns:
        What the report says of it. It is ``kept`` where it asks about no more rows than it may, and reaches
        the agreement.
    """
    own = rows.second
    points = points_of(
        rows.validation,
        threshold,
        rows.time,
        confidence=section.confidence,
        second=None if own is None else own.validation,
    )
    curve = points
    if own is not None:  # it errs, too: asked about all rows it may agree less than about some
        most = section.most_teacher_share
        points = tuple(point for point in points if point.teacher_share <= most) or points[-1:]
    chosen = choose(points, section.agreement)
    held = None if own is None else own.holdout
    figures, share = measured(rows.holdout, threshold, chosen.band, held)
    kept = chosen.teacher_share <= section.most_teacher_share
    kept &= own is None or chosen.at_least >= section.agreement
    second_rate = teacher_rate if own is None else own.texts_per_second
    seconds = None
    if rate is not None and second_rate is not None:
        seconds = round(1e6 / rate + share * 1e6 / second_rate, 1)
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
        curve=_curve(curve, rows.holdout, threshold, held),
    )


def _says(section: CascadeSection, chosen: Point, *, kept: bool) -> str:
    if section.second != "teacher":
        return _says_of_student(section, chosen, kept=kept)
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


def _says_of_student(section: CascadeSection, chosen: Point, *, kept: bool) -> str:
    """As ``_says``, where the second is a student."""
    reached = (
        f"at least {chosen.at_least:.4f} of the rows of days to come are decided as the teacher decides, at "
        f"a confidence of {section.confidence:g}"
    )
    if kept:
        answers = f"the {section.second} answers {chosen.teacher_share:.1%} of the validation rows"
        return f"{answers}, and with it {reached}; no teacher is asked"
    return (
        f"no cascade: with the {section.second} for {chosen.teacher_share:.1%} of the validation rows "
        f"{reached}, less than cascade.agreement ({section.agreement:g}); the student answers alone; a lower "
        'agreement, more student.transformer.layers, or second = "teacher" may give one'
    )


def _curve(
    points: tuple[Point, ...],
    holdout: Scored,
    threshold: float | None,
    second: NDArray[np.int64] | None,
) -> tuple[CascadePoint, ...]:
    """Points of the choice, the least share of the second first, with what each reaches on the holdout."""
    places = np.unique(np.linspace(0, len(points) - 1, _SHOWN).round().astype(np.int64))[::-1]
    return tuple(_point(points[place], holdout, threshold, second) for place in places.tolist())


def _point(
    point: Point,
    holdout: Scored | None = None,
    threshold: float | None = None,
    second: NDArray[np.int64] | None = None,
) -> CascadePoint:
    figures = {
        "teacher_share": round(point.teacher_share, 4),
        "agreement": round(point.agreement, 4),
        "at_least": round(point.at_least, 4),
    }
    if holdout is not None:
        figures["holdout"] = round(measured(holdout, threshold, point.band, second)[0].accuracy, 4)
    return CascadePoint(**figures)


def rung_of(cascade: Cascade, bytes: int) -> Rung:
    """A cascade as a rung of the ladder, beside the student that it is made of.

    Args:
        cascade: of the student.
        bytes: of the numbers of its students: of both, where the second is one.
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
        teacher_share=cascade.teacher_share if cascade.second == "teacher" else 0.0,
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
        **({"on_no_teacher": on_no_teacher} if cascade.second == "teacher" else {}),
        # By operating point: another one is meant to decide otherwise than the teacher.
        "bands": {"default": [cascade.low, cascade.high]},
    }
