"""The table of ``students.json``: kinds of students beside each other."""

from typing import Any

from benchmarks.fidelity.cells import interval, median
from benchmarks.fidelity.data import NAMES
from benchmarks.kinds.claims import figures
from benchmarks.kinds.runs import HERE
from benchmarks.tables.markdown import percent, score, table

SEEDS = 3
"""Of a whole run."""
Document = dict[str, Any]


def kinds(document: Document) -> str | None:
    """Medians over the tasks of each data set; None where a kind or a seed is missing.

    Args:
        document: what the file holds.
    """
    rows = document["rows"]
    lines = []
    for name in NAMES:
        mine = [row for row in rows if row["data"] == name]
        tasks = {(row["task"], seed) for row in mine for seed in range(SEEDS)}
        for kind in HERE:
            f1, ratio = figures(mine, kind, "f1_teacher"), figures(mine, kind, "ratio_to_default")
            if not f1 or {(task, seed) for _, task, seed in f1} < tasks:
                return None
            low, high = interval(f1)
            lines.append(
                [
                    name,
                    kind,
                    f"{score(median(f1))} ({score(low)} to {score(high)})",
                    score(median(figures(mine, kind, "agreement"))),
                    f"{median(ratio):.2f}",
                    percent(median(figures(mine, kind, "teacher_share")), 1),
                ]
            )
    return table(
        ["data", "kind", "F1 against the teacher", "agreement", "speed, times the default's", "teacher"],
        lines,
        left=2,
    )
