"""What is compared: a figure for each task and seed, medians over tasks, and how sure they are."""

import statistics
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

QUARTER: Final = 0.25
"""The share of the pool at which all methods are compared."""
_RESAMPLES: Final = 2000
Row = dict[str, Any]
Task = tuple[str, str]
"""Data set and name."""
Cells = dict[tuple[str, str, int], float]
"""Of data set, task and seed: a figure."""


def by_cell(rows: Iterable[Row], method: str, share: float = QUARTER) -> dict[tuple[str, str, int], Row]:
    """A method's rows at a share of the pool; the full pool has but one share."""
    return {
        (row["data"], row["task"], row["seed"]): row
        for row in rows
        if row["method"] == method and (row["share"] == share or method == "full_pool")
    }


def f1(rows: Iterable[Row], method: str, share: float = QUARTER) -> Cells:
    """F1 against the teacher."""
    return {cell: row["f1_teacher"] for cell, row in by_cell(rows, method, share).items()}


def less(one: Cells, other: Cells) -> Cells:
    """``one`` less ``other``, where both were measured."""
    return {cell: one[cell] - other[cell] for cell in one if cell in other}


def by_task(cells: Cells) -> dict[Task, list[float]]:
    tasks: dict[Task, list[float]] = {}
    for (data, task, _), value in cells.items():
        tasks.setdefault((data, task), []).append(value)
    return tasks


def task_means(cells: Cells) -> dict[Task, float]:
    """Means over the seeds."""
    return {task: statistics.mean(values) for task, values in by_task(cells).items()}


def median(cells: Cells) -> float:
    """Median over the tasks of the means over the seeds."""
    return statistics.median(task_means(cells).values())


def ahead(differences: Cells) -> tuple[int, int]:
    """On how many tasks the mean difference is above zero, and how many tasks there are."""
    means = task_means(differences)
    return sum(value > 0 for value in means.values()), len(means)


def interval(cells: Cells) -> tuple[float, float]:
    """95 % of what ``median`` gives for tasks drawn anew, with replacement, and for each its seeds likewise.

    Percentiles of a two-stage bootstrap (Davison and Hinkley 1997, section 3.8): seeds of one task are not
    tasks of their own.
    """
    low, high = np.percentile(resampled(cells, np.random.default_rng(0)), [2.5, 97.5])
    return float(low), float(high)


def resampled(cells: Cells, rng: np.random.Generator) -> NDArray[np.float64]:
    """(resamples,): medians over the tasks of the means over the seeds, both drawn anew."""
    seeds = [np.array(values) for values in by_task(cells).values()]
    # For every place of a resample a task is drawn, and for it as many of its seeds as it has.
    drawn = rng.integers(len(seeds), size=(_RESAMPLES, len(seeds)))
    means = np.empty(drawn.shape)
    for number, values in enumerate(seeds):
        places = drawn == number
        again = rng.integers(len(values), size=(int(places.sum()), len(values)))
        means[places] = values[again].mean(axis=1)
    medians: NDArray[np.float64] = np.median(means, axis=1)
    return medians


def noise(differences: Cells) -> dict[Task, float | None]:
    """For each task, what its mean difference may be by chance: two standard errors of a mean over its seeds.

    The standard deviation over seeds is pooled over the tasks of a data set, as three seeds of one task tell
    little of it. None where no task of the data set has more than one seed.
    """
    tasks = by_task(differences)
    result: dict[Task, float | None] = {}
    for task, values in tasks.items():
        others = [some for (data, _), some in tasks.items() if data == task[0] and len(some) > 1]
        if not others:
            result[task] = None
            continue
        squares = sum(statistics.variance(some) * (len(some) - 1) for some in others)
        variance = squares / sum(len(some) - 1 for some in others)
        result[task] = 2 * float(np.sqrt(variance / len(values)))
    return result
