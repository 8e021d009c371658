"""How sure a figure is: bootstrap percentiles (Efron and Tibshirani 1993, section 13.3).

Rows are drawn again with replacement, as many as there are, and the figure is computed from every draw; its
95 % interval holds the middle of what comes out. A draw is told by how often each row came up. Rows that are
alike in all that the figure takes from them may be counted together: the same distribution, at a cost that
does not grow with the rows.
"""

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.report_parts import Interval
from replacement.evaluation.metrics import Classes

_SAMPLES = 2000
_LEVEL = 0.95
FIGURES = ("precision", "recall", "f1")


def draw(counts: NDArray[np.integer], samples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows again with replacement, as many as there are.

    Args:
        counts: (k,), how many rows there are of each kind; ones where every row is a kind of its own.
        samples: how often all of them are drawn.
        rng: draws.

    Returns:
        (samples, k): how many rows of each kind came up.
    """
    rows = int(counts.sum())
    return rng.multinomial(rows, counts / rows, size=samples)


def interval(values: NDArray[np.float64]) -> Interval:
    """The 95 % interval of a figure that the draws gave these values (samples,), rounded to four places."""
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)


def figure_intervals(values: NDArray[np.float64]) -> dict[str, Interval]:
    """The 95 % intervals of ``FIGURES``, of which the draws gave these values (samples, 3)."""
    return {name: interval(values[:, column]) for column, name in enumerate(FIGURES)}


def intervals(
    reference: Classes, decided: Classes, classes: int, rng: np.random.Generator
) -> dict[str, Interval]:
    """95 % intervals of precision, recall and F1 of decisions (n,) against the reference (n,)."""
    return figure_intervals(resampled(reference, [decided], classes, rng)[0])


def resampled(
    reference: Classes, decisions: list[Classes], classes: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """``FIGURES`` of each of several decisions on the same rows, drawn with replacement.

    Args:
        reference: (n,), class numbers below ``classes``.
        decisions: of each, (n,) class numbers.
        classes: how many classes there are.
        rng: draws the rows.

    Returns:
        Of each, (samples, 3).
    """
    # Rows of the same reference and decisions are alike.
    cells, counts = np.unique(np.stack([reference, *decisions]), axis=1, return_counts=True)
    draws = draw(counts, _SAMPLES, rng).astype(np.float64)
    one_hot = np.eye(classes)
    named = one_hot[cells[0]]
    drawn_figures = []
    for decided in cells[1:]:
        called = one_hot[decided]
        hits = draws @ (named * called)
        precisions = hits / np.maximum(draws @ called, 1.0)
        recalls = hits / np.maximum(draws @ named, 1.0)
        f1s = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
        # As in ``measure``: the second of two classes, or the mean over those that the rows drawn name.
        counted = np.array([[False, True]]) if classes == 2 else draws @ named > 0
        by_class = (precisions, recalls, f1s)
        means = [(values * counted).sum(1) / counted.sum(1) for values in by_class]
        drawn_figures.append(np.stack(means, axis=1))
    return drawn_figures
