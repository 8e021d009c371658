"""Which of the shapes that were trained in full is taken: quality against cost, and the choice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.errors import InputError
from replacement.search.halving import ROOM
from replacement.search.space import Shape

_SAMPLES = 1000


@dataclass(frozen=True, kw_only=True)
class Point:
    """A shape that was trained in full."""

    shape: Shape
    f1: float
    """Against the teacher, on the validation rows."""
    error: float
    """Of the difference to the definition's shape: a standard deviation, over rows drawn anew."""
    operations: float
    """For a text."""
    cost: float
    """The same as a share of what the definition's shape takes."""
    bytes: int
    texts_per_second: float
    """On one core of this machine, from text to class probabilities."""
    on_front: bool
    """Whether none of the others is as cheap and better, or as good and cheaper."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted of the choice."""

    kind: str
    """"cheap": the best at up to half the cost, if it loses nothing beyond noise; else the best of all that
    are cheaper and do not. "good": the best at up to four times the cost.
    "at most": the best at up to ``value`` times the cost. "weighed": the best F1 less what cost and size are
    worth."""
    value: float = 0.0
    """Of "at most", a share of the definition's cost; of "weighed", the points of F1 that half the cost is
    worth."""
    size: float = 0.0
    """Of "weighed", points of F1 that half the bytes are worth."""


def front(f1s: Sequence[float], operations: Sequence[float]) -> list[bool]:
    """Which of n shapes no other beats.

    Args:
        f1s: of each.
        operations: of each.
    """
    return [
        not any(
            other_f1 >= f1 and other <= own and (other_f1, other) != (f1, own)
            for other_f1, other in zip(f1s, operations, strict=True)
        )
        for f1, own in zip(f1s, operations, strict=True)
    ]


def error_of_difference(
    reference: NDArray[np.int64],
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    classes: int,
    rng: np.random.Generator,
) -> float:
    """How sure the difference in F1 of two shapes is: its standard deviation over rows drawn anew.

    Args:
        reference: (n,), the teacher's classes.
        one: (n,), what a shape decides.
        other: (n,), what another decides.
        weights: (n,), how many rows each stands for.
        classes: how many there are.
        rng: draws rows with replacement (Efron and Tibshirani 1993, chapter 6).
    """
    n = len(reference)
    draws = rng.multinomial(n, np.full(n, 1.0 / n), size=_SAMPLES) * weights
    one_hot = np.eye(classes)
    named = draws @ one_hot[reference]

    def f1s(decided: NDArray[np.int64]) -> NDArray[np.float64]:
        hits = draws @ (one_hot[reference] * one_hot[decided])
        by_class = 2 * hits / np.maximum(named + draws @ one_hot[decided], 1e-12)
        if classes == 2:
            return by_class[:, 1]
        counted = named > 0
        means: NDArray[np.float64] = (by_class * counted).sum(1) / np.maximum(1, counted.sum(1))
        return means

    return float((f1s(one) - f1s(other)).std())


def choose(points: Sequence[Point], wish: Wish) -> Point:
    """Choose a shape.

    Args:
        points: one or more, the definition's first.
        wish: what is wanted.

    Returns:
        Of "cheap" and "good" the definition's own where no other does what is wanted.

    Raises:
        InputError: none of the shapes is as cheap as is wanted.
    """
    default = points[0]
    if wish.kind == "cheap":
        # The rule of one standard error (Breiman et al. 1984, "Classification and Regression Trees", 3.4.3);
        # but of several that are cheap enough the best: what is noise to the rows is a loss in the mean.
        alike = [point for point in points if point.f1 >= default.f1 - point.error]
        return max(
            alike, key=lambda point: (point.cost <= 0.5 * (1 + ROOM), point.cost < 1.0, point.f1, -point.cost)
        )
    if wish.kind == "weighed":
        return max(
            points,
            key=lambda point: (
                100 * point.f1
                - wish.value * np.log2(point.cost)
                - wish.size * np.log2(point.bytes / default.bytes)
            ),
        )
    most = 4.0 if wish.kind == "good" else wish.value
    within = [point for point in points if point.cost <= most * (1 + ROOM)]
    if not within:
        least = min(point.cost for point in points)
        raise InputError(
            f"--at-most-cost {wish.value:g}: the cheapest shape that was trained in full takes {least:.2f} "
            "of the definition's cost; a higher figure, or more --trainings"
        )
    return max(within, key=lambda point: (point.f1, -point.operations))
