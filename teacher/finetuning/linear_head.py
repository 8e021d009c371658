"""A linear head on what an encoder already tells of texts: multinomial logistic regression.

Trained before anything else moves, it spares the encoder the distortion that a random head causes (Kumar
et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution", LP-FT). By
itself, on the frozen encoder, it is a baseline that fine-tuning has to beat.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacher.finetuning.classifier import head
from teacher.finetuning.labelled_rows import LabelledRows
from teacher.folders import torch

COSTS = (0.1, 1.0, 10.0)
"""Of a row's loss, against half the squared weights; tried where rows are kept aside."""
COST_OF_START = 0.03
"""Of the head that fine-tuning starts from. One that fits the rows already leaves nothing to learn: on
CLINC150 with 800 rows, .850 of the queries were decided as people do after a start with 1, .880 with this,
and .794 with a head of zeros."""
_STEPS = 100
_EVALUATED = 64  # rows of a batch where nothing is trained


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearHead:
    """Weights of a head."""

    weight: torch.Tensor
    """float32 (classes, features)."""
    bias: torch.Tensor
    """float32 (classes,); the classes' shares are in it."""
    cost: float
    """What it was trained with."""

    def logits(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of features (n, features)."""
        return features @ self.weight.T + self.bias

    def put_into(self, model: Any, bias: torch.Tensor) -> None:
        """Make it the head of a model.

        Args:
            model: gets the weights.
            bias: float32 (classes,), taken away from the bias.
        """
        own = head(model)
        with torch.no_grad():
            own.weight.copy_(self.weight)
            own.bias.copy_(self.bias - bias)


def evaluated(
    model: Any, rows: LabelledRows, chosen: NDArray[np.int64], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read k rows without dropout.

    Args:
        model: the classifier.
        rows: all rows.
        chosen: int64 (k,), row numbers.
        device: where the model is.

    Returns:
        What the head reads, float32 (k, features), and logits, float32 (k, classes), both on the CPU.
    """
    model.eval()
    features: list[torch.Tensor] = []
    handle = head(model).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float().cpu()))
    logits = []
    order = np.argsort([-len(rows.ids[row]) for row in chosen], kind="stable")
    try:
        with torch.inference_mode():
            for start in range(0, len(chosen), _EVALUATED):
                inputs, _ = rows.batch(chosen[order[start : start + _EVALUATED]], device)
                logits.append(model(**inputs).logits.float().cpu())
    finally:
        handle.remove()
    back = torch.from_numpy(np.argsort(order))
    return torch.cat(features)[back].clone(), torch.cat(logits)[back].clone()


def fit_head(features: torch.Tensor, answers: torch.Tensor, classes: int, cost: float) -> LinearHead:
    """Train a head on n rows, to the end, with L-BFGS.

    Args:
        features: float32 (n, features), what the head reads.
        answers: int64 (n,), class numbers.
        classes: how many there are.
        cost: of a row's loss.
    """
    centre = features.mean(dim=0)
    read = features - centre
    weight = torch.zeros(classes, read.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        rows_loss = torch.nn.functional.cross_entropy(read @ weight.T + bias, answers)
        total = rows_loss + weight.square().sum() / (2 * cost * len(read))
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    own = weight.detach()
    return LinearHead(weight=own, bias=bias.detach() - own @ centre, cost=cost)
