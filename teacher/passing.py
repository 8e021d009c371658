"""A teacher's answers about rows of jobs: as many as fit, so that a service that runs for years keeps few.

What a run asks its teacher lasts (``teacher.cache``): it is what a version was made of. Rows of jobs come and
go. Their answers are kept so that a shard which is tried again, and texts that come again, cost nothing; they
are in a folder of their own, without vectors, and the oldest make room::

    <folder>/<fingerprint>/passing/00000003-9f86d081884c7d659a2feaa0c55ad015.arrow
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teacher.cache import ScoreCache
from teacher.protocol import Scored

PASSING = "passing"
MOST = 250_000
"""Answers that are kept of one teacher: 6 MB of two labels, and some 40 MB of memory where they are read."""
_PASSING_ROWS = 1 << 40  # where the numbers of rows begin that pass


def open_with_passing(folder: Path, fingerprint: str, labels: Sequence[str], hidden: int) -> "PassingCache":
    """Open a teacher's answers for rows of jobs.

    Args:
        folder: where caches are, one sub-folder a fingerprint.
        fingerprint: the teacher's.
        labels: the teacher's.
        hidden: width of its vectors.

    Raises:
        ArtifactError: as of ``ScoreCache.open``.
    """
    lasting = ScoreCache.open(folder, fingerprint, labels, hidden)
    return PassingCache(lasting, open_passing(folder, fingerprint, labels))


def open_passing(
    folder: Path, fingerprint: str, labels: Sequence[str], *, most: int | None = None
) -> ScoreCache:
    """Open the answers about rows of jobs alone; as ``ScoreCache.open``, without vectors.

    Args:
        folder: where caches are, one sub-folder a fingerprint.
        fingerprint: the teacher's.
        labels: the teacher's.
        most: answers that are kept; ``MOST`` where absent.

    Raises:
        ArtifactError: as of ``ScoreCache.open``.
    """
    own = folder / fingerprint
    return ScoreCache.open(own, fingerprint, labels, 0, name=PASSING, most=MOST if most is None else most)


class PassingCache:
    """The lasting answers of a teacher, which are only read, and those about rows of jobs.

    To be used in the place of a ``ScoreCache``. Vectors of answers that pass are zeros.

    Args:
        lasting: what runs have asked.
        passing: of ``open_passing``.
    """

    def __init__(self, lasting: ScoreCache, passing: ScoreCache) -> None:
        self._lasting, self._passing = lasting, passing

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """As of ``ScoreCache``."""
        rows = self._lasting.find(keys)
        passing = self._passing.find(keys)
        only = (rows < 0) & (passing >= 0)
        rows[only] = passing[only] + _PASSING_ROWS
        return rows

    def get(self, rows: NDArray[np.int64]) -> Scored:
        """As of ``ScoreCache``."""
        passing = rows >= _PASSING_ROWS
        probabilities = np.empty((len(rows), len(self._lasting.labels)), np.float32)
        vectors = np.zeros((len(rows), self._lasting.hidden), np.float32)
        lasting = self._lasting.get(rows[~passing])
        probabilities[~passing], vectors[~passing] = lasting.probabilities, lasting.vectors
        probabilities[passing] = self._passing.get(rows[passing] - _PASSING_ROWS).probabilities
        return Scored(probabilities, vectors)

    def add(self, keys: Sequence[bytes], scored: Scored) -> None:
        """As of ``ScoreCache``: to those that pass."""
        self._passing.add(keys, scored)

    def refresh(self) -> None:
        """As of ``ScoreCache``."""
        self._lasting.refresh()
        self._passing.refresh()

    def token_vectors(self, tokens: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """As of ``ScoreCache``: the lasting ones."""
        return self._lasting.token_vectors(tokens)

    def add_token_vectors(
        self, tokens: Sequence[str], inputs: NDArray[np.float32], outputs: NDArray[np.float32]
    ) -> None:
        """As of ``ScoreCache``: to the lasting ones."""
        self._lasting.add_token_vectors(tokens, inputs, outputs)
