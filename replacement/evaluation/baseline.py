"""What a trivial model decides, to hold a teacher against: a linear model of character n-grams."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pingti.corpus.normalize import keys_of

LEAST_ROWS = 40
"""To be learned from: a model of fewer says nothing of a teacher."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Baseline:
    """A linear n-gram model that decides texts which it has not learned."""

    texts: Sequence[str]
    """n labelled texts to learn from; may be none."""
    answers: NDArray[np.int64]
    """(n,): class number of each."""
    classes: int
    """How many there are."""

    def decide(
        self, texts: Sequence[str], true_labels: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64] | None:
        """Decide m texts of known labels.

        It learns from its own labelled texts, but for those to be decided. Where they are too few, it decides
        each of the m texts by the others (cross-validation).

        Args:
            texts: m of them.
            true_labels: int64 (m,), class numbers.
            rng: of learning.

        Returns:
            int64 (m,), class numbers; None where there is too little to learn from.
        """
        from teacher import ngrams  # the extra "teacher" only where something is trained

        keys = set(keys_of(texts))
        rows = np.array([key not in keys for key in keys_of(self.texts)], np.bool_).nonzero()[0]
        if len(rows) >= LEAST_ROWS:
            own = [self.texts[row] for row in rows.tolist()]
            decided: NDArray[np.int64] = (
                ngrams.fit(own, self.answers[rows], self.classes, rng).logits(texts).argmax(axis=1)
            )
            return decided
        if len(texts) < LEAST_ROWS:
            return None
        return ngrams.decide_out_of_fold(texts, true_labels, self.classes, rng)
