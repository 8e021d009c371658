"""The training itself: AdamW, a rate that rises and falls, the epoch that does best on rows kept aside."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from teacher.finetuning.classifier import freeze
from teacher.finetuning.labelled_rows import LabelledRows, balanced_batches, endless
from teacher.finetuning.linear_head import evaluated
from teacher.finetuning.probabilities import calibrated_loss
from teacher.finetuning.recipe import Recipe
from teacher.folders import torch

_WARM_UP = 0.1  # share of the steps in which the learning rate rises from 0
_CLIP = 1.0  # largest norm of a step's gradient
_PATIENCE = 2  # epochs, or a third of all, without a lower loss on the rows kept aside: training ends


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How a training went; one number an epoch."""

    losses: tuple[float, ...]
    """Mean cross-entropy (nats) of the batches."""
    held_out: tuple[float, ...]
    """Of the rows kept aside; empty where there are none."""
    moved: bool
    """Whether an epoch's weights are kept, and not those of the start."""


def train(
    model: Any,
    rows: LabelledRows,
    recipe: Recipe,
    rng: np.random.Generator,
    device: torch.device,
    progress: Callable[[int, int], None] | None,
    *,
    to_beat: float,
) -> Trained:
    """Train, and leave the weights that did best on the rows kept aside.

    Training ends early where more of it does not help there.

    Args:
        model: the classifier, on ``device``.
        rows: what it learns.
        recipe: how.
        rng: of the order of rows.
        device: a torch device.
        progress: called with (steps done, steps in all) after each step.
        to_beat: loss on the rows kept aside; where no epoch's is lower, the weights are left as they were.
    """
    freeze(model, embeddings=recipe.freeze_embeddings, layers=recipe.freeze_layers)
    optimizer = _optimizer(model, recipe.rate_of(model.config.hidden_size), recipe.weight_decay)
    steps_an_epoch = rows.steps_an_epoch(recipe.batch_size)
    epochs = recipe.epochs_of(steps_an_epoch)
    steps = steps_an_epoch * epochs
    schedule = _schedule(optimizer, steps)
    draws = [endless(own, rng) for own in rows.of_classes]
    lengths = np.array([len(ids) for ids in rows.ids])
    count = sum(map(len, rows.of_classes))
    losses: list[float] = []
    held_out: list[float] = []
    best, best_loss, best_epoch = _moving(model), to_beat, 0
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        batches = balanced_batches(draws, lengths, count, steps_an_epoch, rng)
        for step, batch in enumerate(batches, (epoch - 1) * steps_an_epoch + 1):
            total += _step(model, rows.batch(batch, device), optimizer)
            schedule.step()
            if progress is not None:
                progress(step, steps)
        losses.append(total / steps_an_epoch)
        if len(rows.held) == 0:
            continue
        held_out.append(_held_out_loss(model, rows, device))
        if held_out[-1] < best_loss:
            best, best_loss, best_epoch = _moving(model), held_out[-1], epoch
        elif epoch - (1 + held_out.index(min(held_out))) >= max(_PATIENCE, epochs // 3):
            break
    if held_out:
        model.load_state_dict(best, strict=False)
    if progress is not None and len(losses) < epochs:
        progress(steps, steps)
    return Trained(losses=tuple(losses), held_out=tuple(held_out), moved=best_epoch > 0 or not held_out)


def _moving(model: Any) -> dict[str, torch.Tensor]:
    """Copies of the weights that are trained."""
    return {name: w.detach().clone() for name, w in model.named_parameters() if w.requires_grad}


def _step(
    model: Any, batch: tuple[dict[str, torch.Tensor], torch.Tensor], optimizer: torch.optim.Optimizer
) -> float:
    """Move the weights once; gives the batch's mean cross-entropy."""
    inputs, answers = batch
    loss = torch.nn.functional.cross_entropy(model(**inputs).logits, answers)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimizer.step()
    return loss.item()


def _held_out_loss(model: Any, rows: LabelledRows, device: torch.device) -> float:
    """Mean cross-entropy of the rows kept aside, with the classes' shares in the logits."""
    _, logits = evaluated(model, rows, rows.held, device)
    return calibrated_loss(logits + rows.shares.log(), rows.answers[torch.from_numpy(rows.held)])


def _optimizer(model: Any, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Fused AdamW; biases and layer norms (one-dimensional weights) do not decay."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=True)


def _schedule(optimizer: torch.optim.Optimizer, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Learning rate up from 0 over the first tenth of the steps, then down to 0, both linearly."""
    rising = max(1, round(steps * _WARM_UP))
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / rising, (steps - step) / max(1, steps - rising))
    )
