"""Scores of students of any kinds for the same texts: TextCNNs in one pass, the others one after another."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.frames.texts import text_array
from pingti.students.interface import AnyStudent
from textcnn import MultiScorer, Student


class Scorer:
    """Students that score together; safe to use from several threads.

    Args:
        students: of any kinds, none or more.
    """

    def __init__(self, students: Sequence[AnyStudent]) -> None:
        self._students = tuple(students)
        folded = {n: student for n, student in enumerate(students) if isinstance(student, Student)}
        self._folded = tuple(folded)
        """The places of those that score in one pass."""
        self._one_pass = MultiScorer(list(folded.values()))

    def score(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> list[NDArray[np.float32]]:
        """Score n texts with every student.

        Args:
            texts: as of ``textcnn.Student.score``.

        Returns:
            For each student float32 (n, classes), as of its ``score``.
        """
        texts = text_array(texts)
        scores = dict(zip(self._folded, self._one_pass.score(texts), strict=True)) if self._folded else {}
        return [
            scores[number] if number in scores else student.score(texts)
            for number, student in enumerate(self._students)
        ]
