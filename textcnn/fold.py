"""Fold a network into lookup tables, and score token ids with them.

A convolution over embedded tokens is linear before the maximum, so the product of a token's embedding
with every filter position is computed once: ``table[v, j] = E[v] @ W[j]``. Scoring looks rows up, adds
neighbours, takes the maximum over time, and applies bias, ReLU and the linear head. No matrix product is
left per text.

Tables are int16, filters padded with zeros to whole vectors. Each filter has a scale of its own, chosen so
that no window sum can leave int16: with ``b = sum over positions of max over tokens |table|`` every window
sum lies in [-b, b], so the scale ``(32767 - width) / b`` maps it into int16, the ``width`` being room for
rounding each summand. ``narrowed`` makes int8 of them; their sums are int16 still.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textcnn.architecture import Architecture
from textcnn.encoding import Encoded
from textcnn.kernel import ngram_buckets
from textcnn.vectors import LANES


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """A student's numbers: V ids, P positions over all widths, F filters a width, padded, W widths, R rows.

    A student of two undivided classes has one row, the logit of the second less that of the first; any other
    has a row for each subclass.
    """

    table: NDArray[np.int16] | NDArray[np.int8]
    """(V x P x F,): for each width a block (V, width x F), a token's row in it position after position.

    It starts at a multiple of 64 bytes, so that no vector is read from two cache lines.
    """
    step: NDArray[np.float32]
    """(W x F,): what one unit of a filter's window sum is worth."""
    bias: NDArray[np.float32]
    """(W x F,): added before the ReLU."""
    head: NDArray[np.float32]
    """(R, W x F): the linear layer's weights."""
    head_bias: NDArray[np.float32]
    """(R,)"""
    wide: NDArray[np.float32]
    """(B, rows of the classes): logits of the hashed n-grams of tokens; B may be 0. Each counts for all
    subclasses of its class; two classes have one, the second's logits less the first's."""

    def trunk(self) -> str:
        """Hash what students with a shared trunk have in common: all but the rows of the head."""
        digest = hashlib.sha256()
        for values in (self.table, self.step, self.bias):
            digest.update(values.data)
        return digest.hexdigest()[:16]


def aligned(count: int, size: int = 2) -> NDArray[Any]:
    """Make zeros, int16 (count,) or of ``size`` 1 int8, from a multiple of 64 bytes on."""
    buffer = np.zeros(size * count + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size * count].view(np.int16 if size == 2 else np.int8)


def padded(filters: int) -> int:
    """How many filters a width is stored with: a multiple of a vector's."""
    return -(-filters // LANES) * LANES


def rows(columns: int) -> int:
    """How many rows the head has for so many columns that exclude each other.

    Two make one, the second's logit less the first's.
    """
    return 1 if columns == 2 else columns


def first_columns(subclasses: Sequence[int]) -> list[int]:
    """Each class's first column, where a class has so many of them."""
    return [sum(subclasses[:number]) for number in range(len(subclasses))]


def spread(subclasses: Sequence[int]) -> list[int]:
    """Which of a task's columns of ``Folded.wide`` each row of its head takes; -1: none."""
    if len(subclasses) == 2:
        return [0] if sum(subclasses) == 2 else [-1] * subclasses[0] + [0] * subclasses[1]
    return [number for number, count in enumerate(subclasses) for _ in range(count)]


def fold(
    embedding: NDArray[np.float32],
    filters: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    wide: NDArray[np.float32],
    architecture: Architecture,
) -> Folded:
    """Fold the weights of a network of V ids, P positions, F filters a width, W widths and K subclasses.

    Args:
        embedding: float32 (V, E).
        filters: float32 (P, E, F), the positions of the first width, then of the second, ...
        bias: float32 (W x F,).
        head: float32 (K, W x F).
        head_bias: float32 (K,).
        wide: float32 (B, C), a column for each class, of which there may be fewer than subclasses.
        architecture: the network's shape.

    Returns:
        The tables. No window sum of theirs leaves int16.
    """
    count, wanted = filters.shape[2], padded(filters.shape[2])
    table = aligned(len(embedding) * len(filters) * wanted)
    step = np.zeros((len(architecture.widths), wanted), np.float32)
    first = 0
    for order, width in enumerate(architecture.widths):
        products = np.stack([embedding @ filters[first + position] for position in range(width)])
        bound = np.abs(products).max(axis=1).sum(axis=0).astype(np.float64)
        scale = (32767 - width) / np.where(bound > 0, bound, 1.0)
        size = len(embedding) * wanted
        block = table[first * size : (first + width) * size].reshape(len(embedding), width, wanted)
        block[:, :, :count] = np.rint(products * scale).transpose(1, 0, 2)
        step[order, :count] = 1.0 / scale
        first += width
    return Folded(
        table=table,
        step=step.reshape(-1),
        bias=_pad(bias, count, wanted),
        **fold_head(head, head_bias, wide, count),
    )


def narrowed(folded: Folded, widths: Sequence[int]) -> Folded:
    """Round a table to int8, half the bytes; each filter has a scale of its own.

    Args:
        folded: with a table of int16.
        widths: of the student's architecture.

    Returns:
        The same with a table of int8, and steps that fit it.
    """
    steps = folded.step.reshape(len(widths), -1).copy()
    count = steps.shape[1]
    table = aligned(len(folded.table), 1)
    first = 0
    for width, step in zip(widths, steps, strict=True):
        end = first + len(folded.table) // sum(widths) * width
        block = folded.table[first:end].reshape(-1, count).astype(np.float32)
        scale = np.abs(block).max(axis=0) / np.float32(127)
        scale[scale == 0] = 1.0
        table[first:end] = np.rint(block / scale).reshape(-1)
        step *= scale
        first = end
    return dataclasses.replace(folded, table=table, step=steps.reshape(-1))


def fold_head(
    head: NDArray[np.float32], head_bias: NDArray[np.float32], wide: NDArray[np.float32], filters: int
) -> dict[str, NDArray[np.float32]]:
    """Fold what students of one trunk do not share.

    Args:
        head: as of ``fold``, like ``head_bias`` and ``wide``.
        head_bias: float32 (K,).
        wide: float32 (B, C).
        filters: filters a width, before they are padded.

    Returns:
        The fields ``head``, ``head_bias`` and ``wide`` of ``Folded``.
    """
    if len(head) == 2:
        head, head_bias = head[1:] - head[:1], head_bias[1:] - head_bias[:1]
    if wide.shape[1] == 2:
        wide = wide[:, 1:] - wide[:, :1]
    return {
        "head": _pad(head, filters, padded(filters)),
        "head_bias": head_bias.astype(np.float32),
        "wide": np.ascontiguousarray(wide, np.float32),
    }


def _pad(values: NDArray[np.float32], count: int, wanted: int) -> NDArray[np.float32]:
    """Zeros behind each width's filters, in the last axis."""
    if not count:  # a bag of n-grams has no filters
        return values.astype(np.float32)
    blocks = values.reshape(*values.shape[:-1], -1, count)
    space = [(0, 0)] * (blocks.ndim - 1) + [(0, wanted - count)]
    return np.pad(blocks, space).reshape(*values.shape[:-1], -1).astype(np.float32)


def reference_score(
    folded: Folded, encoded: Encoded, widths: tuple[int, ...], subclasses: Sequence[int] | None = None
) -> NDArray[np.float32]:
    """Score in plain numpy, a text at a time: what every compiled variant is tested against.

    Args:
        folded: a student's numbers.
        encoded: n texts.
        widths: of the student's architecture.
        subclasses: the number of columns of each class; 1 where absent.

    Returns:
        Class probabilities, float32 (n, classes), as of ``Student.score``.
    """
    count = len(folded.step) // max(1, len(widths))
    parts = subclasses or [1] * max(2, len(folded.head))
    takes = np.array(spread(parts))
    probabilities = np.full((len(encoded), len(parts)), np.nan, np.float32)
    for text in np.flatnonzero(encoded.valid):
        ids = encoded.ids[encoded.offsets[text] : encoded.offsets[text + 1]]
        of_classes = _wide_logits(folded.wide, ids)
        logits = np.where(takes < 0, 0.0, of_classes[takes])
        length = len(ids)
        ids = np.concatenate([ids, np.zeros(max(widths, default=0), np.int32)])
        pooled, first = [np.zeros(0)], 0
        for width in widths:
            windows = max(1, length - width + 1)
            sums = np.zeros((windows, count), np.int16)
            size = len(folded.table) // sum(widths)
            block = folded.table[first * size : (first + width) * size].reshape(-1, width, count)
            for position in range(width):
                sums += block[ids[position : position + windows], position]
            pooled.append(sums.max(axis=0))
            first += width
        features = np.maximum(np.concatenate(pooled) * folded.step + folded.bias, 0.0)
        logits = logits + folded.head @ features.astype(np.float64) + folded.head_bias
        if len(logits) == 1:
            logits = np.array([0.0, logits[0]])
        exponentials = np.exp(logits - logits.max())
        sums = np.add.reduceat(exponentials, first_columns(parts))
        probabilities[text] = sums / exponentials.sum()
    return probabilities


def _wide_logits(wide: NDArray[np.float32], ids: NDArray[np.int32]) -> NDArray[np.float64]:
    logits = np.zeros(wide.shape[1])
    if len(wide) and len(ids):
        buckets, _ = ngram_buckets(ids, np.array([0, len(ids)]), len(wide))
        logits += wide[buckets].sum(axis=0, dtype=np.float64) / np.sqrt(len(buckets))
    return logits
