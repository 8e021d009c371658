"""A chat model behind the OpenAI form of an API (vLLM, transformers serve, hosted ones) as a teacher."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teacher.endpoints.budget import ANSWER_TOKENS, Budget
from teacher.endpoints.logprobs import content_of, label_of, probabilities_of
from teacher.endpoints.requests import Requests
from teacher.endpoints.settings import Endpoint
from teacher.endpoints.side_by_side import ask_side_by_side
from teacher.protocol import Cost, Keep, keep_nothing

_ALTERNATIVES = 20  # of a token, whose log probabilities are asked for: the most that services give


class ChatTeacher:
    """A chat model that is asked for one label of each text.

    Probabilities are read from the log probabilities of the answer's tokens; where the service gives none,
    they are the shares of several answers.

    Args:
        endpoint: where it is, what it is asked, and what it may cost.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.labels = endpoint.labels
        self.batch = 8 * endpoint.concurrency
        self.fingerprint = _fingerprint(endpoint)
        self._endpoint = endpoint
        self._budget = Budget(endpoint)
        self._requests = Requests(endpoint, self._budget)

    @property
    def cost(self) -> Cost:
        """Of all calls so far."""
        return self._budget.cost

    def score(self, texts: Sequence[str], *, keep: Keep = keep_nothing) -> NDArray[np.float32]:
        """Ask about n texts, several at a time.

        Args:
            texts: n of them.
            keep: is given answers as they come.

        Returns:
            float32 (n, labels); a row of NaN is no answer: malformed, or none came, or the budget is spent.

        Raises:
            InputError: the address may not be reached.
            UnavailableError: the service refuses every request, or answers none of many.
        """
        self._budget.count(rows=len(texts))

        def ask(part: list[str]) -> NDArray[np.float32]:
            answers = [self._ask(text) for text in part]
            nothing = np.full(len(self.labels), np.nan)
            return np.array([nothing if answer is None else answer for answer in answers], np.float32)

        return ask_side_by_side(
            texts, ask, labels=len(self.labels), size=1, concurrency=self._endpoint.concurrency, keep=keep
        )

    def _ask(self, text: str) -> NDArray[np.float64] | None:
        document = _document(self._endpoint, text)
        first = self._requests.send(document, text=text)
        if first is None:
            self._budget.count(failed=1)
            return None
        if self._endpoint.logprobs:
            read = probabilities_of(first, self.labels, as_json=self._as_json)
            if read is not None:
                return read
        further = (self._requests.send(document, text=text) for _ in range(self._endpoint.votes - 1))
        votes = np.zeros(len(self.labels))
        for answer in (first, *further):
            label = label_of(answer, self.labels, as_json=self._as_json)
            if label is not None:
                votes[self.labels.index(label)] += 1
        if not votes.any():
            self._budget.count_malformed(1, content_of(first))
            return None
        if self._endpoint.logprobs:
            self._budget.count(without_logprobs=1)
        shares: NDArray[np.float64] = votes / votes.sum()
        return shares

    @property
    def _as_json(self) -> bool:
        return self._endpoint.output == "json_schema"


def prompt(endpoint: Endpoint) -> str:
    """What the model is told before each text.

    Args:
        endpoint: has instruction and descriptions.
    """
    lines = [endpoint.instruction.strip()] if endpoint.instruction.strip() else []
    lines.append("Choose the one label that fits the text best. The labels are:")
    for label in endpoint.labels:
        meaning = endpoint.descriptions.get(label, "")
        lines.append(f"- {label}: {meaning}" if meaning else f"- {label}")
    if endpoint.output == "json_schema":
        lines.append('Answer with a JSON object that has the one field "label", and nothing else.')
    else:
        lines.append("Answer with the label alone.")
    return "\n".join(lines)


def _document(endpoint: Endpoint, text: str) -> Mapping[str, Any]:
    """The body of a request."""
    document: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": "system", "content": prompt(endpoint)}, {"role": "user", "content": text}],
        "temperature": 1.0 if endpoint.votes > 1 else 0.0,
        "max_tokens": ANSWER_TOKENS,
    }
    if endpoint.logprobs:
        document |= {"logprobs": True, "top_logprobs": _ALTERNATIVES}
    if endpoint.output == "choice":
        document |= {"structured_outputs": {"choice": list(endpoint.labels)}}
        return document | {"guided_choice": list(endpoint.labels)}
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": list(endpoint.labels)}},
        "required": ["label"],
        "additionalProperties": False,
    }
    named = {"name": "answer", "strict": True, "schema": schema}
    return document | {"response_format": {"type": "json_schema", "json_schema": named}}


def _fingerprint(endpoint: Endpoint) -> str:
    """By model and prompt, and all else that a request says; not by the address."""
    described = json.dumps(["pingti chat 1", _document(endpoint, ""), endpoint.labels, endpoint.votes])
    return hashlib.sha256(described.encode()).hexdigest()[:32]
