"""What the held-out rows tell of a student: how sure its figures are, and where it fails."""

import datetime
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from replacement import acquire, faults
from replacement.gate import intervals
from replacement.gold import Answers
from replacement.thresholds import curve, decide, measure

_POINTS = 60  # of the precision-recall curve
_BINS = 10
_EPOCH = datetime.date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """n held-out rows, what the teacher says of them, and what the student does."""

    texts: list[str]
    answers: Answers
    scores: NDArray[np.float32]
    """(n, classes): the student's probabilities."""
    threshold: float | None
    days: NDArray[np.int64] | None
    """(n,): days since 1970 (UTC), where the corpus has times."""

    @property
    def decided(self) -> NDArray[np.int64]:
        """(n,): the student's classes."""
        return decide(self.scores, self.threshold)


def describe(held: Held, classes: tuple[str, ...], rng: np.random.Generator) -> dict[str, Any]:
    """The report's part on the held-out rows; ``rng`` draws again for intervals and starts clusters."""
    gold, decided = held.answers.decided, held.decided
    return {
        "holdout_intervals": {
            name: list(found) for name, found in intervals(gold, decided, len(classes), rng).items()
        },
        "curve": _curve(held) if len(classes) == 2 else [],
        "calibration": _calibration(held),
        "days": _days(held, len(classes)),
        **faults.describe(held.texts, held.answers.vectors, gold, decided, classes, rng),
        "hardest": _hardest(held, classes, rng),
    }


def _curve(held: Held) -> list[dict[str, float]]:
    """Points of the precision-recall curve, evenly over recall."""
    points = curve(held.answers.decided > 0, held.scores[:, 1])
    wanted = np.linspace(points.recalls[-1], points.recalls[0], _POINTS)
    # Recall falls as the threshold rises.
    found = np.unique(np.searchsorted(-points.recalls, -wanted))
    found = found[found < len(points.thresholds)]
    columns = (points.thresholds, points.precisions, points.recalls)
    return [
        {"threshold": round(float(t), 5), "precision": round(float(p), 4), "recall": round(float(r), 4)}
        for t, p, r in zip(*(column[found] for column in columns), strict=True)
    ]


def _calibration(held: Held) -> list[dict[str, float]]:
    """Bins of the student's score, and how often the teacher says so (Guo et al. 2017, section 2)."""
    if held.scores.shape[1] == 2:
        scores, agrees = held.scores[:, 1], held.answers.decided > 0
    else:
        scores, agrees = held.scores.max(axis=1), held.answers.decided == held.scores.argmax(axis=1)
    bins = np.minimum((scores * _BINS).astype(np.int64), _BINS - 1)
    found = []
    for number in range(_BINS):
        inside = bins == number
        if inside.any():
            found.append(
                {
                    "rows": int(inside.sum()),
                    "score": round(float(scores[inside].mean()), 4),
                    "share": round(float(agrees[inside].mean()), 4),
                }
            )
    return found


def _days(held: Held, classes: int) -> list[dict[str, Any]]:
    """The student's measure day by day."""
    if held.days is None:
        return []
    gold, decided = held.answers.decided, held.decided
    found = []
    for day in np.unique(held.days).tolist():
        inside = held.days == day
        name = (_EPOCH + datetime.timedelta(days=day)).isoformat()
        found.append({"day": name, **asdict(measure(gold[inside], decided[inside], classes))})
    return found


def _hardest(held: Held, classes: tuple[str, ...], rng: np.random.Generator) -> list[dict[str, Any]]:
    """The texts on which teacher and student disagree most clearly."""
    gold, decided = held.answers.decided, held.decided
    marked = np.flatnonzero(acquire.compete(held.answers.probabilities, held.scores, held.threshold, rng=rng))
    distance = np.abs(held.answers.probabilities - held.scores).max(axis=1)
    order = marked[np.argsort(-distance[marked], kind="stable")][:20]
    return [
        {
            "text": held.texts[row],
            "teacher": classes[int(gold[row])],
            "student": classes[int(decided[row])],
            "difference": round(float(distance[row]), 4),
        }
        for row in order.tolist()
    ]
