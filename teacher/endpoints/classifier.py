"""A classifier behind the inference API of Hugging Face as a teacher: texts in, labels and scores out."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacher.endpoints.budget import Budget
from teacher.endpoints.requests import Requests
from teacher.endpoints.settings import Endpoint
from teacher.endpoints.side_by_side import ask_side_by_side
from teacher.protocol import Cost, Keep, keep_nothing


class ClassifierTeacher:
    """A service that is sent ``{"inputs": [...]}`` and answers ``[[{"label": ..., "score": ...}, ...]]``.

    Args:
        endpoint: where it is, and its labels.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.labels = endpoint.labels
        self.batch = endpoint.concurrency * endpoint.batch
        described = json.dumps(["pingti classifier 1", endpoint.model or endpoint.url, self.labels])
        self.fingerprint = hashlib.sha256(described.encode()).hexdigest()[:32]
        self._endpoint = endpoint
        self._budget = Budget(endpoint)
        self._requests = Requests(endpoint, self._budget)

    @property
    def cost(self) -> Cost:
        """Of all calls so far; tokens are not counted."""
        return self._budget.cost

    def score(self, texts: Sequence[str], *, keep: Keep = keep_nothing) -> NDArray[np.float32]:
        """Ask about n texts, as of ``ChatTeacher.score``."""
        self._budget.count(rows=len(texts))
        return ask_side_by_side(
            texts,
            self._ask,
            labels=len(self.labels),
            size=self._endpoint.batch,
            concurrency=self._endpoint.concurrency,
            keep=keep,
        )

    def _ask(self, texts: list[str]) -> NDArray[np.float32]:
        probabilities = np.full((len(texts), len(self.labels)), np.nan, np.float32)
        answer = self._requests.send({"inputs": texts})
        if answer is None:
            self._budget.count(failed=len(texts))
            return probabilities
        if len(texts) == 1 and isinstance(answer, list) and answer and isinstance(answer[0], dict):
            answer = [answer]  # so some servers answer one text
        if not isinstance(answer, list) or len(answer) != len(texts):
            self._budget.count_malformed(len(texts), answer)
            return probabilities
        for row, scores in enumerate(answer):
            read = self._read(scores)
            if read is None:
                self._budget.count_malformed(1, scores)
            else:
                probabilities[row] = read
        return probabilities

    def _read(self, scores: Any) -> NDArray[np.float64] | None:
        """Probabilities (labels,) of one text; None where the answer is malformed."""
        given = np.zeros(len(self.labels))
        try:
            for part in scores:
                given[self.labels.index(part["label"])] = float(part["score"])
        except (KeyError, TypeError, ValueError):
            return None
        total = given.sum()
        return given / total if np.isfinite(given).all() and (given >= 0).all() and total > 0 else None
