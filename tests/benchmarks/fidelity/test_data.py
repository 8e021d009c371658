"""The tasks of bench-fidelity."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.fidelity import data


def test_the_ten_groups_part_the_150_intents() -> None:
    intents = [intent for group in data.INTENTS.values() for intent in group.split()]
    assert {len(group.split()) for group in data.INTENTS.values()} == {15}
    assert (len(data.INTENTS), len(intents), len(set(intents))) == (10, 150, 150)


def test_every_archive_that_is_a_label_is_a_task() -> None:
    assert len(data.ARCHIVES) == len(set(data.ARCHIVES)) == 14
    assert data.OTHER in data.ARCHIVES


def test_a_smaller_share_starts_with_fewer_labelled_texts() -> None:
    """They count among the rows asked about: a fifth of each share, and never more than there are."""
    part = data.Part(
        name="some", chinese=False, model=Path("model"), classes=("a",), tasks=(), corpus=Path("corpus"),
        holdout_fraction=0.1, seed=[(str(number), "a") for number in range(800)], pool=pa.array(["text"]),
        holdout=[], answers=np.zeros((0, 1), np.float32), true_labels=[],
    )  # fmt: skip
    assert [len(part.seed_of(share)) for share in (0.025, 0.05, 0.1, 0.25, 1.0)] == [80, 160, 320, 800, 800]
    assert part.seed_of(0.25)[:80] == part.seed_of(0.025)
