"""The student network: Kim (2014), "Convolutional Neural Networks for Sentence Classification", section 2.

Embedding, convolutions of several widths over time, max over time, ReLU, dropout, linear. ReLU after the
maximum equals ReLU before it, and is cheaper there.

Texts come as one array of ids with offsets, so there is no padding: a text of n tokens has
max(1, n - width + 1) windows of a width, and a text shorter than the width is followed by zero vectors.
That is the definition that folded scoring follows too.
"""

from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from textcnn.architecture import Architecture
from textcnn.kernel import ngram_buckets

_EMBEDDING_SCALE = 0.3  # standard deviation of the vectors at the start


class TextCNN(nn.Module):
    """Ids of texts in, one logit per class out.

    Args:
        size: the vocabulary's number of ids.
        classes: of all tasks together.
        architecture: the shape.
        rng: weights and dropout come from it.
        subclasses: how many logits each class has, one behind the other; 1 where absent.

    Parameters: ``embedding`` (size, E) with row 0 zero and fixed; ``filters`` (positions, E, F), the
    positions of the first width, then of the second, ...; ``bias`` (widths x F); ``head`` linear layer to
    the classes, or to parts of them; ``wide`` (buckets, classes), rows of logits that a text's hashed n-grams
    add, which gradients do not reach.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        architecture: Architecture,
        rng: np.random.Generator,
        subclasses: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.subclasses = tuple(subclasses or [1] * classes)
        columns = sum(self.subclasses)
        width_count, filters = len(architecture.widths), architecture.filters
        embedding = rng.normal(0.0, _EMBEDDING_SCALE, (size, architecture.embedding)).astype(np.float32)
        embedding[0] = 0.0
        self.embedding = nn.Parameter(torch.from_numpy(embedding))
        # He et al. (2015), equation 10: the fan-in of a filter is its width x E.
        blocks = [
            rng.normal(
                0.0, np.sqrt(2.0 / (width * architecture.embedding)), (width, architecture.embedding, filters)
            )
            for width in architecture.widths
        ]
        self.filters = nn.Parameter(torch.from_numpy(np.concatenate(blocks).astype(np.float32)))
        self.bias = nn.Parameter(torch.zeros(width_count * filters))
        self.dropout = Dropout(rng)
        # Without its own start, which would draw from torch's global generator.
        self.head = nn.utils.skip_init(nn.Linear, width_count * filters, columns)
        head = rng.normal(0.0, np.sqrt(1.0 / (width_count * filters)), (columns, width_count * filters))
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.astype(np.float32)))
            self.head.bias.zero_()
        self.wide = nn.Parameter(torch.zeros(architecture.wide, classes), requires_grad=False)

    def start_embedding(self, vectors: NDArray[np.float32]) -> None:
        """Take ``vectors``, float32 (m, E) of a standard deviation near 1, for the tokens 1 to m."""
        with torch.no_grad():
            self.embedding[1 : 1 + len(vectors)].copy_(torch.from_numpy(vectors * _EMBEDDING_SCALE))

    def add_wide(self, wide: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Take the wide part.

        Args:
            wide: float32 (buckets, classes), rows of logits.
            bias: float32 (classes,), what is added to the classes' bias.
        """
        with torch.no_grad():
            self.wide.copy_(torch.from_numpy(wide))
            self.head.bias.add_(torch.from_numpy(np.repeat(bias, self.subclasses)))

    def forward(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> Tensor:
        """Compute the logits of n texts.

        Args:
            ids: int32, of all texts, one behind the other.
            offsets: int64 (n + 1,): text i is ``ids[offsets[i]:offsets[i + 1]]``.

        Returns:
            float32 (n, subclasses).
        """
        logits = self.deep(ids, offsets)
        if len(self.wide):
            buckets, ends = ngram_buckets(ids, offsets, len(self.wide))
            sums = nn.functional.embedding_bag(
                torch.from_numpy(buckets), self.wide, torch.from_numpy(ends[:-1]), mode="sum"
            )
            counts = torch.from_numpy(np.maximum(1, np.diff(ends)).astype(np.float32))
            of_classes = sums / counts.sqrt()[:, None]
            logits = logits + of_classes.repeat_interleave(torch.tensor(self.subclasses), dim=1)
        return logits

    def deep(self, ids: NDArray[np.int32], offsets: NDArray[np.int64]) -> Tensor:
        """Compute ``forward`` without the wide part."""
        # One row per distinct token of the batch: its product with every filter position is needed once.
        distinct, index = np.unique(ids, return_inverse=True)
        rows = self.embedding[torch.from_numpy(distinct.astype(np.int64))]
        pooled = MaxOverTime.apply(
            rows, self.filters, index.astype(np.int32), offsets, self.architecture.widths
        )
        features = self.dropout(torch.relu(pooled + self.bias))
        logits: Tensor = self.head(features)
        return logits


class Dropout(nn.Module):
    """Dropout (Srivastava et al. 2014) with a generator of its own, so that a seed gives one result."""

    def __init__(self, rng: np.random.Generator, rate: float = 0.5) -> None:
        super().__init__()
        self.rate = rate
        self._generator = torch.Generator().manual_seed(int(rng.integers(2**63)))

    def forward(self, features: Tensor) -> Tensor:
        """Drop a share ``rate`` of the numbers in training, and scale the others up."""
        if not self.training:
            return features
        kept = torch.rand(features.shape, generator=self._generator) >= self.rate
        return features * kept / (1.0 - self.rate)


class MaxOverTime(torch.autograd.Function):
    """Convolution and max over time in one step, with a backward pass that visits only the maxima.

    After the maximum the gradient of a text's filter reaches one window; a convolution's own backward
    would multiply all other windows by zeros.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, filters: Tensor, index: NDArray[np.int32], offsets: NDArray[np.int64],
        widths: Sequence[int],
    ) -> Tensor:  # fmt: skip
        """Compute the maxima, float32 (n, widths x F), of n texts.

        ``rows`` (m, E) are the vectors of the batch's distinct tokens, ``filters`` as of ``TextCNN``; text i
        has the rows ``index[offsets[i]:offsets[i + 1]]``.
        """
        positions, dimension, count = filters.shape
        flat = filters.permute(1, 0, 2).reshape(dimension, positions * count)
        products = (rows @ flat).numpy()
        pooled, arguments = _pool(products, index, offsets, np.array(widths, np.int64), count)
        ctx.save_for_backward(rows, filters)
        ctx.indices = (index, offsets, arguments, np.array(widths, np.int64))
        return torch.from_numpy(pooled)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """Compute the gradients of ``rows`` and ``filters``."""
        rows, filters = ctx.saved_tensors
        index, offsets, arguments, widths = ctx.indices
        # (positions, F, E): a filter's weights at one position side by side, as the kernel reads them
        by_filter = filters.permute(0, 2, 1).contiguous()
        row_gradient = torch.zeros_like(rows)
        filter_gradient = torch.zeros_like(by_filter)
        _scatter(
            gradients[0].contiguous().numpy(), rows.contiguous().numpy(), by_filter.numpy(), index, offsets,
            arguments, widths, row_gradient.numpy(), filter_gradient.numpy(),
        )  # fmt: skip
        return row_gradient, filter_gradient.permute(0, 2, 1), None, None, None


@numba.njit(nogil=True, cache=True, fastmath={"nsz", "nnan"})
def _pool(
    products: NDArray[np.float32],
    index: NDArray[np.int32],
    offsets: NDArray[np.int64],
    widths: NDArray[np.int64],
    filters: int,
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Maximum over time of the window sums, and the first window that reaches it: (n, widths x F) both."""
    n = len(offsets) - 1
    pooled = np.full((n, len(widths) * filters), -np.inf, np.float32)
    arguments = np.zeros((n, len(widths) * filters), np.int32)
    sums = np.empty(filters, np.float32)
    for text in range(n):
        start, end = offsets[text], offsets[text + 1]
        block = 0
        for order in range(len(widths)):
            width = widths[order]
            best = pooled[text, order * filters : (order + 1) * filters]
            where = arguments[text, order * filters : (order + 1) * filters]
            for window in range(max(1, end - start - width + 1)):
                sums[:] = 0.0
                for position in range(min(width, end - start - window)):
                    row = products[index[start + window + position]]
                    part = row[(block + position) * filters : (block + position + 1) * filters]
                    for f in range(filters):
                        sums[f] += part[f]
                for f in range(filters):
                    if sums[f] > best[f]:
                        best[f] = sums[f]
                        where[f] = window
            block += width
    return pooled, arguments


@numba.njit(nogil=True, cache=True, fastmath={"reassoc", "contract", "nsz"})
def _scatter(
    gradient: NDArray[np.float32],
    rows: NDArray[np.float32],
    filters: NDArray[np.float32],
    index: NDArray[np.int32],
    offsets: NDArray[np.int64],
    arguments: NDArray[np.int32],
    widths: NDArray[np.int64],
    row_gradient: NDArray[np.float32],
    filter_gradient: NDArray[np.float32],
) -> None:
    """Add the gradients of the winning windows to their tokens' rows and to their filters."""
    count = filters.shape[1]
    for text in range(len(offsets) - 1):
        start, end = offsets[text], offsets[text + 1]
        block = 0
        for order in range(len(widths)):
            for f in range(count):
                g = gradient[text, order * count + f]
                if g == 0.0:  # dropped, or below zero before the ReLU
                    continue
                window = arguments[text, order * count + f]
                for position in range(min(widths[order], end - start - window)):
                    token = index[start + window + position]
                    row, row_out = rows[token], row_gradient[token]
                    weights = filters[block + position, f]
                    weights_out = filter_gradient[block + position, f]
                    for e in range(len(row)):
                        row_out[e] += g * weights[e]
                        weights_out[e] += g * row[e]
            block += widths[order]
