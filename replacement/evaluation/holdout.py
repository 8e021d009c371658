"""What the held-out rows tell of a student: how sure its figures are, and where it fails."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.corpus.normalize import keys_of
from pingti.corpus.values import iso_date
from pingti.students import AnyStudent
from pingti.workspace.report_parts import Interval
from replacement.answers import Answers
from replacement.evaluation import disagreement, error_analysis
from replacement.evaluation.baseline import Baseline
from replacement.evaluation.bootstrap import intervals
from replacement.evaluation.metrics import decide, measure, stored
from replacement.evaluation.operating_points import curve

_POINTS = 60  # of the precision-recall curve
_BINS = 10
_STRETCHES = 12  # of days, in which the rows asked about are counted
_RANKED = 20  # rows of the highest loss, and of the clearest disagreement


@dataclass(frozen=True, kw_only=True, eq=False)
class Learned:
    """m rows that the teacher was asked about to learn from, in the order of asking."""

    rows: NDArray[np.int64]
    """(m,): rows of the corpus; those behind its end are labelled texts."""
    rounds: list[int]
    """Rows that each round added."""
    days: NDArray[np.int64] | None
    """Days since 1970 of the corpus's rows, where it has times."""
    targets: NDArray[np.float32]
    """(m, classes): the teacher's probabilities."""
    scores: NDArray[np.float32]
    """(m, classes): the student's."""
    trained: NDArray[np.bool_]
    """(m,): those that the student was trained on; not those of rounds after its own."""
    texts: Callable[[NDArray[np.int64]], list[str]]
    """Texts of rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """n held-out rows, the teacher's answers for them, and the student's."""

    texts: list[str]
    answers: Answers
    vectors: NDArray[np.float32]
    """(n, k): the teacher's, or the student's features where it has none."""
    scores: NDArray[np.float32]
    """(n, classes): the student's probabilities."""
    threshold: float | None
    days: NDArray[np.int64] | None
    """(n,): days since 1970 (UTC), where the corpus has times."""
    before: NDArray[np.int64]
    """(n,): the classes that the first round's student gave."""
    incumbent: AnyStudent | None
    """The student that is promoted now, if there is one of the same classes."""
    true_labels: Mapping[str, int]
    """True class number of texts by their normalised form, as far as they are known."""
    baseline: Baseline | None = None
    """What a trivial model decides, to be held against true labels, too."""

    @property
    def decided(self) -> NDArray[np.int64]:
        """(n,): the student's classes."""
        return decide(self.scores, self.threshold)


def describe(held: Held, classes: tuple[str, ...], rng: np.random.Generator) -> dict[str, Any]:
    """Describe a student on the held-out rows.

    Args:
        held: the rows.
        classes: names of the classes.
        rng: draws again for intervals, and starts clusters.

    Returns:
        The report's keys from ``holdout_intervals`` to ``hardest``.
    """
    teacher, student = held.answers.decided, held.decided
    return {
        "holdout_intervals": _listed(intervals(teacher, student, len(classes), rng)),
        "curve": _curve(teacher > 0, held.scores[:, 1]) if len(classes) == 2 else [],
        "curves": [
            {"class": name, "points": _curve(teacher == number, held.scores[:, number])}
            for number, name in enumerate(classes if len(classes) > 2 else ())
            if (teacher == number).any()
        ],
        "calibration": _calibration(held),
        **_days(held, len(classes)),
        "truth": against_true_labels(held, len(classes), rng),
        **error_analysis.describe(held.texts, held.vectors, teacher, student, held.before, classes, rng),
        "hardest": _hardest(held, classes, rng),
    }


def of_learned(learned: Learned, classes: tuple[str, ...]) -> dict[str, Any]:
    """Describe the rows learned from: of which days they are, and which the student fits worst.

    Args:
        learned: the rows.
        classes: names of the classes.

    Returns:
        The report's keys ``asked_by_day`` and ``losses``.
    """
    return {"asked_by_day": _asked_by_day(learned), "losses": _losses(learned, classes)}


def _asked_by_day(learned: Learned) -> list[dict[str, Any]]:
    """Rows by stretches of days, and by the round that asked for them."""
    inside = np.flatnonzero(learned.rows < (0 if learned.days is None else len(learned.days)))
    if learned.days is None or len(inside) == 0:
        return []
    round_of = np.repeat(np.arange(len(learned.rounds)), learned.rounds)[inside]
    day_of = learned.days[learned.rows[inside]]
    edges = np.linspace(day_of.min(), day_of.max() + 1, min(_STRETCHES, int(np.ptp(day_of)) + 1) + 1)
    edges = edges.astype(np.int64)
    stretches = []
    for first, end in itertools.pairwise(edges.tolist()):
        counts = np.bincount(round_of[(day_of >= first) & (day_of < end)], minlength=len(learned.rounds))
        stretches.append({"first": iso_date(first), "last": iso_date(end - 1), "rounds": counts.tolist()})
    return stretches


def _losses(learned: Learned, classes: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows with the highest loss: what the student cannot learn, or the teacher has wrong."""
    loss = -(learned.targets * np.log(np.maximum(learned.scores, 1e-7))).sum(axis=1)
    loss[~learned.trained] = -np.inf
    order = np.argsort(-loss, kind="stable")[: min(_RANKED, int(learned.trained.sum()))]
    texts = learned.texts(learned.rows[order])
    return [
        {
            "text": text,
            "loss": round(float(loss[row]), 4),
            "teacher": classes[int(learned.targets[row].argmax())],
            "teacher_score": round(float(learned.targets[row].max()), 4),
            "student": classes[int(learned.scores[row].argmax())],
            "student_score": round(float(learned.scores[row].max()), 4),
        }
        for row, text in zip(order.tolist(), texts, strict=True)
    ]


def against_true_labels(held: Held, classes: int, rng: np.random.Generator) -> dict[str, Any] | None:
    """Hold student, teacher, incumbent and baseline against true labels.

    Args:
        held: the rows, of which some have true labels.
        classes: how many classes there are.
        rng: draws again for intervals.

    Returns:
        By who decided, the figures with their 95 % intervals; None where no row has a true label.
    """
    keys = keys_of(held.texts)
    rows = np.array([row for row, key in enumerate(keys) if key in held.true_labels], np.int64)
    if len(rows) == 0:
        return None
    true_labels = np.array([held.true_labels[keys[row]] for row in rows.tolist()], np.int64)
    texts = [held.texts[row] for row in rows.tolist()]
    decisions = {"student": held.decided[rows], "teacher": held.answers.decided[rows]}
    if held.incumbent is not None:
        scores = held.incumbent.score(texts)
        decisions["incumbent"] = decide(scores, held.incumbent.metadata["thresholds"].get("default"))
    if held.baseline is not None and (trivial := held.baseline.decide(texts, true_labels, rng)) is not None:
        decisions["baseline"] = trivial
    return {
        who: {
            **stored(measure(true_labels, decided, classes), classes),
            "intervals": _listed(intervals(true_labels, decided, classes, rng)),
        }
        for who, decided in decisions.items()
    }


def _curve(positive: NDArray[np.bool_], scores: NDArray[np.float32]) -> list[dict[str, float]]:
    """Points of the precision-recall curve of scores (n,), evenly over recall."""
    points = curve(positive, scores)
    wanted = np.linspace(points.recalls[-1], points.recalls[0], _POINTS)
    # Recall falls as the threshold rises.
    places = np.unique(np.searchsorted(-points.recalls, -wanted))
    places = places[places < len(points.thresholds)]
    columns = (points.thresholds, points.precisions, points.recalls)
    return [
        {"threshold": round(float(t), 5), "precision": round(float(p), 4), "recall": round(float(r), 4)}
        for t, p, r in zip(*(column[places] for column in columns), strict=True)
    ]


def _calibration(held: Held) -> list[dict[str, float]]:
    """Bins of the student's score, and how often the teacher says so (Guo et al. 2017, section 2)."""
    if held.scores.shape[1] == 2:
        scores, agrees = held.scores[:, 1], held.answers.decided > 0
    else:
        scores, agrees = held.scores.max(axis=1), held.answers.decided == held.scores.argmax(axis=1)
    bin_of = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    bins = []
    for number in range(_BINS):
        inside = bin_of == number
        if inside.any():
            bins.append(
                {
                    "rows": int(inside.sum()),
                    "score": round(float(scores[inside].mean()), 4),
                    "share": round(float(agrees[inside].mean()), 4),
                }
            )
    return bins


def _days(held: Held, classes: int) -> dict[str, Any]:
    """The student's measure day by day, and the worst of the days."""
    if held.days is None:
        return {"days": [], "worst_day": None}
    teacher, student = held.answers.decided, held.decided
    days = []
    for day in np.unique(held.days).tolist():
        inside = held.days == day
        days.append(
            {"day": iso_date(day), **stored(measure(teacher[inside], student[inside], classes), classes)}
        )
    telling = [day for day in days if day["f1"] is not None]
    worst = min(telling, key=lambda day: float(day["f1"]), default=None)
    return {"days": days, "worst_day": worst and worst["day"]}


def _hardest(held: Held, classes: tuple[str, ...], rng: np.random.Generator) -> list[dict[str, Any]]:
    """The texts on which teacher and student disagree most clearly."""
    teacher, student = held.answers.decided, held.decided
    marked = np.flatnonzero(
        disagreement.hard_negatives(held.answers.probabilities, held.scores, held.threshold, rng=rng)
    )
    distance = np.abs(held.answers.probabilities - held.scores).max(axis=1)
    order = marked[np.argsort(-distance[marked], kind="stable")][:_RANKED]
    return [
        {
            "text": held.texts[row],
            "teacher": classes[int(teacher[row])],
            "student": classes[int(student[row])],
            "difference": round(float(distance[row]), 4),
        }
        for row in order.tolist()
    ]


def _listed(spans: Mapping[str, Interval]) -> dict[str, list[float]]:
    """Intervals as JSON has them."""
    return {name: list(span) for name, span in spans.items()}
