"""The report of a version: what report.json holds, as typed values, and what a refusal says of it.

Its parts stand in ``report_parts``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pingti.errors import ArtifactError, Fault, json_pointer
from pingti.workspace.report_parts import (
    AskedStretch,
    CalibrationBin,
    Cascade,
    ClassCurve,
    ClassFigures,
    Cluster,
    ConfusedPair,
    CurvePoint,
    Day,
    Disagreement,
    FalseCluster,
    Figures,
    Gate,
    Interval,
    Loss,
    MissedCluster,
    OperatingPoint,
    Round,
    Rung,
    Speed,
    Stored,
    TeacherUse,
    TrueLabelFigures,
    key,
)

FORMAT = 1
"""The newest format of a report that this Pingti reads, and the one that it writes."""

_NAMED = 3  # clusters or pairs in a refusal
_LONGEST = 60  # characters of a text in a refusal
_TO_MEASURE = (
    "nothing is known of a class without rows: gate.holdout_days, or gate.holdout_fraction, makes the "
    'holdout longer; gate.unmeasured = "allow" does without'
)


class Report(Stored):
    """All that is known of a version: how it was made, what it reaches, and where it fails.

    Fields are in the order of the keys on disk. Only what makes a report useful is needed: one that was
    written before a field came to be is read all the same.
    """

    format: int = FORMAT
    task: str = ""
    version: int = 0
    run: str | None = None
    """Name of the run, by which one that was cut off finds its version."""
    created: Annotated[str, key("made")] = ""
    """ISO 8601."""
    seed: int = 0
    classes: tuple[str, ...] = ()
    subclasses: dict[str, tuple[tuple[str, ...], ...]] = Field(default={})
    """By class, the teacher's labels that the student tells apart."""
    teacher: TeacherUse = TeacherUse()
    corpus: dict[str, int] = Field(default={})
    """Counts of rows, by what became of them."""
    gate: Gate
    holdout: Figures
    """The student against the teacher, on the held-out rows."""
    rounds: tuple[Round, ...] = ()
    kept_round: int = 0
    stopped: str = ""
    """Why no further round was run."""
    operating_points: Annotated[dict[str, OperatingPoint], key("scenes")] = Field(default={})
    boundary_rows: int = 0
    """Rows that wait for a person."""
    speed: Speed | None = None
    kind: str = "textcnn"
    """Of the student that is kept."""
    ladder: tuple[Rung, ...] = ()
    """The kinds of students that it was chosen from, the TextCNN of the rounds first."""
    cascade: Cascade | None = None
    """Where the definition asks for one."""
    holdout_intervals: dict[str, Interval] = Field(default={})
    curve: tuple[CurvePoint, ...] = ()
    """For two classes."""
    curves: tuple[ClassCurve, ...] = ()
    """For more than two classes."""
    calibration: tuple[CalibrationBin, ...] = ()
    """Reliability of the student's probabilities."""
    days: tuple[Day, ...] = ()
    worst_day: str | None = None
    true_labels: Annotated[dict[str, TrueLabelFigures] | None, key("truth")] = None
    """Student, teacher, incumbent and baseline (a linear n-gram model) against people's labels, where there
    are any."""
    clusters: tuple[MissedCluster, ...] = ()
    false_clusters: tuple[FalseCluster, ...] = ()
    pairs: tuple[ConfusedPair, ...] = ()
    by_class: tuple[ClassFigures, ...] = ()
    hardest: tuple[Disagreement, ...] = ()
    asked_by_day: tuple[AskedStretch, ...] = ()
    losses: tuple[Loss, ...] = ()
    true_labels_apart: Annotated[dict[str, TrueLabelFigures] | None, key("truth_apart")] = None
    """The same on texts with true labels that are not in the corpus."""
    notes: tuple[str, ...] = ()
    """What a person should know of labels and teacher, a sentence each."""

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Read report.json.

        Args:
            path: the file.

        Returns:
            The report.

        Raises:
            FileNotFoundError: there is no such file.
            ArtifactError: it is damaged, or of a newer format.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise _damaged(str(path), f"not readable as JSON: {error}") from error
        return cls.read(document, str(path))

    @classmethod
    def read(cls, document: object, where: str) -> "Report":
        """Take a report out of what a JSON file holds.

        Args:
            document: the file's value.
            where: the file's name, for errors.

        Returns:
            The report.

        Raises:
            ArtifactError: it is no report, or one of a newer format.
        """
        written = document.get("format", FORMAT) if isinstance(document, Mapping) else FORMAT
        if isinstance(written, int) and written > FORMAT:
            raise _damaged(where, f"its format is {written} and this Pingti reads {FORMAT}", "/format")
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            fault = f"{place}: {first['msg']}" if place else first["msg"]
            pointer = json_pointer(first["loc"])
            raise _damaged(where, f"no report of a version: {fault}", pointer) from error


def _damaged(file: str, detail: str, pointer: str | None = None) -> ArtifactError:
    fault = Fault(detail=detail, pointer=pointer, file=file)
    return ArtifactError(f"{file}: {detail}", faults=[fault])


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """What a student that is refused lacks; empty of one that is not."""

    headline: str
    """In a line: a part of a sentence."""
    points: tuple[str, ...]
    """Where the student fails, and what may be done; a part of a sentence each."""

    @property
    def text(self) -> str:
        """All of it as one part of a sentence."""
        return "; ".join([self.headline, *self.points])


def refusal(report: Report | Mapping[str, Any]) -> Refusal:
    """What a refused student lacks, in words.

    Args:
        report: the version's; or what its file holds.

    Raises:
        ArtifactError: a mapping that is no report.
    """
    if not isinstance(report, Report):
        report = Report.read(report, "report.json")
    gate = report.gate
    # Where the only class that is counted has no rows, its figures say nothing.
    nothing = len(report.classes) == 2 and report.classes[1] in gate.absent
    lacking, points = [], []
    if gate.absent and (nothing or not gate.absent_allowed):
        lacking.append(_without_rows(gate.absent))
        points.append(_TO_MEASURE)
    lacking += [
        f"{name} {reached:.3f} is below {needed:.3f}"
        for name, reached, needed in (
            ("precision", report.holdout.precision, gate.precision),
            ("recall", report.holdout.recall, gate.recall),
        )
        if reached is not None and reached < needed and not nothing
    ]
    if not gate.usable:
        lacking.append(
            f"the operating point default cannot be had: {report.operating_points['default'].says}"
        )
    incumbent = gate.incumbent
    if incumbent is not None and incumbent.f1_difference is not None and incumbent.clearly_worse:
        low, high = incumbent.interval
        lacking.append(
            f"F1 is {-incumbent.f1_difference:.3f} below that of the promoted version "
            f"{incumbent.version} (95 % interval {-high:.3f} to {-low:.3f})"
        )
    sure = (how_sure(report),) if how_sure(report) else ()
    return Refusal(
        headline=" and ".join(lacking),
        points=(*points, *_with_second(report), *ways_on(report), *sure, *where_it_fails(report)),
    )


def _with_second(report: Report) -> tuple[str, ...]:
    """How near a cascade comes that does not reach the gate either, in words; nothing where there is none."""
    cascade = report.cascade
    if cascade is None or not cascade.kept or cascade.passes:
        return ()
    precision, recall = cascade.holdout.precision, cascade.holdout.recall
    if precision is None or recall is None:
        return ()
    return (
        f"student and {cascade.second} together reach precision {precision:.3f} and recall {recall:.3f}; a "
        f"cascade.agreement above {cascade.wanted:g} leaves more rows to the {cascade.second}",
    )


def ways_on(report: Report) -> tuple[str, ...]:
    """What would help a student that was refused, in words, what helps most first.

    Args:
        report: the version's.

    Returns:
        A part of a sentence each; none where the run's own evidence tells of nothing.
    """
    words = ["what helps most is", *["what helps, too, is"] * len(report.gate.advice)]
    return tuple(f"{word} {way}" for word, way in zip(words, report.gate.advice, strict=False))


def how_sure(report: Report) -> str:
    """How far chance has a part in the verdict, in words; empty where the report does not tell.

    Args:
        report: the version's.
    """
    intervals, sure = report.holdout_intervals, report.gate.sure
    if sure is None or not {"precision", "recall"} <= intervals.keys():
        return ""
    spans = ", ".join(
        "{} {:.3f} to {:.3f}".format(name, *intervals[name]) for name in ("precision", "recall")
    )
    return f"of holdouts drawn again {sure:.0%} give the same verdict (95 % intervals: {spans})"


def shortfall(report: Report | Mapping[str, Any]) -> str:
    """``refusal`` as one part of a sentence, as report.json keeps it; empty where nothing is lacking.

    Args:
        report: as of ``refusal``.

    Raises:
        ArtifactError: a mapping that is no report.
    """
    return refusal(report).text


def without_rows(report: Report) -> str:
    """Which classes the holdout never had, in words; empty where it had all.

    Args:
        report: the version's.
    """
    return f"{_without_rows(report.gate.absent)}; {_TO_MEASURE}" if report.gate.absent else ""


def _without_rows(absent: Sequence[str]) -> str:
    some = ", ".join(absent[:_NAMED]) + (f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else "")
    return f"the holdout has no rows of the {'class' if len(absent) == 1 else 'classes'} {some}"


def where_it_fails(report: Report) -> tuple[str, ...]:
    """The clusters and pairs of the errors of a student that falls short of its gate, in words.

    Args:
        report: the version's.

    Returns:
        A part of a sentence each; none where there is nothing to name.
    """
    precision, recall = report.holdout.precision, report.holdout.recall
    imprecise = precision is not None and precision < report.gate.precision
    incomplete = recall is not None and recall < report.gate.recall
    missed = [cluster for cluster in report.clusters if cluster.errors]
    false = [cluster for cluster in report.false_clusters if cluster.errors]
    where = []
    if report.pairs and (imprecise or incomplete):
        listed = ", ".join(
            f'{pair.teacher} for {pair.student} ({pair.rows} of {pair.of}, like "{_short(pair.examples[0])}")'
            for pair in report.pairs[:_NAMED]
        )
        where.append(f"most often it mistakes {listed}")
    if imprecise and false:
        where.append(f"most are called wrongly among texts like {_named(false, 'called wrongly')}")
    if incomplete and missed:
        where.append(f"most are missed among texts like {_named(missed, 'missed')}")
    return tuple(where)


def _named(clusters: Sequence[Cluster], what: str) -> str:
    return ", ".join(
        f'"{_short(cluster.examples[0])}" ({cluster.errors} of {cluster.rows} '
        f"{what}{'' if cluster.class_name is None else f' as {cluster.class_name}'})"
        for cluster in clusters[:_NAMED]
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
