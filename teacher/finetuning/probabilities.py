"""Probabilities that mean what they say: a temperature, and how much of a decision n-grams have."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teacher.folders import torch

_SHARES = tuple(step / 20 for step in range(20))
"""Of the n-gram model that are tried: 0 to 0.95."""


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
    The n-gram model has a part only where the rows become likelier by more than a standard error. Its share
    is then the middle between the likeliest and the largest that is not a standard error worse (Breiman et
    al. 1984 take such an end, for the simpler model): rows are few, and the n-gram model, which is the
    simpler one, learns those kept aside as well in the end.

    Args:
        logits: float32 (n, classes), of the model.
        ngrams: float32 (n, classes), of the n-gram model.
        answers: int64 (n,), class numbers.
    """
    others = torch.from_numpy(ngrams)
    own_temperature, other_temperature = fit_temperature(logits, answers), _likeliest(others, answers, 32.0)
    own, others = logits / own_temperature, others / other_temperature
    tried = [_losses(own * (1 - share) + others * share, answers) for share in _SHARES]
    means = [losses.mean().item() for losses in tried]
    likeliest = means.index(min(means))
    if not _clearly_less(tried[likeliest], tried[0]):
        return Mixture(temperature=own_temperature, factor=0.0, share=0.0)
    largest = max(place for place, losses in enumerate(tried) if not _clearly_less(tried[likeliest], losses))
    share = _SHARES[(likeliest + largest) // 2]
    temperature = fit_temperature(own * (1 - share) + others * share, answers)
    return Mixture(
        temperature=round(own_temperature * temperature / (1 - share), 4),
        factor=share / (other_temperature * temperature),
        share=share,
    )


def _losses(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Cross-entropy (n,) of each row at the temperature that suits best."""
    return torch.nn.functional.cross_entropy(
        logits / fit_temperature(logits, answers), answers, reduction="none"
    )


def _clearly_less(losses: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether losses are less than others of the same rows by more than the difference's standard error."""
    gain = others - losses
    return bool(gain.mean() > gain.std() / math.sqrt(len(gain)))


def _likeliest(logits: torch.Tensor, answers: torch.Tensor, widest: float) -> float:
    """The likeliest temperature from ``1 / widest`` to ``widest``."""
    end = math.log(widest)
    steps = round(end / math.log(4.0) * 120)
    grid = torch.exp(torch.linspace(-end, end, 2 * steps + 1)).tolist()
    losses = [torch.nn.functional.cross_entropy(logits / t, answers).item() for t in grid]
    return round(float(grid[losses.index(min(losses))]), 4)
