"""A similarity student from files of texts and a sentence teacher."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.columns import BadRow, Columns
from pingti.corpus.paths import input_files
from pingti.corpus.reader import check_input, read_rows
from pingti.errors import InputError
from replacement.progress import Progress, advancing, quiet
from textcnn import Architecture, Vocabulary
from textcnn.similarity import SimilarityStudent

EPOCHS = 3
"""Passes over the texts; more learned the texts by heart: Spearman on held-out pairs fell."""
_VOCABULARY = 16_000


def read_texts(
    inputs: Sequence[str], columns: Columns, notice: Callable[[str], None] = lambda sentence: None
) -> tuple[pa.Array, pa.Array, list[BadRow]]:
    """Read the ids and texts of files.

    Args:
        inputs: files, folders, patterns or addresses.
        columns: what to read of them.
        notice: told what is otherwise in a file than its name says.

    Returns:
        Ids and texts, Arrow arrays of n strings, and the rows that could not be read; one without an id
        is among these.

    Raises:
        InputError: a file that cannot be read, or no text at all.
    """
    bad: list[BadRow] = []
    ids: list[pa.Array] = []
    texts: list[pa.Array] = []
    for path in input_files(inputs):
        for sentence in check_input(path, columns):
            notice(f"{path}: {sentence}")
        for batch in read_rows(path, columns, bad.append):
            ids.append(batch.column("id").cast(pa.string()))
            texts.append(batch.column("text").cast(pa.large_string()))
    if not sum(map(len, texts)):
        raise InputError(f"{', '.join(inputs)}: no text in it; {len(bad):,} rows could not be read")
    return pa.concat_arrays(ids), pa.concat_arrays(texts), bad


def train(
    texts: pa.Array,
    teacher: str,
    *,
    rows: int = 40_000,
    width: int = 128,
    max_length: int | None = None,
    epochs: int = EPOCHS,
    seed: int = 0,
    device: str | None = None,
    progress: Progress = quiet,
) -> SimilarityStudent:
    """Train a student that puts texts where a sentence teacher puts them.

    Args:
        texts: an Arrow array of strings; equal ones are taken once.
        teacher: folder or hub name of the teacher.
        rows: of how many texts, drawn evenly, the teacher is asked for vectors.
        width: numbers of the student's vectors.
        max_length: as of ``teacher.sentences.SentenceTeacher``.
        epochs: passes over the rows.
        seed: every random choice comes from it.
        device: the teacher's torch device.
        progress: told what is being done.

    Raises:
        InputError: fewer than two texts, or a teacher that cannot be used.
        UnavailableError: the teacher cannot be had.
    """
    from teacher.sentences import SentenceTeacher  # torch only where something is trained

    distinct = pc.drop_null(pc.unique(texts))
    if len(distinct) < 2:
        raise InputError(f"similarity: {len(distinct)} different texts; needed are two or more")
    rng = np.random.default_rng(seed)
    drawn = distinct.take(pa.array(np.sort(rng.permutation(len(distinct))[:rows])))
    asked = SentenceTeacher(teacher, max_length=max_length, device=device)
    vectors = asked.encode(drawn.to_pylist(), progress=advancing(progress, "teacher: vectors", len(drawn)))
    student = fit(drawn, vectors, width=width, epochs=epochs, seed=seed, progress=progress)
    student.metadata.update(teacher=Path(teacher).name, rows=len(drawn), seed=seed, width=student.width)
    return student


def fit(
    texts: pa.Array,
    vectors: NDArray[np.float32],
    *,
    width: int = 128,
    epochs: int = EPOCHS,
    seed: int = 0,
    progress: Progress = quiet,
) -> SimilarityStudent:
    """Train a student on texts whose vectors are known.

    Args:
        texts: an Arrow array of n strings without nulls.
        vectors: float32 (n, w), the teacher's, of length 1.
        width: as of ``train``, like ``epochs``, ``seed`` and ``progress``.
        epochs: passes over the texts.
        seed: every random choice comes from it.
        progress: told what is being done.
    """
    from textcnn.similarity.train import SimilarityRecipe, train_similarity  # torch only where it trains

    vocabulary = Vocabulary.build(texts, size=_VOCABULARY)
    return train_similarity(
        vocabulary.encode(texts),
        vectors,
        vocabulary=vocabulary,
        architecture=Architecture(embedding=256, filters=128, widths=(1, 2, 3)),
        rng=np.random.default_rng(seed),
        recipe=SimilarityRecipe(width=width, epochs=epochs),
        progress=advancing(progress, "student: training", len(texts) * epochs),
    )
