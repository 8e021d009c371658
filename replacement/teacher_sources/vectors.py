"""Vectors for texts whose teacher has none: those of a sentence model, or of a similarity student."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pingti.errors import ArtifactError
from pingti.workspace.registry import TaskEntry
from textcnn.plain.artifact import LAYOUT
from textcnn.similarity import SimilarityStudent

Vectors = NDArray[np.float32]


class VectorSource(Protocol):
    """What tells which texts are near each other."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of n texts, float32 (n, width)."""
        ...

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[Vectors, Vectors]:
        """Vectors of n tokens alone and in use, as of ``teacher.bert.Teacher.token_vectors``."""
        ...


class SimilarityVectors:
    """A similarity student as a source of vectors: no model of transformers is asked.

    Args:
        student: gives the vectors.
    """

    def __init__(self, student: SimilarityStudent) -> None:
        self._student = student

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors of n texts, float32 (n, width); of what is no text they are 0."""
        return np.nan_to_num(self._student.encode(texts))

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[Vectors, Vectors]:
        """Vectors of n tokens; alone and in use they are the same."""
        vectors = self.embed(tokens)
        if progress is not None:
            progress(len(tokens))
        return vectors, vectors


def open_vectors(owner: TaskEntry, device: str | None) -> VectorSource | None:
    """What ``teacher.vectors`` of a definition names; None where it names nothing.

    Args:
        owner: the task.
        device: torch device of a sentence model.

    Raises:
        InputError: it names no folder of a sentence model that can be used.
        ArtifactError: the files of a student that are there cannot be used.
    """
    named = owner.definition.teacher.vectors
    if named is None:
        return None
    folder: Path = owner.path.parent / named
    if (folder / LAYOUT.json).is_file():
        try:
            return SimilarityVectors(SimilarityStudent.load(folder))
        except ArtifactError as error:
            raise ArtifactError(f"teacher.vectors: {error}") from error
    from teacher.sources.sentence_vectors import SentenceModel  # torch only where a teacher is asked

    return SentenceModel.load(folder, device=device)
