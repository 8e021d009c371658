import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from teacher.finetuning.labelled_rows import balanced_batches, endless, keep_aside


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=8),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**32),
)
def test_batches_draw_the_classes_evenly(sizes: list[int], batch_size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    rows_of = [np.flatnonzero(label == index) for index in range(len(sizes))]
    batches = -(-len(label) // batch_size)
    drawn_batches = balanced_batches(
        [endless(rows, rng) for rows in rows_of], rng.integers(2, 64, len(label)), len(label), batches, rng
    )
    assert len(drawn_batches) == batches
    counts = np.array([np.bincount(label[batch], minlength=len(sizes)) for batch in drawn_batches])
    assert np.ptp(counts.sum(axis=0)) == 0
    assert np.ptp(counts, axis=0).max() <= 1
    assert np.ptp(counts.sum(axis=1)) <= 1
    assert counts.sum(axis=1).min() >= 1
    drawn = np.bincount(np.concatenate(drawn_batches), minlength=len(label))
    for rows in rows_of:  # no row comes twice more often than another of its class
        assert np.ptp(drawn[rows]) <= 1


def test_batches_hold_texts_of_like_length() -> None:
    rng = np.random.default_rng(5)
    lengths = rng.integers(3, 64, 300)
    draws = [endless(rows, rng) for rows in np.array_split(np.arange(300), 3)]
    batches = balanced_batches(draws, lengths, 300, 10, rng)
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 15 < 55 < np.ptp(lengths)


@settings(deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=150),
    share=st.sampled_from([0.0, 0.05, 0.1, 0.3]),
    seed=st.integers(0, 2**32),
)
def test_rows_are_kept_aside_of_each_class_by_its_share(sizes: list[int], share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(len(sizes)), sizes)
    of_classes = [np.flatnonzero(label == index) for index in range(len(sizes))]
    training, held = keep_aside(of_classes, share, rng)
    assert np.array_equal(np.sort(np.concatenate([*training, held])), np.arange(len(label)))
    assert min(map(len, training)) >= 1
    wanted = max(round(share * len(label)), 40)
    spare = len(label) - len(sizes)
    assert len(held) == (wanted if share and wanted <= len(label) // 4 and wanted <= spare else 0)
    if len(held) and spare >= 2 * wanted and min(sizes) > 4:
        counts = np.bincount(label[held], minlength=len(sizes))
        assert np.abs(counts - wanted * np.array(sizes) / len(label)).max() <= 2


def test_rows_are_kept_aside_of_many_classes_of_few_rows() -> None:
    of_classes = [np.arange(5 * number, 5 * number + 5) for number in range(150)]
    _, held = keep_aside(of_classes, 0.1, np.random.default_rng(0))
    assert len(held) == 75
    assert np.bincount(held // 5, minlength=150).max() == 1


@pytest.mark.parametrize(("rows", "kept"), [(159, 0), (160, 40), (1000, 100)])
def test_few_rows_are_all_trained_on(rows: int, kept: int) -> None:
    halves = np.array_split(np.arange(rows), 2)
    _, held = keep_aside(halves, 0.1, np.random.default_rng(0))
    assert len(held) == kept
