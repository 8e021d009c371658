"""A student that scores with NumPy alone, a text at a time: no compiler, no Arrow.

It is for places that are small or cold: a function of AWS Lambda is ready in a fraction of a second. The
compiled kernels are a hundred times as fast on many texts. Their scores are the same but for rounding, some
1e-6: they add up float32 numbers in another order.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError
from textcnn.plain.artifact import LAYOUT, map_tensors, read_document
from textcnn.plain.vocabulary import PlainVocabulary

_FIRST: Final = np.uint64(0xCBF29CE484222325)
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)
_HALF: Final = np.uint64(32)


class PlainStudent:
    """A folded TextCNN, or a bag of n-grams, with its vocabulary and its classes.

    Args:
        document: of an artifact's JSON file.
        tensors: of the artifact, by name; see ``textcnn.fold.Folded``.
    """

    def __init__(self, document: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> None:
        self.classes: tuple[str, ...] = tuple(document["classes"])
        self.metadata: dict[str, Any] = document["metadata"]
        self.vocabulary = PlainVocabulary(document["vocabulary"])
        self._step, self._bias = tensors["step"], tensors["bias"]
        self._wide = tensors["wide"]
        rows, self._class_of, self._takes = _reading(document, len(self.classes))
        self._head, self._head_bias = tensors["head"][rows], tensors["head_bias"][rows]
        widths: list[int] = document["architecture"]["widths"]
        self._tables: list[NDArray[Any]] = []
        """For each width its table, (ids, width, filters); none of a bag of n-grams."""
        first = 0
        for width in widths:
            filters = len(self._step) // len(widths)
            end = first + self.vocabulary.size * width * filters
            self._tables.append(tensors["table"][first:end].reshape(-1, width, filters))
            first = end

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read an artifact that ``Student.save`` wrote; its table stays in the file and is mapped.

        Raises:
            ArtifactError: a file is missing, damaged, or written by a newer Pingti, or a student of another
                kind.
        """
        document = read_document(folder / LAYOUT.json)
        if document.get("kind", "textcnn") not in ("textcnn", "ngram"):
            raise ArtifactError(
                f"{folder}: a student of kind {document['kind']!r}; NumPy alone scores TextCNNs and bags of "
                "n-grams"
            )
        tensors = map_tensors(folder / LAYOUT.tensors, document["sha256"].get(LAYOUT.tensors))
        try:
            return cls(document, tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{folder}: not a usable student: {error}") from error

    def score(self, texts: Sequence[str | None]) -> NDArray[np.float32]:
        """Score n texts.

        Returns:
            Class probabilities, float32 (n, classes), as of ``textcnn.student.Student.score``: NaN for None
            and for a text with half of a surrogate pair.
        """
        scores = np.full((len(texts), len(self.classes)), np.nan, np.float32)
        for row, text in enumerate(texts):
            if text is None:
                continue
            try:
                ids = np.array(self.vocabulary.encode(text), np.int64)
            except UnicodeEncodeError:
                continue
            scores[row] = self._probabilities(ids)
        return scores

    def _probabilities(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        logits = self._head_bias
        if self._tables:
            sums = [_largest_window_sums(table, ids) for table in self._tables]
            features = np.maximum(np.concatenate(sums) * self._step + self._bias, np.float32(0.0))
            logits = self._head @ features + logits
        if len(self._wide):
            logits = logits + self._wide_logits(ids)
        if len(logits) == 1:  # two columns: the second's logit less the first's
            logits = np.array([0.0, logits[0]], np.float32)
        exponentials = np.exp(logits - logits.max())
        of_classes = np.zeros(len(self.classes), np.float32)
        np.add.at(of_classes, self._class_of, exponentials)
        probabilities: NDArray[np.float32] = np.minimum(of_classes / exponentials.sum(), np.float32(1.0))
        return probabilities

    def _wide_logits(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the hashed tokens and pairs of neighbours add to each row of the head."""
        tokens = ids.astype(np.uint64)
        with np.errstate(over="ignore"):
            singles = (_FIRST ^ tokens) * _FACTOR
            pairs = (singles[:-1] ^ tokens[1:]) * _FACTOR
        buckets = np.concatenate([singles, pairs]) >> _HALF & np.uint64(len(self._wide) - 1)
        count = np.float32(max(1, len(buckets)))
        sums = self._wide[buckets.astype(np.int64)].sum(axis=0, dtype=np.float32) / np.sqrt(count)
        added: NDArray[np.float32] = np.append(sums, np.float32(0.0))[self._takes]  # -1: nothing
        return added


def _reading(document: Mapping[str, Any], classes: int) -> tuple[slice, list[int], list[int]]:
    """Which rows of the head a student reads, and what each of its columns and rows belongs to.

    Returns:
        The rows; the class of each column that they stand for; and of each row the column of the wide part
        that it adds, -1: none.
    """
    read = document.get("readout")
    if read is None:
        counts: list[int] = document.get("subclasses") or [1] * classes
        class_of = [number for number, count in enumerate(counts) for _ in range(count)]
        if len(class_of) == 2:
            return slice(0, 1), class_of, [0]
        if classes == 2:  # one column, which counts for the second class alone
            return slice(0, len(class_of)), class_of, [number - 1 for number in class_of]
        return slice(0, len(class_of)), class_of, class_of
    # Two columns have one row, the second's logit less the first's.
    ends = np.cumsum([0, *(1 if count == 2 else count for count in read["groups"])]).tolist()
    rows = slice(ends[read["group"]], ends[read["group"] + 1])
    return rows, read["class_of"], list(range(rows.start, rows.stop))


def _largest_window_sums(table: NDArray[Any], ids: NDArray[np.int64]) -> NDArray[np.int16]:
    """The largest sum over all windows of a text, (filters,): no sum leaves int16, as tables are scaled."""
    width = table.shape[1]
    windows = max(1, len(ids) - width + 1)
    padded = np.concatenate([ids, np.zeros(max(0, width - len(ids)), np.int64)])
    sums = table[padded[:windows], 0].astype(np.int16)  # of int8, too
    for position in range(1, width):
        sums = sums + table[padded[position : position + windows], position]
    largest: NDArray[np.int16] = sums.max(axis=0)
    return largest
