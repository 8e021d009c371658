"""What must be shown, and whether it is: at a quarter of the pool, along the curve, and of families."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from benchmarks.fidelity import data, methods
from benchmarks.fidelity.cells import (
    QUARTER,
    Cells,
    Row,
    Task,
    ahead,
    by_cell,
    f1,
    interval,
    less,
    median,
    noise,
    task_means,
)  # fmt: skip
from benchmarks.fidelity.results import key

Claim = tuple[bool, str, str]
"""Whether it is so, what, and the numbers."""
POINT: Final = 0.01
_MOST: Final = 0.8
"""Of the tasks."""


def binary(rows: Iterable[Row]) -> list[Row]:
    """Rows of the tasks that answer yes or no."""
    return [row for row in rows if (row["data"], row["task"]) not in data.ALL_LABELS]


def all_labels(rows: Iterable[Row]) -> list[Row]:
    """Rows of the tasks whose classes are all of the teacher's labels."""
    return [row for row in rows if (row["data"], row["task"]) in data.ALL_LABELS]


def claims(rows: list[Row], accuracy: dict[Any, Row]) -> Iterator[Claim]:
    """All claims that something was measured for.

    Args:
        rows: of the results.
        accuracy: by the rows' keys, what else was measured.
    """
    yield from _at_a_quarter(binary(rows), accuracy)
    yield from _along_the_curve(binary(rows))
    yield from _ties(binary(rows))
    yield from _all_labels(all_labels(rows))
    yield from _families(binary(rows))


def shown(cells: Cells) -> str:
    """The median with its interval."""
    low, high = interval(cells)
    return f"{median(cells):+.4f} [{low:.4f}, {high:.4f}]"


def _both(one: Cells, other: Cells) -> tuple[float, float, str]:
    """Medians over the cells that both have, and the numbers in words."""
    cells = [cell for cell in one if cell in other]
    first, second = (median({cell: of_cell[cell] for cell in cells}) for of_cell in (one, other))
    return (
        first,
        second,
        f"median {first:.4f} and {second:.4f} over {len({cell[:2] for cell in cells})} tasks",
    )


def _at_a_quarter(rows: list[Row], accuracy: dict[Any, Row]) -> Iterator[Claim]:
    """Of the loop with a quarter of the pool."""
    pingti = f1(rows, "pingti")
    ceiling = less(f1(rows, "full_pool"), pingti)
    if ceiling:
        asked = max(row["teacher_rows"] / row["pool_rows"] for row in by_cell(rows, "pingti").values())
        ours, full, numbers = _both(pingti, f1(rows, "full_pool"))
        yield (
            full - ours <= POINT and asked <= QUARTER,
            "median F1 within 1.0 point of the full pool, with at most a quarter of it",
            f"{numbers}; differences: median {shown(ceiling)}; at most {asked:.1%} of the pool",
        )
    for method in ("random", "breaking_ties"):
        more = less(pingti, f1(rows, method))
        if more:
            count, tasks = ahead(more)
            yield (
                count >= _MOST * tasks,
                f"ahead of {method} on at least 80 % of the tasks",
                f"{count} of {tasks}; by {shown(more)}",
            )
    clinc = {cell: value for cell, value in pingti.items() if cell[0] == "clinc150"}
    if clinc:
        means = task_means(clinc)
        listed = ", ".join(f"{task[1]} {value:.3f}" for task, value in means.items())
        yield min(means.values()) >= 0.96, "CLINC150 groups: F1 at least 0.96", f"{shown(clinc)}: {listed}"
    lost = {
        cell: scores["teacher_accuracy_truth"] - scores["accuracy_truth"]
        for cell, row in by_cell(rows, "pingti").items()
        if (scores := accuracy.get(key(row))) is not None
    }
    if lost:
        yield (
            median(lost) <= POINT,
            "accuracy against true labels within 1 point of the teacher's, median",
            f"{shown(lost)} lost",
        )
    for method in methods.PEERS:
        more = less(pingti, f1(rows, method))
        if more:
            ours, theirs, numbers = _both(pingti, f1(rows, method))
            yield (
                ours > theirs,
                f"ahead of {method} in median F1",
                f"{numbers}; differences: median {shown(more)}, " + "ahead on {} of {}".format(*ahead(more)),
            )


def _along_the_curve(rows: list[Row]) -> Iterator[Claim]:
    """Of smaller parts of the pool, for students of one task and of a family."""
    for method in ("pingti", "family"):
        tenth, full = f1(rows, method, 0.1), f1(rows, "full_pool")
        behind = less(full, tenth)
        if behind:
            ours, ceiling, numbers = _both(tenth, full)
            yield (
                ceiling - ours <= POINT,
                f"{method}, 10 % of the pool: median F1 within 1.0 point of the full pool",
                f"{numbers}; differences: median {shown(behind)}",
            )
        more = less(f1(rows, method, 0.05), f1(rows, "random"))
        if more:
            means = task_means(more)
            count = sum(value >= 0 for value in means.values())
            yield (
                count >= _MOST * len(means),
                f"{method}, 5 % of the pool: at least random's F1 at 25 % on 80 % of the tasks, which is "
                "80 % fewer labels",
                f"{count} of {len(means)}; by {shown(more)}",
            )


def against_ties(rows: list[Row], method: str = "pingti") -> Iterator[tuple[Task, str, bool]]:
    """Of each task at a quarter of the pool: where it stands, and whether that is as good as it can be.

    A task counts where it is ahead of breaking ties, or where the full pool is no better than breaking ties
    and the task is within noise of the full pool.
    """
    ours, ties, full = (f1(rows, name) for name in (method, "breaking_ties", "full_pool"))
    ahead_by, behind_full = task_means(less(ours, ties)), less(full, ours)
    full_behind, ceiling = task_means(behind_full), task_means(less(full, ties))
    chance = noise(behind_full)
    for task, by in ahead_by.items():
        if by > 0:
            yield task, f"ahead of breaking ties by {by:.4f}", True
        elif task not in ceiling:
            yield task, f"behind breaking ties by {-by:.4f}; no full pool to compare", False
        elif ceiling[task] > 0:
            yield (
                task,
                f"behind breaking ties by {-by:.4f}; the full pool is ahead by {ceiling[task]:.4f}",
                False,
            )
        else:
            width = chance[task]
            level = f"behind breaking ties by {-by:.4f}, as is the full pool by {-ceiling[task]:.4f}; "
            if width is None:
                yield task, level + "one seed, which tells no noise", False
            else:
                within = full_behind[task] <= width
                side = "within" if within else "not within"
                yield (
                    task,
                    level + f"{side} noise of the full pool ({full_behind[task]:+.4f}, {width:.4f})",
                    within,
                )


def _ties(rows: list[Row]) -> Iterator[Claim]:
    for method in ("pingti", "family"):
        tasks = list(against_ties(rows, method))
        if tasks:
            good = sum(met for *_, met in tasks)
            yield (
                good >= _MOST * len(tasks),
                f"{method}, 25 % of the pool: ahead of breaking ties on 80 % of the tasks, or, where the "
                "full pool is no better than ties, within noise of the full pool",
                f"{good} of {len(tasks)}",
            )


def _all_labels(rows: list[Row]) -> Iterator[Claim]:
    """Of all labels as one task, by macro F1."""
    pingti, full = task_means(f1(rows, "pingti")), task_means(f1(rows, "full_pool"))
    for task in pingti:
        if task in full:
            yield (
                full[task] - pingti[task] <= POINT,
                f"{task[0]} {task[1]}: macro F1 within 1.0 point of the full pool",
                f"{pingti[task]:.4f} and {full[task]:.4f}",
            )


def _families(rows: list[Row]) -> Iterator[Claim]:
    """Of a family's students beside students of their own."""
    for name in data.NAMES:
        some = [row for row in rows if row["data"] == name]
        more = less(f1(some, "family"), f1(some, "own"))
        if not more:
            continue
        family, own, numbers = _both(f1(some, "family"), f1(some, "own"))
        means = task_means(more)
        worst = min(means, key=lambda task: means[task])
        yield (
            family > own and means[worst] >= -POINT,
            f"{name} as a family: median F1 above that of students of their own, worst task within 1 point",
            f"{numbers}; differences: median {shown(more)}; worst: {worst[1]} {means[worst]:+.4f}",
        )


def against_true(rows: Iterable[Row], method: str = "pingti", share: float = QUARTER) -> Cells:
    """F1 against true labels less the teacher's own."""
    return {
        cell: row["f1_truth"] - row["teacher_f1_truth"] for cell, row in by_cell(rows, method, share).items()
    }
