"""Answers of any teacher, kept on disk: no text is paid for twice, whatever is killed in between."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from teacher.cache import ScoreCache
from teacher.passing import open_passing, open_with_passing
from teacher.protocol import AnswerCache, AnyTeacher, Scored
from teacher.texts import check_texts


class KeptAnswers:
    """A teacher asked only about texts that its cache does not hold; ``open`` makes one.

    A text that got no answer is not stored, so that the next run asks about it again; this one does not.

    Args:
        teacher: is asked.
        cache: of its fingerprint.
        before: answers about rows of jobs, which are taken over instead of asking again.
    """

    def __init__(self, teacher: AnyTeacher, cache: AnswerCache, before: AnswerCache | None = None) -> None:
        self.labels = teacher.labels
        self.fingerprint = teacher.fingerprint
        self.rows_scored = 0
        """Texts that this object asked about, answered or not."""
        self.teacher = teacher
        self._cache = cache
        self._before = before
        self._without: set[bytes] = set()

    @classmethod
    def open(cls, teacher: AnyTeacher, folder: Path, *, passing: bool = False) -> "KeptAnswers":
        """Open the cache of a teacher.

        Args:
            teacher: as of the class.
            folder: where caches are, one sub-folder a fingerprint (``<workspace>/teachers``).
            passing: whether it is asked about rows of jobs (``teacher.passing``).

        Raises:
            ArtifactError: as of ``ScoreCache.open``.
        """
        known = folder, teacher.fingerprint, teacher.labels
        if passing:
            return cls(teacher, open_with_passing(*known, 0))
        return cls(teacher, ScoreCache.open(*known, 0), open_passing(*known))

    def cached(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which of n texts would be answered from the disk; bool (n,)."""
        check_texts(texts)
        return self._cache.find([ScoreCache.key(text) for text in texts]) >= 0

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Scored:
        """Answer n texts; answers are on disk soon after they came, and before an error is raised.

        Args:
            texts: n of them.
            progress: called with the number of texts done since it was last called.

        Returns:
            Rows of NaN have no answer; vectors have no width.

        Raises:
            InputError: a text is not Unicode, or the teacher's answers cannot be used.
            UnavailableError: the teacher cannot be had.
        """
        check_texts(texts)
        keys = [ScoreCache.key(text) for text in texts]
        rows = self._cache.find(keys)
        missing = {
            key: text
            for key, text, row in zip(keys, texts, rows.tolist(), strict=True)
            if row < 0 and key not in self._without
        }
        if progress is not None:
            progress(len(texts) - len(missing))
        pending = list(missing)
        for start in range(0, len(pending), self.teacher.batch):
            batch = pending[start : start + self.teacher.batch]
            self._ask({key: missing[key] for key in batch})
            if progress is not None:
                progress(len(batch))
        rows = self._cache.find(keys)
        probabilities = np.full((len(texts), len(self.labels)), np.nan, np.float32)
        there = rows >= 0
        probabilities[there] = self._cache.get(rows[there]).probabilities
        return Scored(probabilities, np.zeros((len(texts), 0), np.float32))

    def token_vectors(self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None) -> None:
        """There are none; as of ``AnswerSource``."""
        return

    def _ask(self, texts: dict[bytes, str]) -> None:
        self._cache.refresh()  # another process may have come here first
        keys = self._take_over(self._missing(list(texts)))
        if not keys:
            return

        def keep(rows: Sequence[int], answers: NDArray[np.float32]) -> None:
            answered = np.asarray(np.isfinite(answers).all(axis=1), np.bool_)
            there = [keys[row] for row, has_one in zip(rows, answered.tolist(), strict=True) if has_one]
            self._without.update({keys[row] for row in rows} - set(there))
            if there:
                nothing = np.zeros((len(there), 0), np.float32)
                self._cache.add(there, Scored(answers[answered], nothing))
            self.rows_scored += len(rows)

        self.teacher.score([texts[key] for key in keys], keep=keep)

    def _missing(self, keys: list[bytes]) -> list[bytes]:
        return [key for key, row in zip(keys, self._cache.find(keys).tolist(), strict=True) if row < 0]

    def _take_over(self, keys: list[bytes]) -> list[bytes]:
        """Keep for good what jobs have asked; the keys that are missing still."""
        if self._before is None or not keys:
            return keys
        rows = self._before.find(keys)
        if (rows < 0).all():
            return keys
        there = [key for key, row in zip(keys, rows.tolist(), strict=True) if row >= 0]
        self._cache.add(there, self._before.get(rows[rows >= 0]))
        return self._missing(keys)
