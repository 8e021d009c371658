"""How sure a figure is: bootstrap percentiles (Efron and Tibshirani 1993, section 13.3)."""

import numpy as np
from numpy.typing import NDArray

from replacement.evaluation.metrics import Classes

_SAMPLES = 2000
_LEVEL = 0.95
FIGURES = ("precision", "recall", "f1")
Interval = tuple[float, float]


def intervals(gold: Classes, decided: Classes, classes: int, rng: np.random.Generator) -> dict[str, Interval]:
    """95 % intervals of precision, recall and F1 of decisions (n,) against the reference (n,)."""
    figures = resampled(gold, [decided], classes, rng)[0]
    return {name: interval(figures[:, column]) for column, name in enumerate(FIGURES)}


def resampled(
    gold: Classes, decisions: list[Classes], classes: int, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Precision, recall and F1, (samples, 3), of each of ``decisions`` on rows drawn with replacement."""
    cells, counts = np.unique(np.stack([gold, *decisions]), axis=1, return_counts=True)
    draws = rng.multinomial(len(gold), counts / len(gold), size=_SAMPLES).astype(np.float64)
    one_hot = np.eye(classes)
    named = one_hot[cells[0]]
    found = []
    for decided in cells[1:]:
        called = one_hot[decided]
        hits = draws @ (named * called)
        precisions = hits / np.maximum(draws @ called, 1.0)
        recalls = hits / np.maximum(draws @ named, 1.0)
        f1s = 2 * precisions * recalls / np.maximum(precisions + recalls, 1e-12)
        # As in ``measure``: the second of two classes, or the mean over those that the rows drawn name.
        counted = np.array([[False, True]]) if classes == 2 else draws @ named > 0
        figures = (precisions, recalls, f1s)
        found.append(np.stack([(each * counted).sum(1) / counted.sum(1) for each in figures], axis=1))
    return found


def interval(values: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return round(float(low), 4), round(float(high), 4)
