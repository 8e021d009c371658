"""Training of a transformer student on what its teacher says of texts (Hinton et al. 2015, soft targets)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from pingti.students.pieces import Pieces, batches
from replacement.distilling.network import Encoder

_WARM_UP = 0.1
"""Share of the steps in which the learning rate rises from 0."""
_CLIP = 1.0
"""Largest norm of a step's gradient."""
_SORTED = 50
"""Batches whose texts are sorted by length together, so that little is padded."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a transformer student is trained."""

    epochs: int
    """Passes over the rows."""
    learning_rate: float
    """Highest rate."""
    batch_size: int = 32
    """Rows of a step."""
    weight_decay: float = 0.01
    """Of matrices."""


def train(
    network: Encoder,
    pieces: Pieces,
    targets: NDArray[np.float32],
    weights: NDArray[np.float32],
    *,
    recipe: Recipe,
    rng: np.random.Generator,
    device: torch.device,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Train a network in place: Kullback-Leibler divergence from the targets, AdamW, linear decay.

    Args:
        network: that starts from somewhere.
        pieces: n texts, each of one word piece or more.
        targets: float32 (n, columns), the teacher's probabilities of its labels.
        weights: float32 (n,), how much a row counts.
        recipe: how.
        rng: of the order of rows and of dropout.
        device: a torch device; the network is on the CPU afterwards.
        progress: called with the number of rows done since it was last called.
    """
    network.to(device).train()
    matrices = [weight for weight in network.parameters() if weight.ndim > 1]
    others = [weight for weight in network.parameters() if weight.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        fused=True,
    )
    steps = recipe.epochs * -(-len(pieces) // recipe.batch_size)
    rising = max(1, round(steps * _WARM_UP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rising, (steps - step) / max(1, steps - rising))
    )
    # Dropout draws from torch's global generator: seeded here, put back afterwards.
    with torch.random.fork_rng(devices=None if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**63)))
        for rows in _drawn(np.diff(pieces.offsets), recipe, rng):
            given = (torch.from_numpy(part).to(device) for part in pieces.rectangle(rows))
            logits = network(*given)
            wanted = torch.from_numpy(targets[rows]).to(device)
            apart = F.kl_div(F.log_softmax(logits, dim=1), wanted, reduction="none").sum(dim=1)
            loss = (apart * torch.from_numpy(weights[rows]).to(device)).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress(len(rows))
    network.to("cpu").eval()


def probabilities(network: Encoder, pieces: Pieces) -> NDArray[np.float32]:
    """What a network says of n texts, float32 (n, columns), each row of sum 1.

    Args:
        network: on the CPU.
        pieces: n texts, each of one word piece or more.
    """
    every = np.empty((len(pieces), network.shape.columns), np.float32)
    with torch.inference_mode():
        for rows in batches(np.diff(pieces.offsets), tokens=2048):
            every[rows] = network(*map(torch.from_numpy, pieces.rectangle(rows))).softmax(dim=1).numpy()
    return every


def _drawn(
    lengths: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """The rows of every step, those of one step of like length."""
    for _ in range(recipe.epochs):
        order = rng.permutation(len(lengths))
        size = recipe.batch_size
        for start in range(0, len(order), size * _SORTED):
            some = order[start : start + size * _SORTED]
            some = some[np.argsort(lengths[some], kind="stable")]
            parts = np.split(some, range(size, len(some), size))
            for number in rng.permutation(len(parts)).tolist():
                yield parts[number]
