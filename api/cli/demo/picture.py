"""The demo's story as a picture of characters: F1 by round, and what the gate asks for."""

from collections.abc import Sequence
from typing import Any

_WIDTH = 51  # cells of the axis
_STEP = 0.1  # between its marks


def rounds_picture(reports: Sequence[dict[str, Any]]) -> list[str]:
    """F1 on the holdout by round, a line each, of every task.

    Args:
        reports: of each task, the report of its new version.

    Returns:
        Lines; none where no round was measured.
    """
    points = [
        (report["task"], number, round["holdout"]["f1"], _gate(report))
        for report in reports
        for number, round in enumerate(report["rounds"], 1)
        if round["holdout"]["f1"] is not None
    ]
    if not points:
        return []
    lowest = int(min(min(f1, gate) for _, _, f1, gate in points) / _STEP + 1e-9) * _STEP
    longest = max(len(task) for task, *_ in points)

    def place(value: float) -> int:
        return round((value - lowest) / (1.0 - lowest) * (_WIDTH - 1)) if lowest < 1.0 else 0

    axis = [" "] * (_WIDTH + len("1.0"))
    for mark in range(round(lowest / _STEP), round(1.0 / _STEP) + 1):
        text = f"{mark * _STEP:.1f}"
        axis[place(mark * _STEP) : place(mark * _STEP) + len(text)] = text
    lines, before = [f"{'':{longest}}   {''.join(axis).rstrip()}"], ""
    for task, number, f1, gate in points:
        cells = ["━"] * place(f1) + ["●"]
        cells += [" "] * (_WIDTH - len(cells))
        if cells[place(gate)] != "●":
            cells[place(gate)] = "┊"
        lines.append(f"{'' if task == before else task:{longest}} {number} {''.join(cells)} {f1:.3f}")
        before = task
    return lines


def _gate(report: dict[str, Any]) -> float:
    """The F1 of a student that just reaches the gate."""
    precision, recall = report["gate"]["precision"], report["gate"]["recall"]
    return float(2 * precision * recall / (precision + recall))
