"""The learning curve: F1 by the part of the pool that the teacher is asked about (``--curve``)."""

from typing import Any, Final

from benchmarks.fidelity import methods
from benchmarks.fidelity.cells import QUARTER, f1, median

SHARES: Final = (0.025, 0.05, 0.1, QUARTER)
Row = dict[str, Any]


def shares(rows: list[Row]) -> list[float]:
    """The shares that were measured."""
    return sorted({row["share"] for row in rows})


def compared(rows: list[Row]) -> set[tuple[str, str, int]]:
    """The tasks and seeds that pingti has at every share of its own."""
    ours = [set(cells) for share in shares(rows) if share < 1.0 and (cells := f1(rows, "pingti", share))]
    return set.intersection(*ours) if ours else set()


def medians(rows: list[Row]) -> dict[str, list[float | None]]:
    """Of each method of the curve: the median F1 at each of ``shares(rows)``.

    Over ``compared(rows)``, so that the table speaks of the same tasks throughout; None where a method lacks
    one of them.
    """
    measured, same = shares(rows), compared(rows)
    result: dict[str, list[float | None]] = {}
    for method in methods.CURVE:
        line: list[float | None] = []
        for share in measured:
            cells = f1(rows, method, share) if (method == "full_pool") == (share == 1.0) else {}
            complete = same and same <= set(cells)
            line.append(median({cell: cells[cell] for cell in same}) if complete else None)
        if any(value is not None for value in line):
            result[method] = line
    return result
