"""Labelled texts as a model reads them: checked, tokenized, some kept aside, the others in batches."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pingti.errors import InputError
from teacher.finetuning.recipe import LEAST_HELD_OUT, Recipe
from teacher.folders import encode, pad, torch
from teacher.texts import check_texts


@dataclass(frozen=True, kw_only=True)
class LabelledRows:
    """n labelled texts as the model reads them."""

    ids: list[list[int]]
    """Token ids of each text."""
    padding: int
    """Id of the padding token."""
    answers: torch.Tensor
    """int64 (n,): class number of each text."""
    of_classes: list[NDArray[np.int64]]
    """Row numbers of each class to train on."""
    held: NDArray[np.int64]
    """Row numbers kept aside; may be empty."""
    shares: torch.Tensor
    """float32 (classes,): share of each class in the texts."""

    @property
    def training(self) -> NDArray[np.int64]:
        """Row numbers to train on, ascending."""
        return np.sort(np.concatenate(self.of_classes))

    def steps_an_epoch(self, batch_size: int) -> int:
        """Batches that one epoch has."""
        return math.ceil(sum(map(len, self.of_classes)) / batch_size)

    def batch(
        self, rows: NDArray[np.int64], device: torch.device
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Inputs of the model and answers, on ``device``."""
        ids, mask = pad([self.ids[row] for row in rows], self.padding)
        inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
        return inputs, self.answers[torch.from_numpy(rows)].to(device)


def rows_of_classes(
    texts: Sequence[str], labels: Sequence[str], classes: Sequence[str]
) -> list[NDArray[np.int64]]:
    """Check n labelled texts.

    Args:
        texts: n of them.
        labels: one for each.
        classes: what they may be.

    Returns:
        The row numbers of each class.

    Raises:
        InputError: what does not fit together, or a class without a text.
    """
    if len(texts) != len(labels):
        raise InputError(f"there are {len(texts)} texts and {len(labels)} labels; each text has one label")
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise InputError(f"classes are {list(classes)}; two or more different names are needed")
    check_texts(texts)
    rows: dict[str, list[int]] = {name: [] for name in classes}
    for row, label in enumerate(labels):
        if label not in rows:
            raise InputError(f"label {row} is {label!r}; allowed are {', '.join(classes)}")
        rows[label].append(row)
    for name, own in rows.items():
        if not own:
            raise InputError(f"class {name!r} has no labelled text; every class needs at least one")
    return [np.array(own, dtype=np.int64) for own in rows.values()]


def read(
    texts: Sequence[str],
    of_classes: list[NDArray[np.int64]],
    tokenizer: Any,
    recipe: Recipe,
    rng: np.random.Generator,
) -> LabelledRows:
    """Tokenize n texts and keep some of them aside.

    Args:
        texts: n of them.
        of_classes: row numbers of each class.
        tokenizer: of the model.
        recipe: how many tokens are read, and how many texts kept aside.
        rng: draws those.
    """
    answers = np.empty(len(texts), np.int64)
    for number, rows in enumerate(of_classes):
        answers[rows] = number
    training, held = keep_aside(of_classes, recipe.validation, rng)
    return LabelledRows(
        ids=encode(tokenizer, texts, recipe.max_length),
        padding=tokenizer.pad_token_id,
        answers=torch.from_numpy(answers),
        of_classes=training,
        held=held,
        shares=torch.tensor([len(rows) / len(texts) for rows in of_classes]),
    )


def keep_aside(
    rows_of: list[NDArray[np.int64]], share: float, rng: np.random.Generator
) -> tuple[list[NDArray[np.int64]], NDArray[np.int64]]:
    """Keep rows aside, drawn from each class by its share.

    A class never gives its last row. Where a class's share is no whole number of rows, chance decides on the
    rest: of 150 classes of five rows each, half give one.

    Args:
        rows_of: row numbers of each class.
        share: of all rows; at least 40 rows are taken, and none where that is more than a quarter of all.
        rng: draws them.

    Returns:
        Each class's rows to train on, and the rows kept aside, all ascending.
    """
    total = sum(map(len, rows_of))
    count = max(round(share * total), LEAST_HELD_OUT)
    if share == 0.0 or count > total // 4:
        return rows_of, np.zeros(0, np.int64)
    drawn = [rng.permutation(rows) for rows in rows_of]
    # The k-th of a class's m rows stands at (k + chance) / m: the first of all classes together are taken.
    places = [
        (np.arange(len(rows) - 1) + rng.random()) / len(rows) if len(rows) > 1 else np.zeros(0)
        for rows in drawn
    ]
    joined = np.concatenate(places)
    if len(joined) < count:
        return rows_of, np.zeros(0, np.int64)
    limit = np.sort(joined)[count - 1]
    counts = [int((own <= limit).sum()) for own in places]
    held = np.concatenate([rows[:own] for rows, own in zip(drawn, counts, strict=True)])
    return [np.sort(rows[own:]) for rows, own in zip(drawn, counts, strict=True)], np.sort(held)


def endless(rows: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    """Draw ``rows`` in random order, each once before any comes again, for ever."""
    while True:
        yield from rng.permutation(rows).tolist()


def balanced_batches(
    draws: Sequence[Iterator[int]],
    lengths: NDArray[np.int64],
    count: int,
    batches: int,
    rng: np.random.Generator,
) -> list[NDArray[np.int64]]:
    """Draw one epoch: batches in random order, classes even in each, texts of like length.

    Each class gives the same number of rows, sorted by length and cut into as many pieces as there are
    batches; the classes' first pieces make one batch, their second pieces the next, and so on. The cuts of
    class c are rounded down from ``share * k / batches + c / classes``: by Hermite's identity the batches
    then differ by at most one row, and so do the pieces of a class.

    Args:
        draws: of each class, as of ``endless``.
        lengths: int64 (n,), tokens of each row.
        count: rows of an epoch, about.
        batches: how many.
        rng: of the order of the batches.

    Returns:
        Row numbers of each batch.
    """
    share = math.ceil(count / len(draws))
    pieces = []
    for index, draw in enumerate(draws):
        rows = np.fromiter((next(draw) for _ in range(share)), dtype=np.int64, count=share)
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        numerators = np.arange(1, batches) * share * len(draws) + index * batches
        pieces.append(np.split(rows, numerators // (batches * len(draws))))
    joined = [np.concatenate(parts) for parts in zip(*pieces, strict=True)]
    return [joined[index] for index in rng.permutation(batches)]
