"""Fold a network into lookup tables, and score token ids with them.

A convolution over embedded tokens is linear before the maximum, so the product of a token's embedding
with every filter position is computed once: ``table[v, j] = E[v] @ W[j]``. Scoring looks rows up, adds
neighbours, takes the maximum over time, and applies bias, ReLU and the linear head. No matrix product is
left per text.

Tables are int16. Each filter has a scale of its own, chosen so that no window sum can leave int16: with
``b = sum over positions of max over tokens |table|`` every window sum lies in [-b, b], so the scale
``(32767 - width) / b`` maps it into int16, the ``width`` being room for rounding each summand.
"""

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from textcnn.encoding import Encoded


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """A student's numbers. V ids, P positions over all widths, F filters a width, W widths, C classes."""

    table: NDArray[np.int16]
    """(V, P x F): a token's row, position after position."""
    step: NDArray[np.float32]
    """(W x F,): what one unit of a filter's window sum is worth."""
    bias: NDArray[np.float32]
    """(W x F,): added before the ReLU."""
    head: NDArray[np.float32]
    """(W x F, C): the linear layer's weights."""
    head_bias: NDArray[np.float32]
    """(C,)"""


def fold(
    embedding: NDArray[np.float32],
    filters: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    widths: tuple[int, ...],
) -> Folded:
    """Fold embedding (V, E), filters (P, E, F), bias (W x F,), head (C, W x F) and head_bias (C,)."""
    count = filters.shape[2]
    table = np.empty((len(embedding), len(filters) * count), np.int16)
    steps = []
    first = 0
    for width in widths:
        products = np.stack([embedding @ filters[first + position] for position in range(width)])
        bound = np.abs(products).max(axis=1).sum(axis=0).astype(np.float64)
        scale = (32767 - width) / np.maximum(bound, 1e-30)
        quantised = np.rint(products * scale).astype(np.int16)
        for position in range(width):
            table[:, (first + position) * count : (first + position + 1) * count] = quantised[position]
        steps.append(1.0 / scale)
        first += width
    return Folded(
        table=table,
        step=np.concatenate(steps).astype(np.float32),
        bias=bias.astype(np.float32),
        head=np.ascontiguousarray(head.T, np.float32),
        head_bias=head_bias.astype(np.float32),
    )


def score(
    folded: Folded,
    encoded: Encoded,
    widths: tuple[int, ...],
    features: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Class probabilities, float32 (n, C); NaN in the rows of texts that are not valid.

    ``features``, float32 (n, W x F), is filled with what the head sees, where it is given.
    """
    probabilities = np.empty((len(encoded), len(folded.head_bias)), np.float32)
    _score(
        encoded.ids, encoded.offsets, folded.table, np.array(widths, np.int64), folded.step, folded.bias,
        folded.head, folded.head_bias, probabilities,
        np.empty((0, 0), np.float32) if features is None else features,
    )  # fmt: skip
    probabilities[~encoded.valid] = np.nan
    return probabilities


def reference_score(folded: Folded, encoded: Encoded, widths: tuple[int, ...]) -> NDArray[np.float32]:
    """``score`` in plain numpy, a text at a time: what every compiled variant is tested against."""
    count = len(folded.step) // len(widths)
    probabilities = np.full((len(encoded), len(folded.head_bias)), np.nan, np.float32)
    for text in np.flatnonzero(encoded.valid):
        ids = encoded.ids[encoded.offsets[text] : encoded.offsets[text + 1]]
        ids = np.concatenate([ids, np.zeros(max(0, max(widths) - len(ids)), np.int32)])
        length = int(encoded.offsets[text + 1] - encoded.offsets[text])
        pooled, first = [], 0
        for width in widths:
            windows = max(1, length - width + 1)
            sums = np.zeros((windows, count), np.int16)
            for position in range(width):
                block = slice((first + position) * count, (first + position + 1) * count)
                sums += folded.table[ids[position : position + windows], block]
            pooled.append(sums.max(axis=0))
            first += width
        features = np.maximum(np.concatenate(pooled) * folded.step + folded.bias, 0.0)
        logits = features.astype(np.float64) @ folded.head + folded.head_bias
        exponentials = np.exp(logits - logits.max())
        probabilities[text] = exponentials / exponentials.sum()
    return probabilities


_FLOATS = numba.types.Array(numba.float32, 1, "C", readonly=True)
_MATRIX = numba.types.Array(numba.float32, 2, "C", readonly=True)
_TABLE = numba.types.Array(numba.int16, 2, "C", readonly=True)


@numba.njit(
    numba.void(
        numba.int32[::1], numba.int64[::1], _TABLE, numba.int64[::1], _FLOATS, _FLOATS, _MATRIX, _FLOATS,
        numba.float32[:, ::1], numba.float32[:, ::1],
    ),
    nogil=True,
    cache=True,
    fastmath={"reassoc", "contract", "nsz"},
)  # fmt: skip
def _score(
    ids: NDArray[np.int32],
    offsets: NDArray[np.int64],
    table: NDArray[np.int16],
    widths: NDArray[np.int64],
    step: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    features: NDArray[np.float32],
) -> None:
    filters = len(step) // len(widths)
    classes = len(head_bias)
    best = np.empty(len(step), np.int16)
    sums = np.empty(filters, np.int16)
    logits = np.empty(classes, np.float32)
    for text in range(len(offsets) - 1):
        start, end = offsets[text], offsets[text + 1]
        best[:] = -32768
        block = 0
        for order in range(len(widths)):
            width = widths[order]
            top = best[order * filters : (order + 1) * filters]
            for window in range(max(1, end - start - width + 1)):
                # Behind the end lie zeros: the row of the padding id, which need not be read.
                present = min(width, end - start - window)
                if present == 0:
                    sums[:] = 0
                for position in range(present):
                    row = table[ids[start + window + position]]
                    part = row[(block + position) * filters : (block + position + 1) * filters]
                    if position == 0:
                        for f in range(filters):
                            sums[f] = part[f]
                    else:
                        for f in range(filters):
                            sums[f] = np.int16(sums[f] + part[f])
                for f in range(filters):
                    if sums[f] > top[f]:
                        top[f] = sums[f]
            block += width
        logits[:] = head_bias
        for f in range(len(best)):
            feature = max(np.float32(best[f]) * step[f] + bias[f], np.float32(0.0))
            if len(features):
                features[text, f] = feature
            if feature > 0:
                for c in range(classes):
                    logits[c] += feature * head[f, c]
        highest = logits.max()
        total = np.float32(0.0)
        for c in range(classes):
            logits[c] = np.exp(logits[c] - highest)
            total += logits[c]
        for c in range(classes):
            probabilities[text, c] = logits[c] / total
