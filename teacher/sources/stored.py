"""Answers that exist already: they cost nothing, and go before whoever else answers."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from teacher.protocol import AnswerSource, Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class StoredAnswers:
    """n answers, each of another text."""

    labels: tuple[str, ...]
    row_of: Mapping[str, int]
    """The row of each text, by its normalised form."""
    probabilities: NDArray[np.float32]
    """(n, labels); each row sums to 1."""
    normalise: Callable[[Sequence[str]], list[str]]
    """Texts to their normalised forms."""

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits: SHA-256 over labels, texts and probabilities."""
        digest = hashlib.sha256("\n".join(["pingti answers 1", *self.labels, ""]).encode())
        for text in sorted(self.row_of):
            digest.update(f"{text}\n".encode() + self.probabilities[self.row_of[text]].tobytes())
        return digest.hexdigest()[:32]

    def find(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Find the rows of texts, int64 (texts,), -1 where there is no answer."""
        keys = self.normalise(texts)
        return np.fromiter((self.row_of.get(key, -1) for key in keys), np.int64, count=len(keys))


class StoredFirst:
    """Stored answers, and for other texts another source, if there is one.

    Only some rows would have that source's vectors, so none has.

    Args:
        stored: the answers.
        other: what is asked about texts that have none, of the same labels; None: nobody.
    """

    def __init__(self, stored: StoredAnswers, other: AnswerSource | None) -> None:
        self.labels = stored.labels
        self.fingerprint = stored.fingerprint
        if other is not None:
            both = f"pingti answers first 1\n{stored.fingerprint}\n{other.fingerprint}\n"
            self.fingerprint = hashlib.sha256(both.encode()).hexdigest()[:32]
        self._stored = stored
        self._other = other

    @property
    def rows_scored(self) -> int:
        """Rows that the other source computed or was paid for."""
        return 0 if self._other is None else self._other.rows_scored

    def cached(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which of n texts cost nothing; bool (n,)."""
        free = self._stored.find(texts) >= 0
        return free if self._other is None else free | self._other.cached(texts)

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Scored:
        """Answer n texts, as of ``AnswerSource``."""
        rows = self._stored.find(texts)
        there = rows >= 0
        probabilities = np.full((len(texts), len(self.labels)), np.nan, np.float32)
        probabilities[there] = self._stored.probabilities[rows[there]]
        if progress is not None:
            progress(int(there.sum()) if self._other is not None else len(texts))
        missing = np.flatnonzero(~there)
        if self._other is not None and len(missing):
            asked = [texts[row] for row in missing.tolist()]
            probabilities[missing] = self._other.score(asked, progress=progress).probabilities
        return Scored(probabilities, np.zeros((len(texts), 0), np.float32))

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Give those of the other source."""
        return None if self._other is None else self._other.token_vectors(tokens, progress=progress)
