"""A linear model of a text's character n-grams: the baseline of every teacher, and a part of some.

TF-IDF of n-grams of one to three characters and a linear support vector machine for each class against the
others, by dual coordinate descent (Hsieh et al. 2008, "A Dual Coordinate Descent Method for Large-scale
Linear SVM", algorithm 1, squared hinge loss): what LIBLINEAR does, in seconds. N-grams are known by a hash of
64 bits.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from pingti.errors import InputError

FILE = "ngrams.safetensors"
"""Beside a fine-tuned model's own files, where it is decided with n-grams."""
_LONGEST = 3  # characters of an n-gram
_MOST_FEATURES = 100_000  # the most frequent; bounds the file where there are many rows
_COST = 1.0  # of a row on the wrong side: the C of a support vector machine
_PASSES = 1000  # at most; some 20 do
_TOLERANCE = 0.001  # of the largest gradient of a pass, below which a machine is done


@dataclass(frozen=True, kw_only=True, eq=False)
class NGrams:
    """A linear model of n-grams; ``fit`` makes one."""

    hashes: NDArray[np.uint64]
    """(features,): the n-grams known, ascending."""
    idf: NDArray[np.float32]
    """(features,): how rare each is."""
    weights: NDArray[np.float32]
    """(features + 1, classes); the last row is the bias."""

    def logits(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Score n texts.

        Args:
            texts: n of them, all valid Unicode.

        Returns:
            float32 (n, classes): how far each class is on its side; no probabilities.
        """
        starts, columns, values = _tf_idf(*_hashed(texts), self.hashes, self.idf)
        scores: NDArray[np.float32] = _scores(starts, columns, values, self.weights)
        return scores

    def scaled(self, factor: float) -> "NGrams":
        """Make the same model with all logits multiplied by ``factor``."""
        return NGrams(hashes=self.hashes, idf=self.idf, weights=self.weights * np.float32(factor))

    def save(self, folder: Path) -> None:
        """Write the model beside a teacher's other files."""
        tensors: dict[str, NDArray[Any]] = {
            "hashes": self.hashes.view(np.int64),
            "idf": self.idf,
            "weights": self.weights,
        }
        save_file(tensors, folder / FILE, {"format": "1"})

    @classmethod
    def load(cls, folder: Path, classes: int) -> "NGrams | None":
        """Read the model of a teacher's folder; None where there is none.

        Args:
            folder: of the teacher.
            classes: how many it has.

        Raises:
            InputError: the file is damaged, or of another teacher.
        """
        path = folder / FILE
        if not path.is_file():
            return None
        try:
            tensors = load_file(path)
            hashes = tensors["hashes"].astype(np.int64, copy=False).view(np.uint64)
            model = cls(hashes=hashes, idf=tensors["idf"], weights=tensors["weights"])
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(f"teacher {folder}: {FILE} cannot be read: {error}") from error
        shapes = (model.hashes.shape, model.idf.shape, model.weights.shape)
        if shapes != ((len(hashes),), (len(hashes),), (len(hashes) + 1, classes)):
            raise InputError(
                f"teacher {folder}: {FILE} does not fit the model's {classes} classes; fine-tune it again"
            )
        return model


def fit(texts: Sequence[str], answers: NDArray[np.int64], classes: int, rng: np.random.Generator) -> NGrams:
    """Learn n labelled texts.

    Args:
        texts: n of them, all valid Unicode.
        answers: int64 (n,): class number of each.
        classes: how many there are; one without any text is never likeliest.
        rng: of the order in which rows are learned.
    """
    starts, hashes = _hashed(texts)
    known, frequencies = _document_frequencies(starts, hashes)
    if len(known) > _MOST_FEATURES:
        kept = np.sort(np.argsort(-frequencies, kind="stable")[:_MOST_FEATURES])
        known, frequencies = known[kept], frequencies[kept]
    idf = (np.log((1 + len(texts)) / (1 + frequencies)) + 1).astype(np.float32)
    starts, columns, values = _tf_idf(starts, hashes, known, idf)
    weights = np.zeros((len(known) + 1, classes), np.float32)
    for number in range(classes):
        signs = np.where(answers == number, 1.0, -1.0)
        seed = rng.integers(1, 2**63, dtype=np.uint64)
        weights[:, number] = _machine(starts, columns, values, signs, seed, len(known))
    return NGrams(hashes=known, idf=idf, weights=weights)


def decide_out_of_fold(
    texts: Sequence[str],
    answers: NDArray[np.int64],
    classes: int,
    rng: np.random.Generator,
    *,
    folds: int = 5,
) -> NDArray[np.int64]:
    """Decide each of n labelled texts by a model of the others: cross-validation.

    Args:
        texts: n of them, at least ``folds``.
        answers: int64 (n,): class number of each.
        classes: how many there are.
        rng: of the folds and of learning.
        folds: how many models share the work.

    Returns:
        int64 (n,): class numbers.
    """
    decided = np.zeros(len(texts), np.int64)
    fold_of = rng.permutation(len(texts)) % folds
    for fold in range(folds):
        inside, others = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        model = fit([texts[row] for row in others.tolist()], answers[others], classes, rng)
        decided[inside] = model.logits([texts[row] for row in inside.tolist()]).argmax(axis=1)
    return decided


def _hashed(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Hashes of each text's n-grams, case and runs of white space aside: starts (n + 1,), hashes."""
    plain = [f" {' '.join(text.lower().split())} " for text in texts]
    lengths = np.array([len(text) for text in plain], np.int64)
    points = np.frombuffer("".join(plain).encode("utf-32-le"), np.uint32)
    starts, hashes = _hash_texts(points, lengths)
    return starts, hashes


@numba.njit(cache=True)
def _hash_texts(points: Any, lengths: Any) -> Any:
    counts = np.zeros(len(lengths) + 1, np.int64)
    for text in range(len(lengths)):
        for size in range(1, _LONGEST + 1):
            counts[text + 1] += max(0, lengths[text] - size + 1)
    starts = np.cumsum(counts)
    hashes = np.empty(starts[-1], np.uint64)
    place, first = 0, 0
    for length in lengths:
        for size in range(1, _LONGEST + 1):
            for begin in range(first, first + length - size + 1):
                value = np.uint64(14695981039346656037)  # FNV-1a over code points
                for point in points[begin : begin + size]:
                    value = (value ^ np.uint64(point)) * np.uint64(1099511628211)
                hashes[place] = value
                place += 1
        first += length
    return starts, hashes


def _document_frequencies(
    starts: NDArray[np.int64], hashes: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """The different n-grams, ascending, and in how many texts each is."""
    own = [np.unique(hashes[first:end]) for first, end in itertools.pairwise(starts.tolist())]
    return np.unique(np.concatenate(own), return_counts=True)


@numba.njit(cache=True)
def _tf_idf(starts: Any, hashes: Any, known: Any, idf: Any) -> Any:
    """Sublinear counts times rarity, each row of length 1; n-grams that are not known are left out."""
    out_starts = np.zeros(len(starts), np.int64)
    columns = np.empty(len(hashes), np.int64)
    values = np.empty(len(hashes), np.float32)
    end = 0
    for row in range(len(starts) - 1):
        own = np.sort(hashes[starts[row] : starts[row + 1]])
        first, index, squares = end, 0, 0.0
        while index < len(own):
            count = 1
            while index + count < len(own) and own[index + count] == own[index]:
                count += 1
            column = np.searchsorted(known, own[index])
            if column < len(known) and known[column] == own[index]:
                value = (1.0 + np.log(count)) * idf[column]
                columns[end], values[end] = column, value
                squares += value * value
                end += 1
            index += count
        if squares > 0.0:
            values[first:end] /= np.sqrt(squares)
        out_starts[row + 1] = end
    return out_starts, columns[:end], values[:end]


@numba.njit(cache=True)
def _machine(starts: Any, columns: Any, values: Any, signs: Any, seed: Any, features: Any) -> Any:
    """Weights (features + 1,) of a linear support vector machine; the bias is a feature that is always 1.

    Each pass has an order of its own: in one that stays, 20,000 passes do not come as far as 13 here.
    """
    weights = np.zeros(features + 1)
    duals = np.zeros(len(signs))
    diagonal = 0.5 / _COST
    curvatures = np.empty(len(signs))
    for row in range(len(signs)):
        own = values[starts[row] : starts[row + 1]]
        curvatures[row] = 1.0 + diagonal + (own * own).sum()
    order: Any = np.arange(len(signs))
    for _ in range(_PASSES):
        for last in range(len(order) - 1, 0, -1):  # Fisher-Yates, by Marsaglia's xorshift
            seed ^= seed << np.uint64(13)
            seed ^= seed >> np.uint64(7)
            seed ^= seed << np.uint64(17)
            other = np.int64(seed % np.uint64(last + 1))
            order[last], order[other] = order[other], order[last]
        largest = 0.0
        for row in order:
            margin = weights[features]
            for place in range(starts[row], starts[row + 1]):
                margin += weights[columns[place]] * values[place]
            gradient = signs[row] * margin - 1.0 + diagonal * duals[row]
            if duals[row] == 0.0 and gradient >= 0.0:
                continue
            largest = max(largest, abs(gradient))
            before = duals[row]
            duals[row] = max(before - gradient / curvatures[row], 0.0)
            step = (duals[row] - before) * signs[row]
            weights[features] += step
            for place in range(starts[row], starts[row + 1]):
                weights[columns[place]] += step * values[place]
        if largest < _TOLERANCE:
            break
    return weights


@numba.njit(cache=True)
def _scores(starts: Any, columns: Any, values: Any, weights: Any) -> Any:
    scores = np.empty((len(starts) - 1, weights.shape[1]), np.float32)
    for row in range(len(starts) - 1):
        scores[row] = weights[-1]
        for place in range(starts[row], starts[row + 1]):
            scores[row] += weights[columns[place]] * values[place]
    return scores
