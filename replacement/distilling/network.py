"""The network of a transformer student in torch: what is trained, and then quantized.

An encoder of BERT's kind, of which the last layer works at one place alone: queries, feed-forward part and
norms of the other places would be read by nobody. Of the tokens it reads everything, as before.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pingti.students.pieces import Pieces, batches
from pingti.students.transformer import Shape

ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
"""Names in a configuration, and which of GELU's two forms it is; "relu" is known besides."""


class Layer(nn.Module):
    """Attention and feed-forward part, each normalised behind its residual.

    Args:
        shape: the encoder's.
        activation: a name of ``ACTIVATIONS``, or "relu".
        epsilon: of the norms.
        dropout: share of what both parts add that is left out in training.
    """

    def __init__(self, shape: Shape, activation: str, epsilon: float, dropout: float) -> None:
        super().__init__()
        self.heads = shape.heads
        self.activation = activation
        self.dropout = dropout
        self.query = nn.Linear(shape.hidden, shape.hidden)
        self.key = nn.Linear(shape.hidden, shape.hidden)
        self.value = nn.Linear(shape.hidden, shape.hidden)
        self.output = nn.Linear(shape.hidden, shape.hidden)
        self.up = nn.Linear(shape.hidden, shape.intermediate)
        self.down = nn.Linear(shape.intermediate, shape.hidden)
        self.attention_norm = nn.LayerNorm(shape.hidden, epsilon)
        self.norm = nn.LayerNorm(shape.hidden, epsilon)

    def forward(self, asking: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """Compute the next states of some places.

        Args:
            asking: (n, places, hidden), states of the places that are computed.
            states: (n, tokens, hidden), what they read.
            mask: bool (n, 1, 1, tokens), where there is a token.
        """
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(asking), self.key(states), self.value(states))
        )
        seen = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        seen = self.output(seen.transpose(1, 2).flatten(2))
        asking = self.attention_norm(asking + F.dropout(seen, self.dropout, self.training))
        added = self.down(activate(self.up(asking), self.activation))
        normed: Tensor = self.norm(asking + F.dropout(added, self.dropout, self.training))
        return normed


class Encoder(nn.Module):
    """From word pieces to logits.

    Args:
        shape: of the encoder.
        vocabulary: word pieces.
        positions: tokens of a text at most.
        mean: whether the last layer works at the mean of a text's states, and not at its first token.
        activation: as of ``Layer``, like ``epsilon`` and ``dropout``.
        head_activation: "tanh", "relu" or "gelu", in the layer before the head.
        epsilon: of the norms.
        dropout: in training.
    """

    def __init__(
        self,
        shape: Shape,
        *,
        vocabulary: int,
        positions: int,
        mean: bool,
        activation: str,
        head_activation: str,
        epsilon: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.mean = mean
        self.activation = activation
        self.head_activation = head_activation
        self.dropout = dropout
        self.words = nn.Embedding(vocabulary, shape.hidden)
        self.places = nn.Embedding(positions, shape.hidden)
        self.norm = nn.LayerNorm(shape.hidden, epsilon)
        self.layers = nn.ModuleList(Layer(shape, activation, epsilon, dropout) for _ in range(shape.layers))
        self.before_head = nn.Linear(shape.hidden, shape.hidden)
        self.head = nn.Linear(shape.hidden, shape.columns)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Compute logits.

        Args:
            ids: int64 (n, longest), word pieces of n texts, padded behind with any.
            lengths: int64 (n,), how many a text has.

        Returns:
            (n, columns).
        """
        there = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        states = self.norm(self.words(ids) + self.places.weight[: ids.shape[1]])
        states = F.dropout(states, self.dropout, self.training)
        mask = there[:, None, None]
        for layer in self.layers[:-1]:
            states = layer(states, states, mask)
        if self.mean:
            kept = states * there[:, :, None]
            asking = kept.sum(dim=1, keepdim=True) / lengths[:, None, None]
        else:
            asking = states[:, :1]
        read = self.layers[-1](asking, states, mask)[:, 0]
        read = activate(self.before_head(read), self.head_activation)
        logits: Tensor = self.head(F.dropout(read, self.dropout, self.training))
        return logits


def activate(values: Tensor, name: str) -> Tensor:
    """Apply an activation by its name."""
    if name == "relu":
        return F.relu(values)
    if name == "tanh":
        return torch.tanh(values)
    return F.gelu(values, approximate=ACTIVATIONS[name])


def input_ranges(network: Encoder, pieces: Pieces) -> dict[str, tuple[float, float]]:
    """What the linear layers of a network get, for choosing the scales of int8.

    Args:
        network: trained, on the CPU.
        pieces: texts like those that will come, each of one word piece or more.

    Returns:
        By the layer's name the least and the largest of its inputs, padded places left out; 0 lies within.
    """
    ranges: dict[str, tuple[float, float]] = {}
    there = torch.ones(0, 0, dtype=torch.bool)

    def watch(name: str) -> Any:
        def widen(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            (values,) = given
            if values.ndim == 3 and values.shape[:2] == there.shape:
                values = values[there]
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, values.min().item()), max(high, values.max().item())

        return widen

    named = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in named]
    with torch.inference_mode():
        for rows in batches(np.diff(pieces.offsets), tokens=2048):
            ids, lengths = map(torch.from_numpy, pieces.rectangle(rows))
            there = torch.arange(ids.shape[1]) < lengths[:, None]
            network(ids, lengths)
    for hook in hooks:
        hook.remove()
    return ranges
