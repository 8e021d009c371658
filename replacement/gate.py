"""The gate: whether a candidate may stand for its teacher, and whether it may follow the incumbent.

Intervals are bootstrap percentiles (Efron and Tibshirani 1993, section 13.3) over the holdout's rows. Rows
that agree in reference and decisions are exchangeable, so the counts of such rows are drawn instead of the
rows: the same distribution, at a cost that does not grow with the holdout.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError, NotFoundError
from replacement import faults
from replacement.definition import GateSection
from replacement.registry import TaskEntry
from replacement.thresholds import Classes, Measure, decide, measure
from textcnn import Student

if TYPE_CHECKING:  # it brings FAISS along, which a service does without
    from replacement.outcome import Round

_SAMPLES = 2000
_LEVEL = 0.95
_IDLE = 3  # rounds without a higher F1 on the calibration rows, after which the loop ends
REACHED = "the gate is reached"
FIGURES = ("precision", "recall", "f1")

Interval = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A candidate beside the version that is promoted now, on the same rows."""

    version: int
    """The incumbent's."""
    holdout: Measure
    """The incumbent's."""
    f1_difference: float
    """Candidate less incumbent."""
    interval: Interval
    """Of the difference, paired."""

    @property
    def clearly_worse(self) -> bool:
        """Whether the candidate's F1 is below the incumbent's beyond chance."""
        return self.interval[1] < 0.0


def intervals(gold: Classes, decided: Classes, classes: int, rng: np.random.Generator) -> dict[str, Interval]:
    """95 % intervals of precision, recall and F1 of decisions (n,) against the reference (n,)."""
    figures = _resampled(gold, [decided], classes, rng)[0]
    return {name: _interval(figures[:, column]) for column, name in enumerate(FIGURES)}


def compare(
    version: int,
    gold: Classes,
    candidate: Classes,
    incumbent: Classes,
    classes: int,
    rng: np.random.Generator,
) -> Comparison:
    """The candidate's decisions (n,) beside those (n,) of the promoted ``version``."""
    mine, theirs = _resampled(gold, [candidate, incumbent], classes, rng)
    held = measure(gold, incumbent, classes)
    return Comparison(
        version=version,
        holdout=held,
        f1_difference=measure(gold, candidate, classes).f1 - held.f1,
        interval=_interval(mine[:, 2] - theirs[:, 2]),
    )


def against_incumbent(
    incumbent: Student | None,
    texts: Sequence[str],
    gold: Classes,
    decided: Classes,
    rng: np.random.Generator,
) -> Comparison | None:
    """``compare`` with ``promoted``'s student, asked about ``texts``; None where there is none."""
    if incumbent is None:
        return None
    theirs = decide(incumbent.score(texts), incumbent.metadata["thresholds"].get("default"))
    return compare(incumbent.metadata["version"], gold, decided, theirs, len(incumbent.classes), rng)


def promoted(entry: TaskEntry) -> Student | None:
    """The student that is promoted now; None where there is none, it cannot be read (``unread``), or it
    answers another question."""
    found, _ = _read_promoted(entry)
    return found if found is not None and found.classes == entry.definition.classes else None


def unread(entry: TaskEntry) -> str:
    """Why a run goes on without the promoted version although there is one; empty where it does not."""
    return _read_promoted(entry)[1]


def _read_promoted(entry: TaskEntry) -> tuple[Student | None, str]:
    version = entry.current()
    if version is None:
        return None, ""
    try:
        return Student.load(entry.student_folder(version)), ""
    except (NotFoundError, ArtifactError) as error:
        return (
            None,
            f"version {version} is promoted but cannot be read, so nothing was compared with it: {error}",
        )


def stop(gate: GateSection, rounds: "Sequence[Round]", *, usable: bool) -> str:
    """Why no round follows these, or an empty string; whether the last one's default scene can be had."""
    last = rounds[-1]
    if usable and last.holdout.passes(gate) and last.calibration.passes(gate):
        return REACHED
    if len(rounds) >= gate.rounds:
        return f"the limit of {gate.rounds} rounds is reached"
    reached = [each.calibration.f1 for each in rounds]
    if len(reached) > _IDLE and max(reached[-_IDLE:]) <= max(reached[:-_IDLE]):
        return f"{_IDLE} rounds in a row brought nothing"
    return ""


def verdict(
    gate: GateSection, holdout: Measure, comparison: Comparison | None, *, usable: bool
) -> dict[str, Any]:
    """What the report says of the gate; ``passed`` is the verdict. ``usable``: the default scene can be had.

    Jobs that name no scene get the default one: promoted without it, a version would answer none of them.
    """
    return {
        "precision": gate.precision,
        "recall": gate.recall,
        "shortfall": list(holdout.shortfall(gate)),
        "incumbent": None if comparison is None else asdict(comparison),
        "usable": usable,
        "passed": usable
        and holdout.passes(gate)
        and not (comparison is not None and comparison.clearly_worse),
    }


def shortfall(report: dict[str, Any]) -> str:
    """What a refused student lacks, in words."""
    gate, holdout = report["gate"], report["holdout"]
    lacking = [
        f"{name} {holdout[name]:.3f} is below {gate[name]:.3f}"
        for name in ("precision", "recall")
        if holdout[name] < gate[name]
    ]
    if not gate.get("usable", True):
        lacking.append(f"the scene default cannot be had: {report['scenes']['default']['says']}")
    incumbent = gate.get("incumbent")
    if incumbent is not None and incumbent["interval"][1] < 0.0:
        low, high = incumbent["interval"]
        lacking.append(
            f"F1 is {-incumbent['f1_difference']:.3f} below that of the promoted version "
            f"{incumbent['version']} (95 % interval {-high:.3f} to {-low:.3f})"
        )
    return " and ".join(lacking) + faults.say(report)


def _resampled(
    gold: Classes, decisions: list[Classes], classes: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Precision, recall and F1, (samples, 3), of each of ``decisions`` on rows drawn with replacement."""
    cells, counts = np.unique(np.stack([gold, *decisions]), axis=1, return_counts=True)
    draws = rng.multinomial(len(gold), counts / len(gold), size=_SAMPLES).astype(np.float64)
    one_hot = np.eye(classes)
    named = one_hot[cells[0]]
    found = []
    for decided in cells[1:]:
        called = one_hot[decided]
        hits = draws @ (named * called)
        precisions = hits / np.maximum(draws @ called, 1.0)
        recalls = hits / np.maximum(draws @ named, 1.0)
        f1s = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
        # As in ``measure``: the second of two classes, or the mean over those that the rows drawn name.
        counted = np.array([[False, True]]) if classes == 2 else draws @ named > 0
        figures = (precisions, recalls, f1s)
        found.append(np.stack([(each * counted).sum(1) / counted.sum(1) for each in figures], axis=1))
    return found


def _interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
