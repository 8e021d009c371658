"""Fit a student to a teacher's soft scores.

The loss is the cross-entropy against the teacher's probabilities (Hinton et al. 2015, section 2, at
temperature 1), each row weighted. The optimiser is Adam; the learning rate falls along a cosine; the
weights returned are a running average of the last steps (Polyak and Juditsky 1992), which costs nothing
at scoring and steadies small training sets. The wide part is fitted apart (``textcnn.wide``).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from pingti.errors import InputError
from textcnn.architecture import Architecture
from textcnn.encoding import Encoded
from textcnn.fold import first_columns
from textcnn.network import Dropout, TextCNN
from textcnn.wide import fit_wide

_HEAVIEST = 10.0  # most that a row of a rare class counts


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a student is trained."""

    epochs: int = 8
    """Passes over the rows."""
    batch_size: int = 64
    """Rows per step."""
    learning_rate: float = 4e-3
    """Adam's step size at its highest, after the first tenth of the steps."""
    average: float = 0.99
    """Share of the running average that a step keeps; 0 takes the last weights as they are."""
    wide_strength: float = 1.0
    """Logits that a class gets from a margin of 1 of the wide part, where the architecture has one. On weibo
    (nine classes, and four of them as binary tasks) and CLINC150, 1 was best or within 0.002 of it."""
    wide_strength_divided: float = 0.5
    """The same for divided classes, whose network decides better: 0.5 was best of 0, 0.5, 1 and 1.5."""


def train(
    encoded: Encoded,
    targets: NDArray[np.float32],
    *,
    size: int,
    architecture: Architecture,
    rng: np.random.Generator,
    weights: NDArray[np.float32] | None = None,
    embedding: NDArray[np.float32] | None = None,
    tasks: Sequence[int] | None = None,
    subclasses: Sequence[int] | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[int], None] | None = None,
) -> TextCNN:
    """Train a network of ``size`` ids on n texts.

    Args:
        encoded: ids of n texts.
        targets: float (n, columns), each row the teacher's probabilities (or one-hot labels); for several
            tasks that share a trunk, their columns side by side, NaN where a task's teacher was not asked.
        size: the vocabulary's number of ids.
        architecture: the network's shape.
        rng: every random choice comes from it; one state gives one network on one machine.
        weights: float (n,), how much a row counts; 1 for all where absent.
        embedding: float (m, architecture.embedding), where to start the vectors of the first m tokens of
            the vocabulary; of a standard deviation near 1. Random where absent.
        tasks: the number of classes of each task, where there are several; ``Student.family`` takes what
            is trained.
        subclasses: the number of columns of each class, those of all tasks one behind the other; 1 where
            absent. What a text is within its class, the network learns, and its wide part does not.
        recipe: epochs, batch size, learning rate.
        progress: called after every step with the number of rows that it took.

    Returns:
        The network, ready to be folded.

    Raises:
        InputError: no rows, or arrays that do not fit each other.
    """
    recipe = recipe or Recipe()
    _check_rows(encoded, targets, weights)
    tasks = tasks or [len(subclasses) if subclasses else targets.shape[1]]
    parts = list(subclasses or [1] * sum(tasks))
    _check_columns(targets, tasks, parts)
    if embedding is not None:
        _check_embedding(embedding, size, architecture)
    if weights is None:
        weights = np.ones(len(encoded), np.float32)
    with one_thread():
        network = TextCNN(size, sum(tasks), architecture, rng, parts)
        if embedding is not None:
            network.start_embedding(embedding)

        def logits_of(rows: NDArray[np.int64]) -> torch.Tensor:
            batch = encoded.take(rows)
            return network.deep(batch.ids, batch.offsets)

        _fit(logits_of, targets, _columns_of(tasks, parts), network, rng, weights, recipe, progress)
    if architecture.wide:
        _add_wide(encoded, targets, tasks, network, rng, weights, recipe)
    return network


def train_head(
    encoded: Encoded,
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    *,
    wide: int,
    rng: np.random.Generator,
    weights: NDArray[np.float32] | None = None,
    recipe: Recipe | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Train a head and a wide part on a trunk that stays as it is: seconds where a network takes minutes.

    Args:
        encoded: ids of n texts.
        features: float32 (n, k), what the trunk makes of them: ``Student.features``.
        targets: float (n, columns), each row the teacher's probabilities.
        wide: buckets of the wide part; 0: none.
        rng: every random choice comes from it.
        weights: float (n,), how much a row counts; 1 for all where absent.
        recipe: as of ``train``.
        progress: as of ``train``.

    Returns:
        The head's weights, float32 (columns, k), its bias, float32 (columns,), and the wide part's rows of
        logits, float32 (buckets, columns).

    Raises:
        InputError: no rows, or arrays that do not fit each other.
    """
    recipe = recipe or Recipe()
    _check_rows(encoded, targets, weights)
    if weights is None:
        weights = np.ones(len(encoded), np.float32)
    columns = targets.shape[1]
    with one_thread():
        head = _Head(features.shape[1], columns, rng)
        inputs = torch.from_numpy(np.ascontiguousarray(features, np.float32))
        _fit(lambda rows: head(inputs[rows]), targets, [columns], head, rng, weights, recipe, progress)
    weight, bias = head.linear.weight.detach().numpy(), head.linear.bias.detach().numpy().copy()
    table = np.zeros((wide, columns), np.float32)
    if wide:
        table, added = fit_wide(
            encoded,
            targets,
            [columns],
            buckets=wide,
            strength=recipe.wide_strength,
            weights=weights,
            rng=rng,
        )
        bias += added
    return weight, bias, table


class _Head(torch.nn.Module):
    """What stands behind the trunk."""

    def __init__(self, features: int, columns: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.dropout = Dropout(rng)
        linear: torch.nn.Linear = torch.nn.utils.skip_init(torch.nn.Linear, features, columns)  # type: ignore[no-untyped-call]
        self.linear = linear
        start = rng.normal(0.0, np.sqrt(1.0 / features), (columns, features)).astype(np.float32)
        with torch.no_grad():
            self.linear.weight.copy_(torch.from_numpy(start))
            self.linear.bias.zero_()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.linear(self.dropout(features))
        return logits


def class_weights(decided: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weigh rows so that each class counts as much as any other.

    A row of class c of k counts n / (k times the rows of c) (King and Zeng 2001, "Logistic Regression in Rare
    Events Data", section 4.2), but ten at most: a class of a handful of rows shall not decide alone.

    Args:
        decided: int64 (n,), the class of each row.
        classes: their number.

    Returns:
        How much each row counts, float32 (n,).
    """
    counts = np.bincount(decided, minlength=classes)
    of_classes = np.minimum(len(decided) / (classes * np.maximum(counts, 1)), _HEAVIEST)
    weights: NDArray[np.float32] = of_classes.astype(np.float32)[decided]
    return weights


def _check_rows(encoded: Encoded, targets: NDArray[np.float32], weights: NDArray[np.float32] | None) -> None:
    n = len(encoded)
    if n == 0 or targets.ndim != 2 or len(targets) != n or (weights is not None and weights.shape != (n,)):
        raise InputError(
            f"training: {n} texts, targets of shape {targets.shape}; one row of targets per text is needed"
        )


def _check_columns(targets: NDArray[np.float32], tasks: Sequence[int], parts: Sequence[int]) -> None:
    if len(parts) != sum(tasks) or sum(parts) != targets.shape[1] or min(tasks) < 2 or min(parts) < 1:
        raise InputError(
            f"training: tasks of {list(tasks)} classes of {list(parts)} subclasses, and {targets.shape[1]} "
            "columns of targets"
        )


def _check_embedding(embedding: NDArray[np.float32], size: int, architecture: Architecture) -> None:
    if embedding.shape[1:] != (architecture.embedding,) or len(embedding) >= size:
        raise InputError(
            f"training: embedding of shape {embedding.shape}; needed is ({size - 1} or fewer, "
            f"{architecture.embedding})"
        )


def _columns_of(tasks: Sequence[int], parts: Sequence[int]) -> list[int]:
    """How many columns of targets each task has, ``parts`` being those of each class."""
    ends = np.cumsum([0, *tasks])
    return [sum(parts[first:end]) for first, end in pairwise(ends)]


@contextmanager
def one_thread() -> Iterator[None]:
    """One core: the result does not depend on their number, and steps this small gain nothing from more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _fit(
    logits_of: Callable[[NDArray[np.int64]], torch.Tensor],
    targets: NDArray[np.float32],
    columns: Sequence[int],
    network: torch.nn.Module,
    rng: np.random.Generator,
    weights: NDArray[np.float32],
    recipe: Recipe,
    progress: Callable[[int], None] | None,
) -> None:
    """Train ``network``, by which ``logits_of`` makes the logits of some rows."""
    n = len(targets)
    network.train()
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=recipe.learning_rate, fused=True)
    average = [parameter.detach().clone() for parameter in parameters]
    # A row of zeros has a loss of zero: so a task's teacher that was not asked has nothing to teach.
    target_tensor = torch.from_numpy(np.nan_to_num(targets.astype(np.float32), nan=0.0))
    weight_tensor = torch.from_numpy(weights.astype(np.float32))
    steps = recipe.epochs * -(-n // recipe.batch_size)
    step = 0
    for _ in range(recipe.epochs):
        order = rng.permutation(n)
        for start in range(0, n, recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * schedule(step / steps)
            groups = logits_of(rows).split(list(columns), dim=1)  # type: ignore[no-untyped-call]
            parts = [torch.log_softmax(part, dim=1) for part in groups]
            losses = -(target_tensor[rows] * torch.cat(parts, dim=1)).sum(dim=1)
            loss = (losses * weight_tensor[rows]).mean()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            # The average is shorter at the start, so that the first weights do not linger in it.
            kept = min(recipe.average, step / (step + 10))
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1.0 - kept)
            if progress is not None:
                progress(len(rows))
    with torch.no_grad():
        for parameter, mean in zip(parameters, average, strict=True):
            parameter.copy_(mean)
    network.eval()


def _add_wide(
    encoded: Encoded,
    targets: NDArray[np.float32],
    tasks: Sequence[int],
    network: TextCNN,
    rng: np.random.Generator,
    weights: NDArray[np.float32],
    recipe: Recipe,
) -> None:
    """Fit the wide part to the classes, whatever parts the network divides them into, and add it."""
    divided = max(network.subclasses) > 1
    table, bias = fit_wide(
        encoded,
        np.add.reduceat(targets, first_columns(network.subclasses), axis=1),
        tasks,
        buckets=network.architecture.wide,
        strength=recipe.wide_strength_divided if divided else recipe.wide_strength,
        weights=weights,
        rng=rng,
    )
    network.add_wide(table, bias)


def schedule(done: float) -> float:
    """Linear warm-up over the first tenth, then half a cosine to zero."""
    return done / 0.1 + 1e-3 if done < 0.1 else 0.5 * (1.0 + float(np.cos(np.pi * (done - 0.1) / 0.9)))
