"""How far the student reads: as far as its teacher does, whose tokenizer scoring does without.

A teacher cuts a text after so many pieces (``teacher.max_length``). A student that reads on decides by what
the teacher never saw. So where texts of the corpus are cut, the student's vocabulary learns what each of its
tokens costs in the teacher's pieces, and stops there. A token out of the vocabulary costs what such tokens
cost on average, so that the two stop near each other and not always at the same character.
"""

from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from textcnn import Encoded, Vocabulary
from textcnn.encoding import Reach

_LOOKED_AT = 2000  # texts, the longest and as many of all lengths
_TOLD = 0.01  # share of texts that are cut; fewer are not worth a note


class Reader(Protocol):
    """A teacher, as far as it reads."""

    @property
    def max_length(self) -> int | None:
        """Tokens of a text that it reads; None where its tokenizer is not here."""

    @property
    def pieces_read(self) -> int | None:
        """The same without special tokens."""

    def pieces_of(self, texts: list[str]) -> NDArray[np.int64]:
        """Tokens of n whole texts, int64 (n,)."""


def find_reach(vocabulary: Vocabulary, texts: pa.Array, encoded: Encoded, teacher: Reader) -> Reach | None:
    """How far a student reads, so that it stops where its teacher does.

    Args:
        vocabulary: the student's.
        texts: (n,) large_string, of a run.
        encoded: the same, whole.
        teacher: that is asked about them.

    Returns:
        None where the teacher reads all of the texts, or its tokenizer is not here.
    """
    if teacher.pieces_read is None or not len(texts):
        return None
    lengths = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    longest = np.argsort(-lengths, kind="stable")[:_LOOKED_AT]
    if (teacher.pieces_of(_some(texts, longest)) <= teacher.pieces_read).all():
        return None
    costs = teacher.pieces_of(list(vocabulary.tokens))
    rows = np.unique(np.linspace(0, len(texts) - 1, _LOOKED_AT).astype(np.int64))
    unknown = _unknown_cost(encoded.take(rows), teacher.pieces_of(_some(texts, rows)), costs, vocabulary)
    return Reach(pieces=teacher.pieces_read, costs=tuple(costs.tolist()), unknown=unknown)


def _some(texts: pa.Array, rows: NDArray[np.int64]) -> list[str]:
    return [text or "" for text in texts.take(pa.array(rows)).to_pylist()]


def _unknown_cost(
    encoded: Encoded, pieces: NDArray[np.int64], costs: NDArray[np.int64], vocabulary: Vocabulary
) -> float:
    """Mean pieces of a token that is not in the vocabulary.

    Args:
        encoded: n texts.
        pieces: int64 (n,), of the whole texts.
        costs: int64 (tokens,), of each token of the vocabulary.
        vocabulary: that the texts are encoded by.
    """
    whole = np.diff(encoded.offsets) < vocabulary.max_tokens
    ids = encoded.take(np.flatnonzero(whole)).ids
    unknown = int((ids > len(costs)).sum())
    if not unknown:
        return 1.0
    known = int(np.concatenate([[0], costs])[ids[ids <= len(costs)]].sum())
    return max(1.0, (int(pieces[whole].sum()) - known) / unknown)


def note_of_reading(teacher: Reader, texts: list[str], *, cut_alike: bool) -> tuple[str, ...]:
    """What is to be told where the teacher reads some of the held-out texts only in part.

    Args:
        teacher: that was asked about them.
        texts: the n held-out texts.
        cut_alike: whether the student stops there, too.
    """
    if teacher.pieces_read is None or not texts:
        return ()
    cut = int((teacher.pieces_of(texts) > teacher.pieces_read).sum())
    if not cut or cut < _TOLD * len(texts):
        return ()
    part = f"of {len(texts):,} held-out texts the teacher read {cut:,} ({cut / len(texts):.0%}) only in part"
    length = f"up to teacher.max_length = {teacher.max_length}"
    if cut_alike:
        return (f'{part}, {length}, and the student does the same (student.read = "all" lets it read on)',)
    return (
        f"{part}, {length}, and the student reads them whole: where the rest is about something else it goes "
        'by what the teacher never saw (student.read = "teacher" stops it there)',
    )
