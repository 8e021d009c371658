"""Scores of several students in one pass over the texts.

What students share is done once: texts are encoded once for those of one vocabulary, and looked up once for
those of one trunk, whose heads then follow each other.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textcnn.encoding import Encoded, Vocabulary, arrow_texts, text_buffers
from textcnn.fold import first_columns, spread
from textcnn.kernel import order_texts, score_ids, score_texts

if TYPE_CHECKING:
    from textcnn.student import Student

_PROBE: Final = 1024
_FEWER: Final = 0.94
_HASHABLE: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
)
_PIECE: Final = 32_768  # texts that one trunk after another scores


class Panel:
    """Students that are asked together. Scoring releases the interpreter's lock."""

    def __init__(self, students: "Sequence[Student]") -> None:
        groups: dict[tuple[str, str, int], list[int]] = {}
        for number, student in enumerate(students):
            key = (student.vocabulary.fingerprint, student.trunk, student.architecture.wide)
            groups.setdefault(key, []).append(number)
        self._count = len(students)
        self._trunks = [_Trunk([students[n] for n in numbers], numbers) for numbers in groups.values()]
        self.vocabularies: dict[str, Vocabulary] = {
            student.vocabulary.fingerprint: student.vocabulary for student in students
        }
        """The students' vocabularies by fingerprint."""

    def score(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> list[NDArray[np.float32]]:
        """Each student's class probabilities of n texts, float32 (n, classes), as of ``Student.score``."""
        if not isinstance(texts, (pa.Array, pa.ChunkedArray)):
            texts = arrow_texts(texts)
        if pa.types.is_dictionary(texts.type):
            return self._score_dictionary(texts)
        parts = [self._score_array(chunk) for chunk in getattr(texts, "chunks", [texts]) if len(chunk)]
        if len(parts) == 1:
            return parts[0]
        empty = self.score_encoded({key: v.encode([]) for key, v in self.vocabularies.items()})
        return [np.concatenate(columns) for columns in zip(empty, *parts, strict=True)]

    def score_encoded(
        self, encoded: dict[str, Encoded], features: NDArray[np.float32] | None = None
    ) -> list[NDArray[np.float32]]:
        """``score`` for texts encoded by each of ``vocabularies``.

        ``features``, float32 (n, widths x padded filters), is filled with what the head of the last trunk
        sees, where it is given.
        """
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * self._count
        ordered = {key: order_texts(texts.ids, texts.offsets) for key, texts in encoded.items()}
        seen = np.empty((0, 0), np.float32) if features is None else features
        for trunk in self._trunks:
            texts = encoded[trunk.vocabulary.fingerprint]
            scores = np.empty((len(texts), trunk.columns), np.float32)
            everything: tuple[Any, ...] = (
                *ordered[trunk.vocabulary.fingerprint], 0, *trunk.arguments, scores, seen
            )  # fmt: skip
            score_ids(*everything)
            trunk.hand_out(scores, texts.valid, found)
        return found

    def _score_array(self, texts: pa.Array) -> list[NDArray[np.float32]]:
        if self._worth_a_dictionary(texts):
            encoded = texts.dictionary_encode()
            if len(encoded.dictionary) < _FEWER * len(texts):
                return self._score_dictionary(encoded)
        return self._score_each(texts)

    def _worth_a_dictionary(self, texts: pa.Array) -> bool:
        """Whether equal texts are likely enough to look for them.

        Finding them took 6 % of the time of one trunk's scoring, on 20-character titles without any twice.
        """
        kind = texts.type
        if len(texts) < _PIECE or not any(check(kind) for check in _HASHABLE):
            return False
        return len(self._trunks) >= 4 or len(pc.unique(texts.slice(0, _PROBE))) < _FEWER * _PROBE

    def _score_each(self, texts: pa.Array) -> list[NDArray[np.float32]]:
        if len(self._trunks) != 1:
            pieces = []
            for start in range(0, len(texts), _PIECE):
                piece = texts.slice(start, _PIECE)
                pieces.append(
                    self.score_encoded({key: v.encode(piece) for key, v in self.vocabularies.items()})
                )
            return [np.concatenate(columns) for columns in zip(*pieces, strict=True)]
        found: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * self._count
        (trunk,) = self._trunks
        ((data, offsets, mask),) = text_buffers(texts)
        scores = np.empty((len(mask), trunk.columns), np.float32)
        valid = np.empty(len(mask), np.bool_)
        everything: tuple[Any, ...] = (
            data, offsets, mask, *trunk.vocabulary.tables, *trunk.arguments, scores, valid
        )  # fmt: skip
        score_texts(*everything)
        trunk.hand_out(scores, valid, found)
        return found

    def _score_dictionary(self, texts: pa.Array | pa.ChunkedArray) -> list[NDArray[np.float32]]:
        """Every value of a dictionary is scored once."""
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.unify_dictionaries().combine_chunks()
        if isinstance(texts, pa.ChunkedArray):  # no chunk at all
            texts = pa.array([], texts.type)
        indices = texts.indices
        # A null points to the row of NaN behind the values.
        rows = indices.cast(pa.int64()).fill_null(len(texts.dictionary)).to_numpy()
        found = self._score_each(texts.dictionary)
        return [
            np.vstack([scores, np.full((1, scores.shape[1]), np.nan, np.float32)])[rows] for scores in found
        ]


class _Trunk:
    """Students of one trunk, their heads one behind the other."""

    def __init__(self, students: "Sequence[Student]", numbers: Sequence[int]) -> None:
        self.numbers = numbers
        self.vocabulary = students[0].vocabulary
        ends = np.cumsum([0, *(sum(student.subclasses) for student in students)])
        self.columns = int(ends[-1])
        self._ends = ends.tolist()
        self._subclasses = [student.subclasses for student in students]
        folded = students[0].folded
        columns = np.cumsum([0, *(student.folded.wide.shape[1] for student in students)])
        takes = [
            column if column < 0 else first + column
            for first, student in zip(columns.tolist(), students, strict=False)
            for column in spread(student.subclasses)
        ]
        divided = max(max(student.subclasses) for student in students) > 1

        def joined(name: str, axis: int) -> NDArray[Any]:
            parts = [getattr(student.folded, name) for student in students]
            return np.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]

        self.arguments: tuple[Any, ...] = (
            folded.table,
            np.array(students[0].architecture.widths, np.int64),
            folded.step,
            folded.bias,
            joined("head", 0),
            joined("head_bias", 0),
            ends.astype(np.int64),
            joined("wide", 1),
            np.array(takes if divided else [], np.int64),
        )
        """What the kernels need to score."""

    def hand_out(
        self, scores: NDArray[np.float32], valid: NDArray[np.bool_], found: list[NDArray[np.float32]]
    ) -> None:
        """Put each student's columns into its place in ``found``."""
        if not valid.all():
            scores[~valid] = np.nan
        for index, number in enumerate(self.numbers):
            parts = scores[:, self._ends[index] : self._ends[index + 1]]
            found[number] = _summed(parts, self._subclasses[index])


def _summed(parts: NDArray[np.float32], subclasses: Sequence[int]) -> NDArray[np.float32]:
    """Probabilities of subclasses (n, columns) as those of classes (n, classes)."""
    if parts.shape[1] == len(subclasses):
        return parts
    found: NDArray[np.float32] = np.add.reduceat(parts, first_columns(subclasses), axis=1)
    return np.minimum(found, 1.0, out=found)  # rounding may lift a sum above it


def score_many(
    students: "Sequence[Student]", texts: pa.Array | pa.ChunkedArray | Iterable[str | None]
) -> list[NDArray[np.float32]]:
    """Class probabilities of n texts by each of ``students``, float32 (n, classes), in one pass.

    Who scores many batches keeps a ``Panel`` instead, which is prepared once.
    """
    return Panel(students).score(texts)
