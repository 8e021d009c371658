"""Scores of several students in one pass over the texts.

What students share is done once: texts are encoded once for those of one vocabulary, and looked up once for
those of one trunk, whose heads then follow each other; bags of n-grams of one vocabulary have their columns
side by side, so that all of them are read at once. Students of one network have one head, of which each
reads its classes off.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.frames.texts import text_array
from textcnn.architecture import Architecture
from textcnn.bag_kernel import score_bag_texts, score_bags
from textcnn.encoding import Encoded, Vocabulary
from textcnn.fold import Folded, rows, spread
from textcnn.kernel import order_texts, score_ids, score_texts
from textcnn.readout import Readout, read_off

_PROBE: Final = 1024  # texts that are looked at for equal ones
_FEWER: Final = 0.94  # share of different texts below which each is scored once
_HASHABLE: Final = (
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_large_binary,
)
_PIECE: Final = 32_768  # texts that one trunk after another scores


class FoldedStudent(Protocol):
    """What is needed of a student in order to score with it; ``textcnn.student.Student`` has it."""

    @property
    def folded(self) -> Folded:
        """Its numbers."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What its texts are encoded by."""

    @property
    def architecture(self) -> Architecture:
        """Its shape."""

    @property
    def subclasses(self) -> tuple[int, ...] | None:
        """Columns of each class, where the wide part has one for a class; None where it has them all."""

    @property
    def readout(self) -> Readout:
        """Which columns make its classes."""

    @property
    def network(self) -> str:
        """Equal for students that read one network."""

    @property
    def trunk(self) -> str:
        """Equal for students that differ in their heads alone."""


class MultiScorer:
    """Students that are asked together. Scoring releases the interpreter's lock.

    Args:
        students: one or more, in the order of the scores.
    """

    def __init__(self, students: Sequence[FoldedStudent]) -> None:
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
        """Score n texts with every student.

        Args:
            texts: as of ``Student.score``.

        Returns:
            For each student float32 (n, classes), as of ``Student.score``.
        """
        texts = text_array(texts)
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
        """Score n texts that are encoded already.

        Args:
            encoded: the texts by the fingerprint of each of ``vocabularies``.
            features: float32 (n, widths x padded filters), filled with what the head of the last trunk sees;
                None where nobody wants to know.

        Returns:
            As of ``score``.
        """
        scores_of: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * self._count
        folded = {trunk.vocabulary.fingerprint for trunk in self._trunks if not trunk.bag}
        ordered = {key: order_texts(encoded[key].ids, encoded[key].offsets) for key in folded}
        seen = np.empty((0, 0), np.float32) if features is None else features
        for trunk in self._trunks:
            texts = encoded[trunk.vocabulary.fingerprint]
            scores = np.empty((len(texts), trunk.columns), np.float32)
            everything: tuple[Any, ...]
            if trunk.bag:
                everything = (texts.ids, texts.offsets, 0, *trunk.arguments, scores)
                score_bags(*everything)
            else:
                everything = (*ordered[trunk.vocabulary.fingerprint], 0, *trunk.arguments, scores, seen)
                score_ids(*everything)
            trunk.hand_out(scores, texts.valid, scores_of)
        return scores_of

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
        scores_of: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * self._count
        (trunk,) = self._trunks
        ((data, offsets, mask),) = trunk.vocabulary.buffers(texts)
        scores = np.empty((len(mask), trunk.columns), np.float32)
        valid = np.empty(len(mask), np.bool_)
        everything: tuple[Any, ...] = (
            data, offsets, mask, *trunk.vocabulary.tables, *trunk.arguments, scores, valid
        )  # fmt: skip
        (score_bag_texts if trunk.bag else score_texts)(*everything)
        trunk.hand_out(scores, valid, scores_of)
        return scores_of

    def _score_dictionary(self, texts: pa.Array | pa.ChunkedArray) -> list[NDArray[np.float32]]:
        """Every value of a dictionary is scored once."""
        if isinstance(texts, pa.ChunkedArray):
            texts = texts.unify_dictionaries().combine_chunks()
        if isinstance(texts, pa.ChunkedArray):  # no chunk at all
            texts = pa.array([], texts.type)
        indices = texts.indices
        # A null points to the row of NaN behind the values.
        rows = indices.cast(pa.int64()).fill_null(len(texts.dictionary)).to_numpy()
        of_values = self._score_each(texts.dictionary)
        nan = np.float32(np.nan)
        return [np.vstack([scores, np.full((1, scores.shape[1]), nan)])[rows] for scores in of_values]


class _Trunk:
    """Students of one trunk: the heads of their networks one behind the other."""

    def __init__(self, students: Sequence[FoldedStudent], numbers: Sequence[int]) -> None:
        self.vocabulary = students[0].vocabulary
        self._readers: dict[str, list[int]] = {}
        """For each network the places in ``students`` of those that read it."""
        for place, student in enumerate(students):
            self._readers.setdefault(student.network, []).append(place)
        self._numbers = numbers
        self._readouts = [student.readout for student in students]
        networks = [students[places[0]] for places in self._readers.values()]
        groups = [count for student in networks for count in student.readout.groups]
        self._ends: list[int] = np.cumsum([0, *(sum(s.readout.groups) for s in networks)]).tolist()
        self.columns = self._ends[-1]
        folded = networks[0].folded

        def joined(name: str, axis: int) -> NDArray[Any]:
            parts = [getattr(student.folded, name) for student in networks]
            return np.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]

        widths = students[0].architecture.widths
        self.bag = not widths
        """Whether there is no convolution: n-grams are all that counts."""
        ends, bias, wide = np.cumsum([0, *groups]).astype(np.int64), joined("head_bias", 0), joined("wide", 1)
        self.arguments: tuple[Any, ...] = (
            (bias, ends, wide)
            if self.bag
            else (
                folded.table,
                np.array(widths, np.int64),
                folded.step,
                folded.bias,
                joined("head", 0),
                bias,
                ends,
                wide,
                np.array(_wide_columns(networks), np.int64),
            )
        )
        """What the kernels need to score."""

    def hand_out(
        self, scores: NDArray[np.float32], valid: NDArray[np.bool_], scores_of: list[NDArray[np.float32]]
    ) -> None:
        """Put each student's columns into its place in ``scores_of``."""
        if not valid.all():
            scores[~valid] = np.nan
        for first, end, places in zip(self._ends, self._ends[1:], self._readers.values(), strict=False):
            parts = read_off(scores[:, first:end], [self._readouts[place] for place in places])
            for place, part in zip(places, parts, strict=True):
                scores_of[self._numbers[place]] = part


def _wide_columns(networks: Sequence[FoldedStudent]) -> list[int]:
    """Which column of the networks' wide parts each row of their heads adds; empty where that is its own."""
    takes: list[int] = []
    first, own = 0, True
    for student in networks:
        if student.subclasses is None:
            of_rows = list(range(sum(map(rows, student.readout.groups))))
        else:
            of_rows = spread(student.subclasses)
            own = own and max(student.subclasses) == 1
        takes += [column if column < 0 else first + column for column in of_rows]
        first += student.folded.wide.shape[1]
    return [] if own else takes


def score_many(
    students: Sequence[FoldedStudent], texts: pa.Array | pa.ChunkedArray | Iterable[str | None]
) -> list[NDArray[np.float32]]:
    """Score n texts with several students in one pass.

    Who scores many batches keeps a ``MultiScorer`` instead, which is prepared once.

    Args:
        students: one or more.
        texts: as of ``Student.score``.

    Returns:
        For each student float32 (n, classes), as of ``Student.score``.
    """
    return MultiScorer(students).score(texts)
