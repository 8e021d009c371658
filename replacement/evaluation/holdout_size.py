"""Whether the holdout has enough rows of each class for a verdict, told before the budget is spent."""

import math

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import Definition

_HIGHEST = 0.95  # recall whose width is told: near 1 the formula's would be nothing
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
    rarest, rows = rarest_class(definition, decided)
    if not 0 < rows < _ENOUGH:
        return ""
    recall = min(definition.gate.recall, _HIGHEST)
    width = 1.96 * math.sqrt(recall * (1 - recall) / rows)
    return (
        f"the holdout has only {rows} rows of the class {rarest}, of {len(decided):,}: a recall of "
        f"{recall:.2f} is known to some {width:.2f} either way, so that chance has a part in the verdict; "
        f"{what_holds_more(definition, rows, measured=len(decided), drawn_from=drawn_from)}"
    )


def rarest_class(definition: Definition, decided: NDArray[np.int64]) -> tuple[str, int]:
    """The class of which the fewest rows measure, of those that have any, and how many these are.

    Args:
        definition: has the classes; of two, the figures are those of the second.
        decided: as of ``note_of_few_rows``.
    """
    counts = np.bincount(decided, minlength=len(definition.classes))
    rarest = 1 if definition.binary else int(np.where(counts > 0, counts, counts.max() + 1).argmin())
    return definition.classes[rarest], int(counts[rarest])


def what_holds_more(
    definition: Definition, rows: int, *, measured: int, drawn_from: int, wanted: int = _ENOUGH
) -> str:
    """What makes a holdout hold more rows of a class, in words.

    Args:
        definition: has the gate.
        rows: of the class that measure now.
        measured: rows that measure now.
        drawn_from: rows that are held out, of which those were drawn.
        wanted: rows of the class.
    """
    gate, times = definition.gate, wanted / rows
    if measured < min(drawn_from, gate.holdout_rows):
        # Measuring has its part of the budget, so what measures grows as the budget does.
        needed = math.ceil(measured * times)
        budget = math.ceil(definition.teacher.budget * min(needed, drawn_from) / measured / 100) * 100
        most = math.floor(min(needed, drawn_from) * rows / measured)
        return (
            f"teacher.budget = {budget:_} ({definition.teacher.budget:,} now) lets more of the "
            f"{drawn_from:,} held-out rows measure, some {most} of that class"
        )
    if drawn_from > measured:
        return (
            f"more of the {drawn_from:,} held-out rows measure with a larger gate.holdout_rows "
            f"({gate.holdout_rows:,} now) and teacher.budget ({definition.teacher.budget:,} now)"
        )
    if definition.corpus.time is not None:
        return f"gate.holdout_days = {math.ceil(gate.holdout_days * times)} would hold some {wanted} of them"
    share = gate.holdout_fraction * times
    if share <= 0.5:
        return f"gate.holdout_fraction = {share:.2f} would hold some {wanted} of them"
    return f"only more texts can give {wanted} of them"
