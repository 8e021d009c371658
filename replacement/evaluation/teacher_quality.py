"""Whether a teacher is worth imitating: how often it decides as people do, beside what is trivial."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.report_parts import TeacherQuality
from replacement.evaluation.baseline import LEAST_ROWS, Baseline

_LABELLED_ROWS = 160  # of which 40 can be kept aside


def of_rows_kept_aside(folder: Path) -> TeacherQuality | None:
    """What was measured when a teacher was fine-tuned.

    Args:
        folder: of the teacher's model.

    Returns:
        None of a model that was not fine-tuned here, or on too few rows.
    """
    from teacher.quality import Quality  # the extra "teacher" only where a teacher is asked

    kept = Quality.read(folder)
    if kept is None:
        return None
    return TeacherQuality(
        rows=kept.rows,
        teacher=kept.teacher,
        ngram=kept.ngram,
        frozen=kept.frozen,
        measured_on="labelled rows kept aside from fine-tuning",
    )


def of_true_labels(against_true: Mapping[str, Any] | None) -> TeacherQuality | None:
    """What true labels tell.

    Args:
        against_true: figures by who decided: see ``replacement.evaluation.holdout.against_true_labels``.

    Returns:
        None where there are no true labels, or too few.
    """
    if against_true is None or "baseline" not in against_true:
        return None
    own, trivial = against_true["teacher"], against_true["baseline"]
    return TeacherQuality(
        rows=own["rows"],
        teacher=own["accuracy"],
        ngram=trivial["accuracy"],
        measured_on="rows of gate.labels",
    )


def of_labelled_rows(
    texts: Sequence[str],
    true: NDArray[np.int64],
    decided: NDArray[np.int64],
    baseline: Baseline,
    rng: np.random.Generator,
) -> TeacherQuality | None:
    """What the labelled rows tell of a model that was not fine-tuned here.

    Args:
        texts: n of them.
        true: int64 (n,), class numbers.
        decided: int64 (n,), the teacher's class numbers.
        baseline: decides the same rows.
        rng: of the baseline.

    Returns:
        None where they are too few.
    """
    trivial = baseline.decide(texts, true, rng)
    if trivial is None:
        return None
    return TeacherQuality(
        rows=len(true),
        teacher=round(float((decided == true).mean()), 4),
        ngram=round(float((trivial == true).mean()), 4),
        measured_on="rows of teacher.labels, which the model may have been trained on",
    )


def notes_of_baseline(against_true: Sequence[Mapping[str, Any] | None]) -> tuple[str, ...]:
    """Why no trivial model stands beside student and teacher, a sentence each.

    Args:
        against_true: figures by who decided, or None, of each set of rows with true labels.
    """
    return tuple(
        f"gate.labels: {figures['teacher']['rows']} rows with true labels are too few for an n-gram model to "
        f"learn from ({LEAST_ROWS} are needed), so that no baseline stands beside student and teacher; with "
        "teacher.labels it learns from those"
        for figures in against_true
        if figures is not None and "baseline" not in figures
    )


def warnings(all_figures: Sequence[TeacherQuality], fine_tuned_on: int | None) -> tuple[str, ...]:
    """What a person should know of a teacher, a sentence each.

    Args:
        all_figures: all that is known of its quality.
        fine_tuned_on: labelled rows that it was fine-tuned on; None where it was not.
    """
    sentences = [
        f"WARNING: the teacher is worse than a trivial model: {figures.says}; more labelled rows or another "
        "model would make a better teacher, and a student is hardly better than its teacher"
        for figures in all_figures
        if figures.beaten
    ]
    if fine_tuned_on is not None and not all_figures:
        sentences.append(
            f"teacher: how often it is right was not measured: {fine_tuned_on} labelled rows are too few to "
            f"keep some aside ({_LABELLED_ROWS} are needed), and gate.labels names no true labels"
        )
    return tuple(sentences)
