"""The parts of a version's report: what stands in report.json below its keys, as typed values.

Names here are the field's words. Keys on disk are older and stay as they are: where the two differ, ``key``
names the key.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Interval = tuple[float, float]
"""Lower and upper end of a 95 % interval."""


def key(name: str) -> Any:
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
    margin: Annotated[float, key("lead")]
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
    yields: Annotated[dict[str, Yield], key("brought")] = {}
    """What those turned out to be, by the same reason."""
    boundary: int = 0
    """Rows left out so far because the teacher itself is unsure; 0 where they are learned from."""
    hard_negatives: Annotated[int, key("competing")] = 0
    """Hard negatives among the rows trained on."""
    threshold: float | None = None
    validation: Annotated[Figures | None, key("calibration")] = None
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
    validation: Annotated[Figures | None, key("calibration")] = None
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
    wanted: Annotated[float, key("agreement")]
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

    class_name: Annotated[str, key("class")]
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

    class_name: Annotated[str | None, key("class")] = None
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

    errors: Annotated[int, key("missed")]


class FalseCluster(Cluster):
    """Texts that the student puts into the class; errors are those that the teacher does not."""

    errors: Annotated[int, key("false")]


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

    class_name: Annotated[str, key("class")]
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
