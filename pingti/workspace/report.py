"""The report of a version: what report.json holds, as typed values, and what a refusal says of it.

Names here are the field's words. Keys on disk are older and stay as they are: where the two differ, ``_key``
names the key.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pingti.errors import ArtifactError, Fault, json_pointer

FORMAT = 1
"""The newest format of a report that this Pingti reads, and the one that it writes."""

_NAMED = 3  # clusters or pairs in a refusal
_LONGEST = 60  # characters of a text in a refusal
_TO_MEASURE = (
    "nothing is known of a class without rows: gate.holdout_days, or gate.holdout_fraction, makes the "
    'holdout longer; gate.unmeasured = "allow" does without'
)

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


def _key(name: str) -> Any:
    """The key on disk of a field that has another name."""
    return Field(validation_alias=name, serialization_alias=name)


class Stored(BaseModel):
    """A part of a report. Keys that this version does not know are kept; numbers are finite."""

    model_config = ConfigDict(
        frozen=True, extra="allow", validate_by_name=True, validate_by_alias=True, allow_inf_nan=False
    )

    def stored(self) -> dict[str, Any]:
        """What report.json holds of it: keys as on disk, and only those that were given."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Figures(Stored):
    """How far decisions agree with a reference; None where no row could tell.

    For more than two classes: means over the classes.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    accuracy: float | None
    """Share of the rows decided as the reference decides."""
    rows: int
    positives: int
    """Rows that the reference puts into the second class; for more classes: not into the first."""


class Comparison(Stored):
    """A candidate beside the version that is promoted now, on the same rows."""

    version: int
    """The incumbent's."""
    holdout: Figures
    """The incumbent's."""
    f1_difference: float | None
    """Candidate less incumbent; None where no row could tell."""
    interval: Interval
    """Of the difference, paired."""

    @property
    def clearly_worse(self) -> bool:
        """Whether the candidate's F1 is below the incumbent's beyond chance."""
        return self.f1_difference is not None and self.interval[1] < 0.0


class Gate(Stored):
    """What was asked of the student, and whether it may replace its teacher."""

    precision: float
    recall: float
    shortfall: tuple[float, float] = (0.0, 0.0)
    """How much precision and recall lack."""
    incumbent: Comparison | None = None
    usable: bool = True
    """Whether the default operating point can be had."""
    passed: bool
    unread: str = ""
    """Why the promoted version was not compared with, although there is one."""
    says: str = ""
    """What the student lacks, in words; empty where it passed."""
    absent: tuple[str, ...] = ()
    """Classes that the holdout never had: nothing is known of them."""
    absent_allowed: bool = False
    """Whether the definition lets a version pass all the same."""
    by: Literal["student", "cascade"] = "student"
    """Who reached it, where it passed: the student alone, or with its teacher."""
    sure: float | None = None
    """Share of holdouts, drawn again from the same rows, on which precision and recall give this verdict."""
    advice: tuple[str, ...] = ()
    """What would help, by the run's own evidence, what helps most first; empty where it passed."""


class Yield(Stored):
    """What the rows that were chosen for one reason turned out to be, once the teacher was asked."""

    rows: int
    positives: int
    errors: int
    """Rows that the student had decided otherwise."""
    margin: Annotated[float, _key("lead")]
    """The teacher's mean margin."""


class Coverage(Stored):
    """A cluster of the teacher's [CLS] vectors, and how well the student does on unseen rows of it."""

    cluster: int
    members: int
    measured: int
    covered: float


class Round(Stored):
    """One turn of training, measuring and choosing rows."""

    round: int
    rows: int = 0
    """Rows that the student was trained on."""
    asked: int = 0
    """Rows that the teacher was asked about so far."""
    added: dict[str, int] = {}
    """Rows that this round added, by the reason for which they were chosen."""
    yields: Annotated[dict[str, Yield], _key("brought")] = {}
    """What those turned out to be, by the same reason."""
    boundary: int = 0
    """Rows left out so far because the teacher itself is unsure; 0 where they are learned from."""
    hard_negatives: Annotated[int, _key("competing")] = 0
    """Hard negatives among the rows trained on."""
    threshold: float | None = None
    validation: Annotated[Figures | None, _key("calibration")] = None
    """On the validation rows."""
    holdout: Figures
    coverage: tuple[Coverage, ...] = ()


class Stretch(Stored):
    """What a threshold reaches on the validation rows of some days."""

    first: str
    """ISO 8601."""
    last: str
    measure: Figures
    threshold: float | None = None
    """The one that these rows alone would choose, where they can tell."""


class OperatingPoint(Stored):
    """A named threshold of the task, and what it reaches."""

    threshold: float | None = None
    """None: the likeliest class is taken, or the operating point cannot be had."""
    says: str = ""
    """What it reaches on the validation rows, or how near it gets."""
    validation: Annotated[Figures | None, _key("calibration")] = None
    """On the rows that chose it."""
    holdout: Figures | None = None
    """None where the operating point cannot be had."""
    intervals: dict[str, Interval] = {}
    """Of the threshold, precision, recall and F1, on the validation rows."""
    days: tuple[Stretch, ...] = ()
    worst: Stretch | None = None


class TeacherQuality(Stored):
    """How often a teacher decides as people do, and how often what is trivial does, on the same rows."""

    rows: int
    teacher: float
    """Share of the rows."""
    ngram: float
    """The same of a linear model of character n-grams that was not trained on the rows."""
    frozen: float | None = None
    """The same of the encoder before fine-tuning, with a linear head, where it was measured."""
    measured_on: str
    """What rows they are."""

    @property
    def beaten(self) -> bool:
        """Whether the n-gram model is better."""
        return self.ngram > self.teacher

    @property
    def says(self) -> str:
        """The same in words: a part of a sentence."""
        frozen = ""
        if self.frozen is not None:
            frozen = f", the encoder before fine-tuning with a linear head {self.frozen:.3f}"
        return (
            f"of {self.rows:,} {self.measured_on} the teacher decides {self.teacher:.3f} right, a linear "
            f"n-gram model {self.ngram:.3f}{frozen}"
        )


class TeacherUse(Stored):
    """Which teacher was asked, and about how many rows."""

    model: str = ""
    fingerprint: str = ""
    max_length: int | None = None
    precision: str | None = None
    map: dict[str, str] = {}
    """The class of each of the teacher's labels."""
    label: str | None = None
    """The output that was asked for, of a model that answers each by itself."""
    decide: Literal["label", "sum"] = "sum"
    """What speaks for a class of several labels; reports that tell nothing of it went by the sum."""
    threshold: float | None = None
    """From which probability on the second class was decided; the likelier class if absent."""
    rows_asked: int = 0
    rows_computed: int = 0
    """Rows that the model really computed in this run; the others were cached."""
    quality: TeacherQuality | None = None
    """Against people's labels, where there are any."""


class Speed(Stored):
    """Texts per second on one core."""

    student: float
    teacher: float


class CascadePoint(Stored):
    """Student and second together, where the second answers a share of the rows."""

    teacher_share: float
    """Of the validation rows; as the next two."""
    agreement: float
    """Share of the rows that are decided as the teacher alone decides."""
    at_least: float
    """Lower bound of ``agreement`` on days to come."""
    holdout: float | None = None
    """Agreement on the held-out rows."""


class Cascade(Stored):
    """The student answers where it is sure, and a second one where it is not."""

    second: str
    """Who that is: "teacher", or "transformer", a student that is part of the version."""
    wanted: Annotated[float, _key("agreement")]
    confidence: float
    """Of ``CascadePoint.at_least``."""
    low: float
    """The student is not sure of scores from here on (of more than two classes, of margins) ..."""
    high: float
    """... and below here."""
    kept: bool
    """Whether the version has the cascade; else its student answers alone."""
    validation: CascadePoint
    """On the rows that chose it."""
    holdout: Figures
    """On the held-out rows."""
    teacher_share: float
    """Share of the held-out rows that the second answers."""
    seconds_per_million: float | None = None
    """For a million texts on one core of the machine that made it, by the rates of student and second."""
    passes: bool = False
    """Whether student and second together reach precision and recall of the gate."""
    says: str = ""
    """What was chosen, and why there is no cascade where there is none."""
    curve: tuple[CascadePoint, ...] = ()
    """The least share of the second first."""


class Rung(Stored):
    """A kind of student, trained on the rows of one run: what it reaches, and what it costs."""

    kind: str
    """As ``student.kind`` of a definition names it."""
    f1: float | None = None
    """Against the teacher; None where it was not trained, or no row could tell. So the next two."""
    precision: float | None = None
    recall: float | None = None
    agreement: float | None = None
    """Share of the rows decided as the teacher decides."""
    texts_per_second: float | None = None
    """On one core of the machine that trained it, from text to probabilities."""
    bytes: int | None = None
    """Of its numbers, as they lie in memory."""
    teacher_share: float = 0.0
    """Share of the rows that the teacher still answers."""
    passes: bool = False
    """Whether it reaches precision and recall of the gate."""
    kept: bool = False
    """Whether it is the version's student."""
    note: str = ""
    """Why it was not trained, in a part of a sentence, or what else is to be known of it."""


class CurvePoint(Stored):
    """A point of a precision-recall curve."""

    threshold: float
    precision: float
    recall: float


class ClassCurve(Stored):
    """The precision-recall curve of one class against the others."""

    class_name: Annotated[str, _key("class")]
    points: tuple[CurvePoint, ...]


class CalibrationBin(Stored):
    """Rows of about the same score: how often the teacher confirms it."""

    rows: int
    score: float
    """Mean score."""
    share: float


class _OfDay(Stored):
    day: str
    """ISO 8601."""


class Day(Figures, _OfDay):
    """The student on the held-out rows of a day."""  # of the bases, the last one's keys come first


class TrueLabelFigures(Figures):
    """Decisions against people's labels."""

    intervals: dict[str, Interval] = {}


class Cluster(Stored):
    """Texts of the holdout that lie near each other, by the teacher's [CLS] vectors."""

    class_name: Annotated[str | None, _key("class")] = None
    """For more than two classes."""
    rows: int
    covered: float
    """Share that the student decides as the teacher does."""
    covered_before: float | None = None
    """The same of the first round's student."""
    errors: int
    examples: tuple[str, ...]


class MissedCluster(Cluster):
    """Texts that the teacher puts into the class; errors are those that the student does not."""

    errors: Annotated[int, _key("missed")]


class FalseCluster(Cluster):
    """Texts that the student puts into the class; errors are those that the teacher does not."""

    errors: Annotated[int, _key("false")]


class ConfusedPair(Stored):
    """A class of the teacher that the student takes for another."""

    teacher: str
    student: str
    rows: int
    of: int
    """Rows of the teacher's class."""
    share: float | None = None
    examples: tuple[str, ...]


class ClassFigures(Stored):
    """One class against the others; None where no row could tell."""

    class_name: Annotated[str, _key("class")]
    precision: float | None
    recall: float | None
    f1: float | None
    rows: int


class Disagreement(Stored):
    """A text on which teacher and student clearly disagree."""

    text: str
    teacher: str
    student: str
    difference: float


class AskedStretch(Stored):
    """Rows learned from of some days, by the round that asked about them."""

    first: str
    """ISO 8601."""
    last: str
    rounds: tuple[int, ...]


class Loss(Stored):
    """A row learned from that the student fits badly."""

    text: str
    loss: float
    """Cross-entropy in nats."""
    teacher: str
    teacher_score: float
    student: str
    student_score: float


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
    created: Annotated[str, _key("made")] = ""
    """ISO 8601."""
    seed: int = 0
    classes: tuple[str, ...] = ()
    subclasses: dict[str, tuple[tuple[str, ...], ...]] = {}
    """By class, the teacher's labels that the student tells apart."""
    teacher: TeacherUse = TeacherUse()
    corpus: dict[str, int] = {}
    """Counts of rows, by what became of them."""
    gate: Gate
    holdout: Figures
    """The student against the teacher, on the held-out rows."""
    rounds: tuple[Round, ...] = ()
    kept_round: int = 0
    stopped: str = ""
    """Why no further round was run."""
    operating_points: Annotated[dict[str, OperatingPoint], _key("scenes")] = {}
    boundary_rows: int = 0
    """Rows that wait for a person."""
    speed: Speed | None = None
    kind: str = "textcnn"
    """Of the student that is kept."""
    ladder: tuple[Rung, ...] = ()
    """The kinds of students that it was chosen from, the TextCNN of the rounds first."""
    cascade: Cascade | None = None
    """Where the definition asks for one."""
    holdout_intervals: dict[str, Interval] = {}
    curve: tuple[CurvePoint, ...] = ()
    """For two classes."""
    curves: tuple[ClassCurve, ...] = ()
    """For more than two classes."""
    calibration: tuple[CalibrationBin, ...] = ()
    """Reliability of the student's probabilities."""
    days: tuple[Day, ...] = ()
    worst_day: str | None = None
    true_labels: Annotated[dict[str, TrueLabelFigures] | None, _key("truth")] = None
    """Student, teacher, incumbent and baseline (a linear n-gram model) against people's labels, where there
    are any."""
    clusters: tuple[MissedCluster, ...] = ()
    false_clusters: tuple[FalseCluster, ...] = ()
    pairs: tuple[ConfusedPair, ...] = ()
    by_class: tuple[ClassFigures, ...] = ()
    hardest: tuple[Disagreement, ...] = ()
    asked_by_day: tuple[AskedStretch, ...] = ()
    losses: tuple[Loss, ...] = ()
    true_labels_apart: Annotated[dict[str, TrueLabelFigures] | None, _key("truth_apart")] = None
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
        points=(*points, *ways_on(report), *sure, *where_it_fails(report)),
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
