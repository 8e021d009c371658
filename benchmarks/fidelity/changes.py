"""What is exchanged in the product for a method, while a run lasts; a change without effect is an error."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

import sampling
from replacement.evaluation import disagreement
from replacement.training import acquisition


def changes(method: str) -> list[contextlib.AbstractContextManager[None]]:
    """What is exchanged in the product for a method."""

    def at_random(_: Any, candidates: Any, *__: Any, budget: int, rng: Any, **___: Any) -> Any:
        return {"random": sampling.random_rows(len(candidates), budget=budget, rng=rng)}, []

    def least_confident(_: Any, candidates: Any, *__: Any, budget: int, rng: Any, **___: Any) -> Any:
        picked = sampling.breaking_ties(candidates.probabilities, budget=budget, rng=rng)
        return {"uncertain": picked}, []

    def none_hard(_: Any, answers: NDArray[np.float32], *__: Any, **___: Any) -> Any:
        return np.zeros(len(answers), np.bool_)

    def hard_negatives_alone(original: Callable[..., Any], *positional: Any, **named: Any) -> Any:
        parts = dict(original(*positional, **named))
        parts["competing"] += parts["diverse"]
        parts["diverse"] = 0.0
        return parts

    def decisions(original: Callable[..., Any], encoded: Any, targets: Any, **named: Any) -> Any:
        hard = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
        return original(encoded, hard, **named)

    if method in ("random", "full_pool"):
        return [
            exchanged(acquisition, "choose", at_random),
            exchanged(disagreement, "hard_negatives", none_hard),
        ]
    if method == "breaking_ties":
        return [
            exchanged(acquisition, "choose", least_confident),
            exchanged(disagreement, "hard_negatives", none_hard),
        ]
    if method == "no_diversity":
        return [exchanged(acquisition, "shares", hard_negatives_alone)]
    if method == "hard_labels":
        from textcnn import train

        return [exchanged(train, "train", decisions)]
    return []


@contextlib.contextmanager
def exchanged(owner: Any, name: str, by: Callable[..., Any]) -> Iterator[None]:
    """While it lasts ``owner.name`` is ``by``, which gets the original before its own arguments."""
    original = getattr(owner, name)
    calls = 0

    def instead(*positional: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return by(original, *positional, **named)

    with mock.patch.object(owner, name, instead):
        yield
    if calls == 0:
        raise RuntimeError(f"{owner.__name__}.{name} was not called: the bench's change had no effect")
