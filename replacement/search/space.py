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
MOST_CHANGES = 2
"""Shapes that differ from the definition's in more are left out. Of thousands that differ in everything a
search finds those that a few hundred validation rows happen to like: on weibo none that was better."""
_BATCH = 64  # rows of a training step
# In additions of pooling; fitted to the processor time of 32 trainings of shapes drawn at random, within a
# tenth of those of a second and more.
_MOVED = 0.36  # a number of the network, moved by Adam and by the running average
_STEP = 170_000.0  # a step, whatever the shape
_WIDE = 13_600.0  # a row of the wide part, in all its passes


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a student's section is searched; each number as there."""

    embedding: int
    filters: int
    widths: tuple[int, ...]
    wide: int
    vocabulary: int
    subclasses: int

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
        """What is scored: filters stored in whole vectors."""
        return Architecture(
            embedding=self.embedding,
            filters=-(-self.filters // LANES) * LANES,
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
        """Count what a training takes, in additions of pooling: what a search's compute is counted in.

        A step pools the windows of its rows and moves every number of the network; the products with the
        filters are made for distinct tokens alone, and by comparison take nothing.

        Args:
            rows: that are learned from.
            epochs: passes over them.
            size: ids of the vocabulary.
            tokens: of a text, in the mean.
        """
        positions = sum(self.widths)
        pooled = _BATCH * tokens * positions * self.filters
        moved = self.embedding * (size + positions * self.filters)
        steps = epochs * math.ceil(rows / _BATCH)
        wide = _WIDE * rows if self.wide else 0.0
        return steps * (pooled + _MOVED * moved + _STEP) + wide

    @property
    def features(self) -> NDArray[np.float64]:
        """What the surrogate sees, float64 (7,): numbers as logarithms, as most act by their ratio."""
        return np.array(
            [
                math.log2(self.embedding),
                math.log2(self.filters),
                len(self.widths),
                max(self.widths),
                math.log2(1 + self.wide) / 4,
                math.log2(self.vocabulary),
                math.log2(1 + self.subclasses) / 2,
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
    }
    shapes = [
        Shape(**dict(zip(choices, values, strict=True))) for values in itertools.product(*choices.values())
    ]
    return [shape for shape in shapes if _changes(first, shape) <= MOST_CHANGES]


def _changes(first: Shape, other: Shape) -> int:
    """How many numbers differ."""
    return sum(getattr(first, name) != getattr(other, name) for name in Shape.__dataclass_fields__)


def _times(number: int, factors: tuple[float, ...], *, most: int) -> list[int]:
    return _in_order(number, *(value for factor in factors if 1 <= (value := int(number * factor)) <= most))


def _in_order(*values: Any) -> list[Any]:
    """Values without repetition."""
    return list(dict.fromkeys(values))
