"""What a student costs, known from its shape before it is trained."""

from dataclasses import dataclass

from textcnn.architecture import Architecture


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a student takes: once in memory, and for each text."""

    bytes: int
    """Of its numbers, as they lie in memory."""
    operations: float
    """For a text: additions of a folded student's numbers, multiplications of any other's."""


def cost_of(architecture: Architecture, *, size: int, columns: int, tokens: float) -> Cost:
    """Count what a folded student takes.

    A window of w tokens adds w rows of the table, of an int16 for each filter; the head multiplies what is
    left of every filter, and the wide part adds a row of logits for each token and each pair.

    Args:
        architecture: the network's shape.
        size: tokens of the vocabulary.
        columns: what the network decides between; two columns are one logit.
        tokens: of a text, in the mean.
    """
    rows = 1 if columns == 2 else columns
    features = len(architecture.widths) * architecture.filters
    windows = sum(width * max(1.0, tokens - width + 1) for width in architecture.widths)
    wide = rows * (2 * tokens - 1) if architecture.wide else 0.0
    return Cost(
        bytes=2 * size * architecture.positions * architecture.filters
        + 4 * (rows * (features + 1) + architecture.wide * rows + 2 * features),
        operations=windows * architecture.filters + rows * features + wide,
    )
