"""The student's network as it is commonly written in torch: padded batches, ``Conv1d``, masks."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textcnn import Encoded
from textcnn.network import TextCNN


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Texts of about one length, padded with id 0 to the longest of them."""

    ids: NDArray[np.int64]
    """(n, longest)"""
    masks: list[NDArray[np.float32]]
    """For each width (n, longest - width + 1): 0 for a window of the text, a large negative number else."""


class PlainTextCNN(nn.Module):
    """The network as it is commonly written, on padded batches.

    ``wide_kernel``: convolve over (width x embedding) as one image, as the code of Kim (2014) and its ports
    do; else ``Conv1d`` over time.
    """

    def __init__(self, network: TextCNN, *, wide_kernel: bool = False) -> None:
        super().__init__()
        shape = network.architecture
        self.widths, self.wide_kernel = shape.widths, wide_kernel
        self.embedding = nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
            network.embedding.detach().clone(), freeze=False, padding_idx=0
        )
        self.convolutions = nn.ModuleList(
            nn.Conv1d(shape.embedding, shape.filters, width) for width in shape.widths
        )
        first = 0
        with torch.no_grad():
            for order, (width, layer) in enumerate(zip(shape.widths, self.convolutions, strict=True)):
                # (width, E, F) to (F, E, width)
                layer.weight.copy_(network.filters[first : first + width].permute(2, 1, 0))  # type: ignore[operator]
                layer.bias.copy_(network.bias[order * shape.filters : (order + 1) * shape.filters])  # type: ignore[operator]
                first += width
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(network.head.in_features, network.head.out_features)
        self.head.load_state_dict(network.head.state_dict())

    def forward(self, ids: Tensor, *masks: Tensor) -> Tensor:
        vectors = self.embedding(ids)
        pooled = []
        for layer, mask in zip(self.convolutions, masks, strict=True):
            if self.wide_kernel:
                kernel = layer.weight.permute(0, 2, 1).unsqueeze(1)  # type: ignore[operator]
                windows = nn.functional.conv2d(vectors.unsqueeze(1), kernel, layer.bias).squeeze(3)  # type: ignore[arg-type]
            else:
                windows = layer(vectors.transpose(1, 2))
            pooled.append((windows + mask.unsqueeze(1)).amax(2))
        logits: Tensor = self.head(self.dropout(torch.relu(torch.cat(pooled, 1))))
        return logits


def batches(encoded: Encoded, size: int, widths: tuple[int, ...], *, by_length: bool = True) -> list[Batch]:
    """Padded batches of ``size`` texts, the shortest texts first unless the order is to be kept."""
    lengths = np.diff(encoded.offsets)
    order = np.argsort(lengths, kind="stable") if by_length else np.arange(len(lengths))
    batched = []
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        some, longest = lengths[rows], max(int(lengths[rows].max()), *widths)
        ids = np.zeros((len(rows), longest), np.int64)
        ids[np.arange(longest) < some[:, None]] = encoded.take(rows).ids
        masks = []
        for width in widths:
            windows = np.maximum(1, some - width + 1)
            outside = np.arange(longest - width + 1) >= windows[:, None]
            masks.append(np.where(outside, np.float32(-1e9), np.float32(0)))
        batched.append(Batch(ids=ids, masks=masks))
    return batched
