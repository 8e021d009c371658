"""A function of Python as a teacher."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import InputError
from teacher.protocol import Cost, Keep, keep_nothing

Function = Callable[[list[str]], Any]
"""n texts to n labels, or to probabilities (n, labels)."""


class CallableTeacher:
    """A function that answers.

    Args:
        function: is called with a list of texts.
        labels: names of its columns, or of the labels that it gives.
        name: stands for the function in the fingerprint: another function needs another name, or the answers
            of the first are taken for its own.
    """

    batch = 512

    def __init__(self, function: Function, labels: Sequence[str], name: str) -> None:
        self.labels = tuple(labels)
        self.cost = Cost()
        self.name = name
        described = json.dumps(["pingti function 1", name, self.labels])
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()[:32]
        self._function = function

    def score(self, texts: Sequence[str], *, keep: Keep = keep_nothing) -> NDArray[np.float32]:
        """Call the function.

        Args:
            texts: n of them.
            keep: is given the answers.

        Returns:
            float32 (n, labels); a row of NaN, or a label that is None, is no answer.

        Raises:
            InputError: what it gives is neither n labels nor numbers (n, labels) from 0 up.
        """
        answers = self._answers(texts)
        keep(range(len(texts)), answers)
        return answers

    def _answers(self, texts: Sequence[str]) -> NDArray[np.float32]:
        given = self._listed(self._function(list(texts)))
        self.cost = Cost(rows=self.cost.rows + len(texts))
        if len(given) != len(texts):
            raise self._wrong(f"it gave {len(given)} answers for {len(texts)} texts")
        if all(answer is None or isinstance(answer, str) for answer in given):
            return self._of_labels(given)
        try:
            scores = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise self._wrong(f"it gave what is neither labels nor numbers ({error})") from error
        if scores.shape != (len(texts), len(self.labels)):
            raise self._wrong(f"it gave numbers of shape {scores.shape}")
        answered = ~np.isnan(scores).all(axis=1)
        sums = scores.sum(axis=1)
        bad = answered & ~(np.isfinite(scores).all(axis=1) & (scores >= 0).all(axis=1) & (sums > 0))
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise self._wrong(f"for {texts[row][:40]!r} it gave {scores[row].tolist()}")
        return (scores / np.where(answered, sums, 1.0)[:, None]).astype(np.float32)

    def _listed(self, given: Any) -> list[Any]:
        """What the function gave, an answer a text; a frame would be a list of its columns."""
        if isinstance(given, str | bytes | Mapping) or hasattr(given, "columns"):
            raise self._wrong(f"it gave one {type(given).__name__}")
        try:
            return list(given)
        except TypeError:
            raise self._wrong(f"it gave one {type(given).__name__}") from None

    def _of_labels(self, given: Sequence[str | None]) -> NDArray[np.float32]:
        probabilities = np.full((len(given), len(self.labels)), np.nan, np.float32)
        for row, label in enumerate(given):
            if label is None:
                continue
            if label not in self.labels:
                raise self._wrong(f"it gave the label {label!r}")
            probabilities[row] = 0.0
            probabilities[row, self.labels.index(label)] = 1.0
        return probabilities

    def _wrong(self, problem: str) -> InputError:
        return InputError(
            f"teacher python:{self.name}: {problem}; needed is, for each text, one of the labels "
            f"{', '.join(self.labels)}, or a row of {len(self.labels)} probabilities in that order"
        )
