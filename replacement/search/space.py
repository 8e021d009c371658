"""The shapes that a search chooses among, and what training one takes.

The network has one layer of convolutions and no depth that could be searched: it is what folding needs.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.workspace.definition import StudentSection
from textcnn.architecture import Architecture
from textcnn.cost import Cost, cost_of
from textcnn.vectors import LANES

MOST_TIMES = 4.0
"""Shapes of more than so many times the operations of the definition's are left out."""
_BATCH = 64  # rows of a training step
_STEP = 12.0  # operations of Adam and of the running average for a number of the network
_ALIVE = 0.3  # share of the features that dropout and ReLU leave for the backward pass


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a student's section is searched; each number as there."""

    embedding: int
    filters: int
    widths: tuple[int, ...]
    wide: int
    vocabulary: int
    subclasses: int
    members: int

    @classmethod
    def of(cls, section: StudentSection) -> "Shape":
        """The shape that a definition has.

        Args:
            section: of the definition.
        """
        return cls(**{name: getattr(section, name) for name in cls.__dataclass_fields__})

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> "Shape":
        """A shape as ``asdict`` wrote it.

        Args:
            values: by the names of the fields.
        """
        return cls(**{**values, "widths": tuple(values["widths"])})

    def section(self, section: StudentSection) -> StudentSection:
        """A definition's section with this shape.

        Args:
            section: has all other keys.
        """
        return StudentSection(**{**section.model_dump(), **asdict(self)})

    @property
    def folded(self) -> Architecture:
        """What is scored: all members side by side, filters stored in whole vectors."""
        return Architecture(
            embedding=self.members * self.embedding,
            filters=-(-self.members * self.filters // LANES) * LANES,
            widths=self.widths,
            wide=self.wide,
        )

    def cost(self, columns: int, size: int, tokens: float) -> Cost:
        """What a folded student of it takes.

        Args:
            columns: of the network, for the subclasses that it has.
            size: ids of the vocabulary.
            tokens: of a text, in the mean.
        """
        return cost_of(self.folded, size=size, columns=columns, tokens=tokens)

    def training(self, rows: int, epochs: int, size: int, tokens: float) -> float:
        """Operations that a training takes, about: what a search's compute is counted in.

        A step multiplies the vectors of the distinct tokens of its rows by all filters, goes back through the
        winning windows alone, and moves every number of the network.

        Args:
            rows: that are learned from.
            epochs: passes over them.
            size: ids of the vocabulary.
            tokens: of a text, in the mean.
        """
        positions = sum(self.widths)
        distinct = size * (1.0 - math.exp(-0.5 * _BATCH * tokens / size))
        weights = self.embedding * positions * self.filters
        forward = distinct * weights + _BATCH * tokens * positions * self.filters
        backward = 2.0 * _ALIVE * _BATCH * weights
        moved = _STEP * (size * self.embedding + weights)
        steps = epochs * math.ceil(rows / _BATCH)
        return self.members * steps * (forward + backward + moved)

    @property
    def features(self) -> NDArray[np.float64]:
        """What the surrogate sees, float64 (8,): numbers as logarithms, as most act by their ratio."""
        return np.array(
            [
                math.log2(self.embedding),
                math.log2(self.filters),
                len(self.widths),
                max(self.widths),
                math.log2(1 + self.wide) / 4,
                math.log2(self.vocabulary),
                math.log2(1 + self.subclasses) / 2,
                math.log2(self.members),
            ]
        )


def shapes_around(section: StudentSection, *, labels: int, classes: int, known: int) -> list[Shape]:
    """All shapes that are searched, the definition's first.

    Args:
        section: of the definition, from whose shape they go down and up.
        labels: of the teacher.
        classes: of the task.
        known: tokens of the pool: a larger vocabulary has no more.
    """
    first = Shape.of(section)
    choices = {
        "embedding": _times(first.embedding, (0.25, 0.5, 1), most=1024),
        "filters": _times(first.filters, (0.25, 0.5, 1, 2, 4), most=1024),
        "widths": _in_order(first.widths, (1, 2), (1, 2, 3), (2, 3), (1, 2, 3, 4)),
        "wide": _in_order(first.wide, 0, *([first.wide * 4] if 0 < first.wide <= 1 << 20 else [])),
        "vocabulary": _times(first.vocabulary, (0.5, 1, 2), most=min(200_000, max(known, first.vocabulary))),
        "subclasses": _in_order(first.subclasses, 0, classes + 4) if labels > classes else [first.subclasses],
        "members": _in_order(first.members, 1, 2, 4),
    }
    return [
        Shape(**dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())
    ]


def _times(number: int, factors: tuple[float, ...], *, most: int) -> list[int]:
    return _in_order(number, *(value for factor in factors if 1 <= (value := int(number * factor)) <= most))


def _in_order(*values: Any) -> list[Any]:
    """Values without repetition."""
    return list(dict.fromkeys(values))
