"""The gate: whether a candidate may stand for its teacher, and whether it may follow the incumbent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pingti.errors import ArtifactError, NotFoundError, UnavailableError
from pingti.students import AnyStudent, load_student
from pingti.workspace.definition import GateSection
from pingti.workspace.registry import TaskEntry
from pingti.workspace.report_parts import Comparison, Figures
from replacement.evaluation import bootstrap
from replacement.evaluation.metrics import Classes, Measure, decide, measure, stored


def compare(
    version: int,
    reference: Classes,
    candidate: Classes,
    incumbent: Classes,
    classes: int,
    rng: np.random.Generator,
) -> Comparison:
    """Hold a candidate's decisions beside those of the promoted version.

    Args:
        version: the promoted one.
        reference: (n,), the teacher's classes.
        candidate: (n,), the candidate's.
        incumbent: (n,), those of the promoted version.
        classes: how many classes there are.
        rng: draws the rows of the bootstrap, the same for both.

    Returns:
        The comparison.
    """
    mine, theirs = bootstrap.resampled(reference, [candidate, incumbent], classes, rng)
    held = stored(measure(reference, incumbent, classes), classes)
    reached = stored(measure(reference, candidate, classes), classes)
    comparable = held["f1"] is not None and reached["f1"] is not None
    f1 = bootstrap.FIGURES.index("f1")
    return Comparison(
        version=version,
        holdout=Figures(**held),
        f1_difference=reached["f1"] - held["f1"] if comparable else None,
        interval=bootstrap.interval(mine[:, f1] - theirs[:, f1]),
    )


def against_incumbent(
    incumbent: AnyStudent | None,
    texts: Sequence[str],
    reference: Classes,
    decided: Classes,
    rng: np.random.Generator,
) -> Comparison | None:
    """Hold a candidate beside the student that is promoted now.

    Args:
        incumbent: the promoted student, if there is one.
        texts: n texts, which it is asked about.
        reference: (n,), the teacher's classes.
        decided: (n,), the candidate's.
        rng: as in ``compare``.

    Returns:
        The comparison; None where there is no incumbent.
    """
    if incumbent is None:
        return None
    theirs = decide(incumbent.score(texts), incumbent.metadata["thresholds"].get("default"))
    return compare(incumbent.metadata["version"], reference, decided, theirs, len(incumbent.classes), rng)


def promoted(entry: TaskEntry) -> AnyStudent | None:
    """The student that is promoted now, if there is one that can be used here.

    Args:
        entry: the task.

    Returns:
        The student; None where there is none, it cannot be read (``unread``), or it answers another question.
    """
    student, _ = _read_promoted(entry)
    return student if student is not None and student.classes == entry.definition.classes else None


def unread(entry: TaskEntry) -> str:
    """Why a run goes on without the promoted version although there is one; empty where it does not."""
    return _read_promoted(entry)[1]


def _read_promoted(entry: TaskEntry) -> tuple[AnyStudent | None, str]:
    version = entry.current()
    if version is None:
        return None, ""
    try:
        return load_student(entry.student_folder(version)), ""
    except (NotFoundError, ArtifactError, UnavailableError) as error:
        return (
            None,
            f"version {version} is promoted but cannot be read, so nothing was compared with it: {error}",
        )


def sureness(
    gate: GateSection, reference: Classes, decided: Classes, classes: int, rng: np.random.Generator
) -> float:
    """How sure it is that a student reaches its gate, or that it does not.

    Args:
        gate: what is asked of it.
        reference: (n,), the teacher's classes on the held-out rows.
        decided: (n,), the student's.
        classes: how many classes there are.
        rng: draws the rows of the bootstrap.

    Returns:
        The share of holdouts, drawn again from these rows, on which precision and recall give the same
        verdict.
    """
    (drawn,) = bootstrap.resampled(reference, [decided], classes, rng)
    reached = (drawn[:, 0] >= gate.precision) & (drawn[:, 1] >= gate.recall)
    passes = measure(reference, decided, classes).passes(gate)
    return round(float((reached == passes).mean()), 3)


def verdict(
    gate: GateSection,
    holdout: Measure,
    comparison: Comparison | None,
    *,
    usable: bool,
    absent: Sequence[str] = (),
    cascade_passes: bool = False,
) -> dict[str, Any]:
    """Judge a candidate.

    Jobs that name no operating point get the default one: promoted without it, a version would answer none
    of them.

    Args:
        gate: what is asked of it.
        holdout: what it reaches on the held-out rows.
        comparison: how it does beside the incumbent, if there is one.
        usable: whether the default operating point can be had.
        absent: classes that the held-out rows never had.
        cascade_passes: whether student and teacher together reach precision and recall.

    Returns:
        What the report says of the gate; ``passed`` is the verdict.
    """
    alone = holdout.passes(gate)
    return {
        "precision": gate.precision,
        "recall": gate.recall,
        "shortfall": list(holdout.shortfall(gate)),
        "incumbent": None if comparison is None else comparison.stored(),
        "usable": usable,
        "absent": list(absent),
        "absent_allowed": gate.unmeasured == "allow",
        "passed": usable
        and not (absent and gate.unmeasured == "refuse")
        and (alone or cascade_passes)
        and not (comparison is not None and comparison.clearly_worse),
        **({"by": "cascade"} if cascade_passes and not alone else {}),
    }
