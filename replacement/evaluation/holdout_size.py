"""Whether the holdout has enough rows of each class for a verdict, told before the budget is spent."""

import math

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import Definition

_ENOUGH = 100
"""Rows of a class: recall near .9 is then known to some .06."""


def note_of_few_rows(definition: Definition, decided: NDArray[np.int64], *, drawn_from: int) -> str:
    """What a small holdout means, and what makes it larger.

    Args:
        definition: has gate and classes.
        decided: int64 (n,): the teacher's class of each row that measures.
        drawn_from: rows that are held out, of which those were drawn.

    Returns:
        A sentence; empty where each class has enough rows, or the rarest has none, of which the gate tells.
    """
    gate, classes = definition.gate, definition.classes
    counts = np.bincount(decided, minlength=len(classes))
    # Of two classes the figures are those of the second.
    rarest = 1 if definition.binary else int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    rows = int(counts[rarest])
    if not 0 < rows < _ENOUGH:
        return ""
    recall = gate.recall
    width = 1.96 * math.sqrt(recall * (1 - recall) / rows)
    times = _ENOUGH / rows
    if drawn_from > len(decided):
        more = (
            f"more of the {drawn_from:,} held-out rows measure with a larger gate.holdout_rows "
            f"({gate.holdout_rows:,} now) and teacher.budget ({definition.teacher.budget:,} now)"
        )
    elif definition.corpus.time is not None:
        more = f"gate.holdout_days = {math.ceil(gate.holdout_days * times)} would hold some {_ENOUGH} of them"
    else:
        share = gate.holdout_fraction * times
        more = (
            f"gate.holdout_fraction = {share:.2f} would hold some {_ENOUGH} of them"
            if share <= 0.5
            else f"only more texts can give {_ENOUGH} of them"
        )
    return (
        f"the holdout has only {rows} rows of the class {classes[rarest]}, of {len(decided):,}: a recall of "
        f"{recall:.2f} is known to some {width:.2f} either way, so that chance has a part in the verdict; "
        f"{more}"
    )
