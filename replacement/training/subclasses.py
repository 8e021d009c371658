"""Subclasses: which of the teacher's labels the student tells apart within a class.

A teacher of nine labels that is asked for one of them says of every text which of nine it is. A student that
learns all of that, its probabilities then summed within classes, decides better than one that learns yes and
no from the same rows (Müller, Kornblith and Hinton 2020, "Subclass Distillation", section 2).

Both parts of the student learn the subclasses: a wide part that learned the classes alone beside them cost
.002 of F1 on weibo's eight tasks, and had to be learned anew for every task.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_TRIES = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class Subclasses:
    """Which labels of the teacher make a subclass."""

    of_label: tuple[int, ...]
    """The subclass of each label; those of the first class come first, then those of the second, ..."""
    counts: tuple[int, ...]
    """How many subclasses each class has."""

    @property
    def divided(self) -> bool:
        """Whether there are more subclasses than classes."""
        return max(self.counts) > 1

    def targets(self, labels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Probabilities of the teacher's labels as those of subclasses.

        Args:
            labels: float32 (n, labels).

        Returns:
            float32 (n, sum of counts).
        """
        targets = np.zeros((len(labels), sum(self.counts)), np.float32)
        for label, subclass in enumerate(self.of_label):
            targets[:, subclass] += labels[:, label]
        return targets

    def named(self, classes: Sequence[str], labels: Sequence[str]) -> dict[str, list[list[str]]]:
        """The labels of every subclass of every class.

        Args:
            classes: names of the task's classes.
            labels: names of the teacher's labels.
        """
        names: list[list[str]] = [[] for _ in range(sum(self.counts))]
        for label, subclass in enumerate(self.of_label):
            names[subclass].append(labels[label])
        ends = np.cumsum([0, *self.counts]).tolist()
        return {name: names[ends[c] : ends[c + 1]] for c, name in enumerate(classes)}


def divide(
    class_of: Sequence[int],
    labels: NDArray[np.float32],
    vectors: NDArray[np.float32],
    *,
    most: int,
    rng: np.random.Generator,
) -> Subclasses:
    """Divide classes into subclasses of the teacher's labels.

    Where a class has fewer subclasses than labels, labels whose texts lie near each other share one: k-means
    of the labels' mean vectors.

    Args:
        class_of: the class of each label, in the order of classes; every class has a label.
        labels: float32 (n, labels), the teacher's probabilities for some texts.
        vectors: float32 (n, hidden), their [CLS] vectors.
        most: so many subclasses at most in all, but one for each class at least.
        rng: starts the clusters.
    """
    owners = np.asarray(class_of)
    sizes = np.bincount(owners)
    # A larger class is worth more parts, but not in proportion: one of few labels is to be told from it.
    counts = np.ones(len(sizes), np.int64)
    while counts.sum() < min(most, len(owners)):
        counts[np.argmax(np.where(counts < sizes, np.sqrt(sizes) / counts, 0.0))] += 1
    weight = np.maximum(labels.sum(axis=0, dtype=np.float64), 1e-9)
    means = (labels.T.astype(np.float64) @ vectors / weight[:, None]).astype(np.float32)
    of_label, first = np.zeros(len(owners), np.int64), 0
    for number, count in enumerate(counts.tolist()):
        own = np.flatnonzero(owners == number)
        parts = np.arange(len(own))
        if count < len(own):
            _, parts = np.unique(_near(means[own], count, rng), return_inverse=True)
        of_label[own] = first + parts
        counts[number] = parts.max() + 1  # a cluster may be empty
        first += counts[number]
    return Subclasses(of_label=tuple(of_label.tolist()), counts=tuple(counts.tolist()))


def _near(means: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The best of several clusterings (n,): of so few points, k-means often finds a poor one."""
    import sampling  # FAISS only where labels are clustered: a drift's measurement does without
    from sampling.clusters import unit

    points = unit(means)
    tries = [sampling.cluster(points, count, rng=rng) for _ in range(_TRIES)]

    def likeness(clusters: sampling.Clusters) -> float:
        return float((points * clusters.centroids[clusters.assigned]).sum())

    return max(tries, key=likeness).assigned
