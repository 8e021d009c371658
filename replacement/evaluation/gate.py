"""The gate: whether a candidate may stand for its teacher, and whether it may follow the incumbent.

Intervals are bootstrap percentiles (Efron and Tibshirani 1993, section 13.3) over the holdout's rows. Rows
that agree in reference and decisions are exchangeable, so the counts of such rows are drawn instead of the
rows: the same distribution, at a cost that does not grow with the holdout.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pingti.errors import ArtifactError, NotFoundError
from pingti.workspace.definition import GateSection
from pingti.workspace.registry import TaskEntry
from replacement.evaluation import bootstrap
from replacement.evaluation.metrics import Classes, Measure, decide, measure
from textcnn import Student

if TYPE_CHECKING:  # it brings FAISS along, which a service does without
    pass


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A candidate beside the version that is promoted now, on the same rows."""

    version: int
    """The incumbent's."""
    holdout: Measure
    """The incumbent's."""
    f1_difference: float
    """Candidate less incumbent."""
    interval: bootstrap.Interval
    """Of the difference, paired."""

    @property
    def clearly_worse(self) -> bool:
        """Whether the candidate's F1 is below the incumbent's beyond chance."""
        return self.interval[1] < 0.0


def compare(
    version: int,
    gold: Classes,
    candidate: Classes,
    incumbent: Classes,
    classes: int,
    rng: np.random.Generator,
) -> Comparison:
    """The candidate's decisions (n,) beside those (n,) of the promoted ``version``."""
    mine, theirs = bootstrap.resampled(gold, [candidate, incumbent], classes, rng)
    held = measure(gold, incumbent, classes)
    return Comparison(
        version=version,
        holdout=held,
        f1_difference=measure(gold, candidate, classes).f1 - held.f1,
        interval=bootstrap.interval(mine[:, 2] - theirs[:, 2]),
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
