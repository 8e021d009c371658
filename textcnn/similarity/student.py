"""The similarity student: a folded network whose features are projected to a vector of the text."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti import files
from pingti.errors import ArtifactError, InputError
from pingti.frames.texts import text_array
from textcnn.architecture import Architecture
from textcnn.cost import Cost, cost_of
from textcnn.encoding import Encoded, Vocabulary
from textcnn.fold import Folded, padded
from textcnn.kernel import ngram_buckets
from textcnn.plain.artifact import LAYOUT, map_tensors, read_document, write_document, write_tensors
from textcnn.similarity.ngrams import add_ngrams
from textcnn.student import Student

KIND: Final = "similarity"
_TRUNK: Final = ("table", "step", "bias")
_OWN: Final = ("projection", "offset", "ngrams")
_BLOCK: Final = 8192  # texts whose features are in memory at a time


class SimilarityStudent:
    """A folded TextCNN that gives a text a vector, near those of texts that mean alike.

    The vector is a projection of the network's features, plus the vectors of the text's hashed n-grams, at
    length 1; so a cosine is a product. Safe to use from several threads; an instance is never changed.

    Args:
        trunk: the folded network; its head is not used.
        vocabulary: what texts are encoded by.
        architecture: the network's shape.
        projection: float32 (d, widths x filters).
        offset: float32 (d,), added to it.
        ngrams: float32 (B, d), B a power of two or 0.
        metadata: what else is to be known of it, in values that JSON has.

    Raises:
        InputError: shapes that do not fit each other.
    """

    kind: Final = KIND

    def __init__(
        self,
        trunk: Folded,
        vocabulary: Vocabulary,
        architecture: Architecture,
        projection: NDArray[np.float32],
        offset: NDArray[np.float32],
        ngrams: NDArray[np.float32],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        features = len(architecture.widths) * architecture.filters
        shapes = [projection.shape, offset.shape, ngrams.shape[1:]]
        if shapes != [(len(projection), features), (len(projection),), (len(projection),)]:
            raise InputError(
                f"similarity student: a projection of shape {projection.shape}, an offset of {offset.shape} "
                f"and n-grams of {ngrams.shape}; needed are (d, {features}), (d,) and (buckets, d)"
            )
        self.vocabulary = vocabulary
        self.architecture = architecture
        self.projection = projection
        self.offset = offset
        self.ngrams = ngrams
        self.metadata = dict(metadata or {})
        self._trunk = trunk
        self._network = Student(trunk, vocabulary, ("", "-"), architecture)

    @classmethod
    def of_arrays(
        cls,
        trunk: Mapping[str, NDArray[Any]],
        vocabulary: Vocabulary,
        architecture: Architecture,
        projection: NDArray[np.float32],
        offset: NDArray[np.float32],
        ngrams: NDArray[np.float32],
        metadata: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make one of ``table``, ``step`` and ``bias`` of a ``Folded``, which it needs no more of."""
        seen = len(architecture.widths) * padded(architecture.filters)
        folded = Folded(
            table=trunk["table"],
            step=trunk["step"],
            bias=trunk["bias"],
            head=np.zeros((1, seen), np.float32),
            head_bias=np.zeros(1, np.float32),
            wide=np.zeros((architecture.wide, 1), np.float32),
        )
        return cls(folded, vocabulary, architecture, projection, offset, ngrams, metadata)

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return len(self.projection)

    def encode(self, texts: pa.Array | pa.ChunkedArray | Iterable[str | None]) -> NDArray[np.float32]:
        """Compute the vectors of n texts.

        Args:
            texts: as of ``textcnn.Student.score``.

        Returns:
            float32 (n, width), of length 1. The row of a null, and of bytes that are not UTF-8, is NaN.

        Raises:
            InputError: as of ``textcnn.Student.score``.
        """
        array = text_array(texts)
        vectors = np.empty((len(array), self.width), np.float32)
        for start in range(0, len(array), _BLOCK):
            block = self.vocabulary.encode(array.slice(start, _BLOCK))
            vectors[start : start + _BLOCK] = self._encode(block)
        return vectors

    def _encode(self, encoded: Encoded) -> NDArray[np.float32]:
        vectors = self._network.features(encoded) @ self.projection.T + self.offset
        if len(self.ngrams):
            add_ngrams(*ngram_buckets(encoded.ids, encoded.offsets, len(self.ngrams)), self.ngrams, vectors)
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        vectors /= np.maximum(lengths, 1e-12)[:, None]
        vectors[~encoded.valid] = np.nan
        return vectors

    def similarity(
        self, first: pa.Array | Iterable[str | None], second: pa.Array | Iterable[str | None]
    ) -> NDArray[np.float32]:
        """Compute the cosine of each of n pairs.

        Args:
            first: n texts.
            second: n texts.

        Returns:
            float32 (n,), in [-1, 1]; NaN where one is no text.

        Raises:
            InputError: texts of another number, or as of ``encode``.
        """
        pair = (text_array(first), text_array(second))
        if len(pair[0]) != len(pair[1]):
            raise InputError(f"similarity: {len(pair[0])} texts beside {len(pair[1])}; needed are pairs")
        cosines: NDArray[np.float32] = np.einsum("ij,ij->i", self.encode(pair[0]), self.encode(pair[1]))
        return np.clip(cosines, -1.0, 1.0)

    def cost(self, tokens: float) -> Cost:
        """Count what it takes, for texts of so many tokens in the mean."""
        trunk = cost_of(self.architecture, size=self.vocabulary.size, columns=2, tokens=tokens)
        own = self.projection.nbytes + self.ngrams.nbytes
        grams = self.width * (2 * tokens - 1) if len(self.ngrams) else 0.0
        return Cost(bytes=trunk.bytes + own, operations=trunk.operations + self.projection.size + grams)

    def save(self, folder: Path | str) -> None:
        """Write the artifact into ``folder``, which is made where it is not there; its JSON comes last."""
        folder = Path(folder)
        tensors = {name: getattr(self._trunk, name) for name in _TRUNK}
        tensors |= {name: getattr(self, name) for name in _OWN}
        with files.replacing(folder / LAYOUT.tensors) as temporary, temporary.open("wb") as file:
            write_tensors(file, tensors)
        checksums = {LAYOUT.tensors: files.sha256(folder / LAYOUT.tensors)}
        document = {
            "format": LAYOUT.format,
            "kind": KIND,
            "architecture": asdict(self.architecture),
            "vocabulary": self.vocabulary.as_document(),
            "metadata": self.metadata,
        }
        write_document(folder / LAYOUT.json, document, checksums)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read an artifact that ``save`` wrote; its tables stay in the file and are mapped.

        Raises:
            ArtifactError: a file is missing, damaged, written by a newer Pingti, or of a classifier.
        """
        folder = Path(folder)
        document = read_document(folder / LAYOUT.json)
        if document.get("kind") != KIND:
            raise ArtifactError(
                f"{folder}: a classifier, not a similarity student; pingti.Student.load takes it"
            )
        tensors = map_tensors(folder / LAYOUT.tensors, document["sha256"].get(LAYOUT.tensors))
        try:
            shape = document["architecture"]
            return cls.of_arrays(
                {name: tensors[name] for name in _TRUNK},
                Vocabulary.of_document(document["vocabulary"]),
                Architecture(**{**shape, "widths": tuple(shape["widths"])}),
                **{name: tensors[name] for name in _OWN},
                metadata=document["metadata"],
            )
        except (KeyError, TypeError, InputError) as error:
            raise ArtifactError(f"{folder}: not a usable similarity student: {error}") from error
