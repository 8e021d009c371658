"""What a teacher is, whatever answers: a model here, a file, a service, or a function."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Embed = Callable[[Sequence[str]], NDArray[np.float32]]
"""n texts to vectors, float32 (n, width)."""

Keep = Callable[[Sequence[int], NDArray[np.float32]], None]
"""Takes answers as they come: rows (k,) of the texts, and float32 (k, labels); NaN is no answer."""


def keep_nothing(rows: Sequence[int], answers: NDArray[np.float32]) -> None:
    """Leave answers to the end of a call; as of ``Keep``."""


@dataclass(frozen=True)
class Scored:
    """A teacher's answer for n texts, in the order of the texts."""

    probabilities: NDArray[np.float32]
    """(n, labels): softmax of the logits, which an n-gram model may have added to, each row of sum 1; of
    independent labels, a sigmoid each."""
    vectors: NDArray[np.float32]
    """(n, hidden): the hidden state after the last layer of the token that the head reads: the first ([CLS])
    or, of models that read from left to right, the last."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What answers have cost so far."""

    rows: int = 0
    """Texts that were sent out or computed."""
    tokens: int = 0
    """As the service counts them, those of the question and of the answer."""
    money: float = 0.0
    """In the currency of the prices that the definition gives."""
    malformed: int = 0
    """Answers that could not be read, each a text without an answer."""
    failed: int = 0
    """Texts without an answer because the service gave none, or the budget was spent."""
    unsent: int = 0
    """Requests that were not sent, because the budget might not have held them."""
    without_logprobs: int = 0
    """Answers of which probabilities were wanted, and that came without (all) log probabilities."""
    first_malformed: str = ""
    """The beginning of the first answer that could not be read."""


class AnswerCache(Protocol):
    """Where a teacher's answers are kept; ``teacher.cache.ScoreCache`` tells of each method."""

    def find(self, keys: Sequence[bytes]) -> NDArray[np.int64]:
        """The row numbers of keys, int64 (keys,), -1 where a key is missing."""
        ...

    def get(self, rows: NDArray[np.int64]) -> Scored:
        """The answers of rows that ``find`` gave."""
        ...

    def add(self, keys: Sequence[bytes], scored: Scored) -> None:
        """Keep answers; those that are there stay as they are."""
        ...

    def refresh(self) -> None:
        """Take note of what other processes have kept since."""
        ...

    def token_vectors(self, tokens: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """The kept vectors of a vocabulary's tokens; None where there are none."""
        ...

    def add_token_vectors(
        self, tokens: Sequence[str], inputs: NDArray[np.float32], outputs: NDArray[np.float32]
    ) -> None:
        """Keep the vectors of a vocabulary's tokens."""
        ...


class AnyTeacher(Protocol):
    """Whatever gives a probability to each of its labels; its answers are kept by ``KeptAnswers``."""

    labels: tuple[str, ...]
    """Names of the columns of an answer."""
    fingerprint: str
    """32 hexadecimal digits of all that decides an answer; answers of one fingerprint are shared."""
    batch: int
    """Texts of one call of ``score`` at most."""

    @property
    def cost(self) -> Cost:
        """Of all calls so far."""
        ...

    def score(self, texts: Sequence[str], *, keep: Keep = keep_nothing) -> NDArray[np.float32]:
        """Answer n texts.

        Args:
            texts: n of them, at most ``batch``.
            keep: is given each answer once, as it comes: what it was not given is lost by a kill or an error.

        Returns:
            float32 (n, labels); each row sums to 1, and is NaN where there is no answer.
        """
        ...


class AnswerSource(Protocol):
    """What the loop asks: answers, with vectors where the teacher has them, and none paid for twice."""

    labels: tuple[str, ...]
    """The teacher's, in the order of the columns of probabilities."""
    fingerprint: str

    @property
    def rows_scored(self) -> int:
        """Rows that were computed or paid for; stored ones and equal texts are free."""
        ...

    def cached(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Tell which of n texts cost nothing; bool (n,)."""
        ...

    def score(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> "Scored":
        """Answer n texts; rows of NaN have no answer, and vectors of width 0 are none."""
        ...

    def token_vectors(
        self, tokens: Sequence[str], *, progress: Callable[[int], None] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Give vectors of tokens, as of ``Teacher.token_vectors``; None: it has none."""
        ...
