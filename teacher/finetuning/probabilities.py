"""Probabilities that mean what they say: a temperature, and how much of a decision n-grams have."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teacher.folders import torch

_SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Of the n-gram model that are tried."""


def fit_temperature(logits: torch.Tensor, answers: torch.Tensor) -> float:
    """Find the temperature at which softmax(logits / temperature) is likeliest.

    It is looked for on a grid from 1/4 to 4: few rows allow no more, and nothing can run away.

    Args:
        logits: float (n, classes).
        answers: int64 (n,), class numbers.
    """
    return _likeliest(logits, answers, 4.0)


def calibrated_loss(logits: torch.Tensor, answers: torch.Tensor) -> float:
    """Mean cross-entropy (nats) at the temperature that suits best.

    Without it a model that decides better, and is surer than it should be, would seem worse.

    Args:
        logits: as of ``fit_temperature``.
        answers: as of it.
    """
    temperature = fit_temperature(logits, answers)
    return torch.nn.functional.cross_entropy(logits / temperature, answers).item()


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How a model's logits and those of n-grams are added up."""

    temperature: float
    """What the model's logits are divided by."""
    factor: float
    """What the n-gram model's are multiplied by; 0: it has no part."""
    share: float
    """Of the n-gram model in a decision, 0 to 1."""


def mix(logits: torch.Tensor, ngrams: NDArray[np.float32], answers: torch.Tensor) -> Mixture:
    """Choose how much of a decision the n-gram model has, on n rows that neither was trained on.

    It is a product of experts (Hinton 2002): both logits, each at its own temperature, weighted and added.
    The n-gram model has a part only where the rows become likelier by more than a standard error.

    Args:
        logits: float32 (n, classes), of the model.
        ngrams: float32 (n, classes), of the n-gram model.
        answers: int64 (n,), class numbers.
    """
    others = torch.from_numpy(ngrams)
    own_temperature = fit_temperature(logits, answers)
    other_temperature = _likeliest(others, answers, 32.0)
    alone = _losses(logits / own_temperature, answers)
    best, best_loss = Mixture(temperature=own_temperature, factor=0.0, share=0.0), alone.mean().item()
    for share in _SHARES[1:]:
        mixed = logits / own_temperature * (1 - share) + others / other_temperature * share
        temperature = fit_temperature(mixed, answers)
        losses = _losses(mixed / temperature, answers)
        gain = alone - losses
        if losses.mean().item() < best_loss and gain.mean() > gain.std() / math.sqrt(len(gain)):
            best_loss = losses.mean().item()
            best = Mixture(
                temperature=round(own_temperature * temperature / (1 - share), 4),
                factor=share / (other_temperature * temperature),
                share=share,
            )
    return best


def _losses(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(logits, answers, reduction="none")


def _likeliest(logits: torch.Tensor, answers: torch.Tensor, widest: float) -> float:
    """The likeliest temperature from ``1 / widest`` to ``widest``."""
    end = math.log(widest)
    steps = round(end / math.log(4.0) * 120)
    grid = torch.exp(torch.linspace(-end, end, 2 * steps + 1)).tolist()
    losses = [torch.nn.functional.cross_entropy(logits / t, answers).item() for t in grid]
    return round(float(grid[losses.index(min(losses))]), 4)
