"""What a student costs, known from its shape before it is trained: memory, operations, and time.

The time of a text of t tokens in b bytes is a sum of eight counts, each times what one of it takes on a
machine::

    text                     1
    bytes read               b
    tokens sorted            t, where there are widths
    loads of the table       sum over widths w of  w x max(1, t - w + 1) x ceil(filters / 32)
    features                 widths x filters, each scaled and cut off at zero
    products                 rows x widths x filters
    n-grams hashed           2t - 1, where there is a wide part
    logits of n-grams        rows x (2t - 1), where there are several rows

A load is a vector of 32 numbers that is read and added: what folding has left of the convolutions. ``rows``
is 1 for two columns, else their number. A bag of n-grams has no widths, so that loads, features and products
are 0. ``python -m benchmarks.cost`` fits the machine's numbers and holds the formula against measured shapes.
"""

import math
from dataclasses import astuple, dataclass

from textcnn.architecture import Architecture

_LANES = 32
"""As of ``textcnn.vectors``, which loads the compiler."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a student takes: once in memory, and for each text."""

    bytes: int
    """Of its numbers, as they lie in memory."""
    operations: float
    """For a text: additions of a folded student's numbers, multiplications of any other's."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """A number for each term of the formula: how many there are, or nanoseconds of one core for one of it."""

    text: float
    byte: float
    token: float
    load: float
    feature: float
    product: float
    ngram: float
    logit: float


def cost_of(architecture: Architecture, *, size: int, columns: int, tokens: float, table: int = 2) -> Cost:
    """Count what a folded student takes.

    A window of w tokens adds w rows of the table, of a number for each filter; the head multiplies what is
    left of every filter, and the wide part adds a row of logits for each token and each pair.

    Args:
        architecture: the network's shape.
        size: tokens of the vocabulary.
        columns: what the network decides between; two columns are one logit.
        tokens: of a text, in the mean.
        table: bytes of a number of the table.
    """
    rows = 1 if columns == 2 else columns
    features = len(architecture.widths) * architecture.filters
    windows = sum(width * max(1.0, tokens - width + 1) for width in architecture.widths)
    wide = rows * max(0.0, 2 * tokens - 1) if architecture.wide else 0.0
    return Cost(
        bytes=table * size * architecture.positions * architecture.filters
        + 4 * (rows * (features + 1) + architecture.wide * rows + 2 * features),
        operations=windows * architecture.filters + rows * features + wide,
    )


def counts_of(architecture: Architecture, *, columns: int, tokens: float, text_bytes: float) -> Terms:
    """Count what the time of a text is made of.

    Args:
        architecture: as of ``cost_of``, like ``columns``.
        columns: what the network decides between.
        tokens: of a text, in the mean.
        text_bytes: of a text in UTF-8, in the mean.

    Returns:
        How many of each there are.
    """
    rows = 1 if columns == 2 else columns
    features = len(architecture.widths) * architecture.filters
    windows = sum(width * max(1.0, tokens - width + 1) for width in architecture.widths)
    ngrams = max(0.0, 2 * tokens - 1) if architecture.wide else 0.0
    return Terms(
        text=1.0,
        byte=text_bytes,
        token=tokens if architecture.widths else 0.0,
        load=windows * math.ceil(architecture.filters / _LANES),
        feature=features,
        product=rows * features,
        ngram=ngrams,
        logit=rows * ngrams if rows > 1 else 0.0,  # a single one stays in a register
    )


def nanoseconds_of(counts: Terms, machine: Terms) -> float:
    """Time of a text on one core.

    Args:
        counts: of ``counts_of``.
        machine: what one of each takes; ``benchmarks.cost`` fits it.
    """
    products: list[float] = [
        count * one for count, one in zip(astuple(counts), astuple(machine), strict=True)
    ]
    return sum(products)
