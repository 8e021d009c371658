"""What F1 a shape would reach, guessed from those that were trained.

A Gaussian process (Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", algorithm 2.1)
over the shapes' features and the share of a full training that was spent: so that short trainings, of which
there are many, tell of full ones.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LENGTHS = (1.0, 2.0, 4.0)  # in standard deviations of the features
_NOISES = (0.1, 0.3, 0.6)  # as a share of the standard deviation of what was measured
_STEEP = 1.5  # of the spent share, beside the features


@dataclass(frozen=True, kw_only=True, eq=False)
class Guess:
    """F1 of n shapes, as far as a surrogate can tell."""

    mean: NDArray[np.float64]
    """(n,)"""
    error: NDArray[np.float64]
    """(n,): a standard deviation."""


def guess(
    features: NDArray[np.float64],
    spent: NDArray[np.float64],
    f1s: NDArray[np.float64],
    wanted: NDArray[np.float64],
) -> Guess:
    """Guess what shapes would reach after a full training.

    Length scale and noise are those, of a few, under which what was measured is likeliest.

    Args:
        features: float64 (m, k), of the shapes that were trained; m is 1 or more.
        spent: float64 (m,), the share of a full training that each had.
        f1s: float64 (m,), what each reached.
        wanted: float64 (n, k), features of the shapes that are asked about.
    """
    inputs = np.concatenate([features, _STEEP * np.log2(spent)[:, None]], axis=1)
    asked = np.concatenate([wanted, np.zeros((len(wanted), 1))], axis=1)
    every = np.concatenate([inputs, asked])
    scale = np.where(np.ptp(every, axis=0) > 0, every.std(axis=0), 1.0)
    inputs, asked = inputs / scale, asked / scale
    centre, spread = float(f1s.mean()), max(float(f1s.std()), 1e-4)
    values = (f1s - centre) / spread
    best: tuple[float, float, NDArray[np.floating], NDArray[np.floating]] | None = None
    for length in _LENGTHS:
        kernel = _kernel(inputs, inputs, length)
        for noise in _NOISES:
            factor = np.linalg.cholesky(kernel + noise**2 * np.eye(len(values)))
            weights = np.linalg.solve(factor.T, np.linalg.solve(factor, values))
            likelihood = -0.5 * float(values @ weights) - float(np.log(np.diag(factor)).sum())
            if best is None or likelihood > best[0]:
                best = (likelihood, length, factor, weights)
    assert best is not None  # there are lengths and noises
    _, length, factor, weights = best
    across = _kernel(asked, inputs, length)
    reduced = np.linalg.solve(factor, across.T)
    return Guess(
        mean=centre + spread * (across @ weights),
        error=spread * np.sqrt(np.maximum(1.0 - (reduced**2).sum(axis=0), 1e-9)),
    )


def _kernel(one: NDArray[np.float64], other: NDArray[np.float64], length: float) -> NDArray[np.float64]:
    squares = ((one[:, None] - other[None]) ** 2).sum(axis=2)
    values: NDArray[np.float64] = np.exp(-0.5 * squares / length**2)
    return values
