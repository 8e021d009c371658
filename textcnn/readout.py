"""Which of a network's columns make a task's classes: what the tasks that read one network differ in.

A network that learned a teacher's nine labels answers every question that is asked of those labels: a task's
class is the sum of the labels that stand for it. So tasks of one teacher have a network in common, and each
reads its classes off it. A network of several teachers has a group of columns for each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numba
import numpy as np
from numpy.typing import NDArray

from pingti.errors import InputError

_BLOCK = 256  # texts whose columns lie in the cache while all tasks are read off


@dataclass(frozen=True, kw_only=True)
class Readout:
    """Where a task's classes stand in a network's columns.

    Raises:
        InputError: numbers that do not fit each other.
    """

    groups: tuple[int, ...]
    """How many columns each group has; the columns of a group exclude each other."""
    group: int
    """The group that the task reads."""
    class_of: tuple[int, ...]
    """The number of the class that each column of that group stands for; every class has one."""

    def __post_init__(self) -> None:
        if (
            not 0 <= self.group < len(self.groups)
            or min(self.groups) < 2
            or len(self.class_of) != self.groups[self.group]
            or sorted(set(self.class_of)) != list(range(max(self.class_of) + 1))
        ):
            raise InputError(
                f"student: group {self.group} of columns {list(self.groups)} read as classes "
                f"{list(self.class_of)}; needed is a group of two columns or more, and for each of its "
                "columns the number of a class, every class having one"
            )

    @classmethod
    def of_subclasses(cls, subclasses: Sequence[int]) -> Self:
        """The readout of one group, whose columns stand in the order of the classes.

        Args:
            subclasses: how many columns each class has.
        """
        class_of = tuple(number for number, count in enumerate(subclasses) for _ in range(count))
        return cls(groups=(len(class_of),), group=0, class_of=class_of)

    @property
    def classes(self) -> int:
        """How many classes the task has."""
        return max(self.class_of) + 1

    @property
    def first(self) -> int:
        """The first column of the group."""
        return sum(self.groups[: self.group])

    @property
    def plain(self) -> bool:
        """Whether each column of the group is a class, in the order of the classes."""
        return self.class_of == tuple(range(len(self.class_of)))

    @property
    def columns(self) -> slice:
        """The group's columns."""
        return slice(self.first, self.first + len(self.class_of))


def read_off(scores: NDArray[np.float32], readouts: Sequence[Readout]) -> list[NDArray[np.float32]]:
    """Sum the probabilities of columns to those of classes.

    Args:
        scores: float32 (n, columns) of one network.
        readouts: of each task.

    Returns:
        Of each task float32 (n, classes), a view of the scores where nothing is to be summed.
    """
    summed = [number for number, readout in enumerate(readouts) if not readout.plain]
    ends = np.cumsum([0, *(readouts[number].classes for number in summed)])
    pairs = [
        (readouts[number].first + column, first + own)
        for number, first in zip(summed, ends.tolist(), strict=False)
        for column, own in enumerate(readouts[number].class_of)
    ]
    sources, targets = np.array(pairs, np.int64).reshape(-1, 2).T.copy()
    sums = np.empty((len(scores), ends[-1]), np.float32)
    _sum_columns(scores, sources, targets, sums)
    parts = {number: sums[:, a:b] for number, (a, b) in zip(summed, pairwise(ends.tolist()), strict=True)}
    return [parts.get(number, scores[:, own.columns]) for number, own in enumerate(readouts)]


@numba.njit(nogil=True, cache=True)
def _sum_columns(scores: Any, sources: Any, targets: Any, sums: Any) -> None:
    """Add column ``sources[i]`` of ``scores`` to column ``targets[i]`` of ``sums``, in the order of i."""
    columns, count = np.empty((scores.shape[1], _BLOCK), np.float32), sums.shape[1]
    added = np.empty((count, _BLOCK), np.float32)
    for start in range(0, len(scores), _BLOCK):
        rows = min(_BLOCK, len(scores) - start)
        for row in range(rows):
            for column in range(scores.shape[1]):
                columns[column, row] = scores[start + row, column]
        added[:] = np.float32(0.0)
        for pair in range(len(sources)):
            source, target = columns[sources[pair]], added[targets[pair]]
            for row in range(_BLOCK):
                target[row] += source[row]
        for row in range(rows):
            for column in range(count):
                # Rounding may lift a sum above 1; a row of NaN stays one.
                value = added[column, row]
                sums[start + row, column] = np.float32(1.0) if value > np.float32(1.0) else value
