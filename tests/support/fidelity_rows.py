"""Rows as bench-fidelity measures them."""

from typing import Any

TASKS = [("weibo", f"task {i}") for i in range(5)] + [("clinc150", f"group {i}") for i in range(5)]
Row = dict[str, Any]


def row(data: str, task: str, method: str, seed: int, f1: float, **more: Any) -> Row:
    """One row; of a quarter of the pool unless told otherwise."""
    share = 1.0 if method == "full_pool" else 0.25
    values = {"data": data, "task": task, "method": method, "share": share, "seed": seed}
    counts = {"teacher_rows": 250, "pool_rows": 1000}
    return {**values, **counts, "f1_teacher": f1, "f1_truth": 0.9, "teacher_f1_truth": 0.9, **more}


def rows(method: str, f1: float, seeds: int = 3, **more: Any) -> list[Row]:
    """A row for each of ``TASKS`` and each seed, each seed a little above the one before."""
    return [row(*task, method, seed, f1 + seed / 1000, **more) for task in TASKS for seed in range(seeds)]
