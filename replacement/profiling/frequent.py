"""The most frequent of many items, counted in bounded memory.

Misra and Gries (1982), "Finding repeated elements", Science of Computer Programming 2. A count is exact as
long as there were never more different items than there is room for. What is not handled: items of which
none is frequent; then the counts say nothing.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np


class FrequentItems:
    """Counts of the most frequent items.

    Once there were more than ``capacity`` different ones, a count is too low by at most 1 in ``capacity`` of
    all that was added; an item more frequent than that is never lost.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.counts: Counter[str] = Counter()

    def add(self, items: Sequence[str], counts: Sequence[int]) -> None:
        """Count ``items`` (n,), each ``counts`` (n,) times."""
        for item, count in zip(items, counts, strict=True):
            self.counts[item] += count
        if len(self.counts) > 2 * self.capacity:
            self._shrink()

    def _shrink(self) -> None:
        values = np.fromiter(self.counts.values(), np.int64, len(self.counts))
        least = int(np.partition(values, -self.capacity - 1)[-self.capacity - 1])
        self.counts = Counter({item: count - least for item, count in self.counts.items() if count > least})

    def most(self, number: int) -> list[tuple[str, int]]:
        """The ``number`` most frequent with their counts; equal counts in order of the items."""
        return sorted(self.counts.items(), key=lambda pair: (-pair[1], pair[0]))[:number]
