"""Labels and their probabilities out of a chat completion."""

import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIELD = re.compile(r'"label"\s*:\s*"((?:[^"\\]|\\.)*)("?)')


def content_of(answer: Any) -> Any:
    """What a completion says, where it is one; else all of it.

    Args:
        answer: its JSON.
    """
    try:
        return answer["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return answer


def label_of(answer: Any, labels: Sequence[str], *, as_json: bool) -> str | None:
    """Read which label a completion gives.

    Args:
        answer: its JSON.
        labels: that are allowed.
        as_json: the label is the field ``label`` of a JSON object; else it is all of the text.

    Returns:
        None where the answer is malformed, or gives another label.
    """
    try:
        content = answer["choices"][0]["message"]["content"]
        label = json.loads(content)["label"] if as_json else content.strip()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError):
        return None
    return label if isinstance(label, str) and label in labels else None


def probabilities_of(answer: Any, labels: Sequence[str], *, as_json: bool) -> NDArray[np.float64] | None:
    """Read the probability of each label from the log probabilities of a completion's tokens.

    The tokens that were taken lead to one label. At each of them the alternatives lead to others: an
    alternative's probability goes to the labels that begin so, in equal parts, until the label is clear.

    Args:
        answer: its JSON.
        labels: that are allowed.
        as_json: as of ``label_of``.

    Returns:
        float64 (labels,), of sum 1; None where the answer is malformed, or has no log probabilities.
    """
    if label_of(answer, labels, as_json=as_json) is None:
        return None
    try:
        steps = [_step(token) for token in answer["choices"][0]["logprobs"]["content"]]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None
    mass = np.zeros(len(labels))
    before, reached = "", 1.0
    for taken, alternatives in steps:
        started = _reading(before + taken, labels, as_json=as_json)
        if started is None:  # what stands before the label says nothing of it
            before += taken
            continue
        for token, chance in alternatives.items():
            fitting = _reading(before + token, labels, as_json=as_json)
            if token != taken and fitting:
                mass[fitting] += reached * chance / len(fitting)
        reached *= alternatives.get(taken, 0.0)
        before += taken
        if len(started) <= 1:
            mass[started] += reached
            break
    else:
        return None
    total = mass.sum()
    return mass / total if np.isfinite(total) and total > 0 else None


def _step(token: Any) -> tuple[str, dict[str, float]]:
    """A token that was taken, and the probabilities of it and of its alternatives."""
    alternatives = token.get("top_logprobs") or ()
    return _token(token), {_token(other): _chance(other) for other in (*alternatives, token)}


def _token(described: Any) -> str:
    token = described["token"]
    if not isinstance(token, str):
        raise TypeError("a token is text")
    return token


def _chance(described: Any) -> float:
    logprob = float(described["logprob"])
    if math.isnan(logprob):
        raise ValueError("a log probability is a number")
    return math.exp(min(0.0, logprob))


def _reading(text: str, labels: Sequence[str], *, as_json: bool) -> list[int] | None:
    """Numbers of the labels that an answer which begins with ``text`` may give; None: none has begun."""
    begun, closed = text.lstrip(), False
    if as_json:
        match = _FIELD.search(text)
        if match is None:
            return None
        begun, closed = match[1], bool(match[2])
        written = [json.dumps(label, ensure_ascii="\\u" in begun)[1:-1] for label in labels]
    else:
        written = list(labels)
    if not begun and not closed:
        return None
    return [
        number
        for number, label in enumerate(written)
        if (label == begun if closed else label.startswith(begun))
    ]
