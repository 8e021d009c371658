import numpy as np
import pytest
from numpy.typing import NDArray

from pingti.workspace.definition import OperatingPointSection as Demand
from replacement.evaluation.metrics import measure
from replacement.evaluation.operating_points import choose, curve
from replacement.training.validation_set import EVEN, draw_by_score

Arrays = tuple[NDArray[np.bool_], NDArray[np.float32]]


@pytest.fixture(scope="module")
def pool() -> Arrays:
    """20,000 rows of which 3 % are positive, and the scores of a student that knows how sure it may be."""
    rng = np.random.default_rng(0)
    scores = 1 / (1 + np.exp(-rng.normal(-6.5, 3.2, 20_000)))
    return rng.random(len(scores)) < scores, scores.astype(np.float32)


def draw(
    pool: Arrays, seed: int, *, rows: int = 600, usable: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Validation rows and their weights."""
    positive, scores = pool
    rng = np.random.default_rng(seed)
    even = np.sort(rng.permutation(len(scores))[: round(rows * EVEN)])
    if usable is None:
        usable = np.ones(len(scores), np.bool_)
    picked, weights = draw_by_score(scores, even, positive[even], usable, budget=rows - len(even), rng=rng)
    return np.concatenate([even, picked]), weights


def f1(pool: Arrays, rows: NDArray[np.int64], weights: NDArray[np.float64] | None, threshold: float) -> float:
    positive, scores = pool
    decided = (scores[rows] >= threshold).astype(np.int64)
    return measure(positive[rows].astype(np.int64), decided, 2, weights).f1


def test_rows_are_different_within_the_budget_and_no_weight_runs_away(pool: Arrays) -> None:
    rows, weights = draw(pool, 1)
    assert len(np.unique(rows)) == len(rows) == len(weights) == 600
    assert weights.mean() == pytest.approx(1.0)
    raw = weights / weights.max()  # 1: a row that only the even part draws
    assert raw.min() > 0
    assert weights.max() < 1 / EVEN * 1.6
    again, same = draw(pool, 1)
    np.testing.assert_array_equal(rows, again)
    np.testing.assert_array_equal(weights, same)


def test_more_of_the_rows_are_positive(pool: Arrays) -> None:
    positive, _ = pool
    rows, _ = draw(pool, 2)
    assert positive[rows].sum() > 3 * 600 * positive.mean()


def test_a_small_pool_keeps_most_of_its_positives_to_learn_from(pool: Arrays) -> None:
    small = pool[0][:4000], pool[1][:4000]
    rows, weights = draw(small, 3, rows=900)
    assert len(np.unique(rows)) == len(weights) == 900
    share = small[0][rows].sum() / small[0].sum()
    assert 900 / 4000 < share < 0.4


@pytest.mark.parametrize("left_out", ["none", "by what they are", "evenly"])
def test_weighted_figures_are_those_of_the_pool(pool: Arrays, left_out: str) -> None:
    """Whatever may not be drawn: rows of one kind (people labelled them), or rows drawn otherwise."""
    _, scores = pool
    figures = []
    for seed in range(120):
        usable = np.ones(len(scores), np.bool_)
        if left_out == "by what they are":
            usable = ~((scores > 0.3) & (scores < 0.6))
        elif left_out == "evenly":
            usable[np.random.default_rng([7, seed]).permutation(len(scores))[:4000]] = False
            even = np.sort(np.random.default_rng(seed).permutation(len(scores))[: round(600 * EVEN)])
            usable[even] = True
        rows, weights = draw(pool, seed, usable=usable)
        weighted = [f1(pool, rows, weights, threshold) for threshold in (0.2, 0.5)]
        called = scores[rows] >= 0.5
        figures.append([*weighted, (weights * called).sum() / weights.sum()])
    means, errors = np.mean(figures, axis=0), np.std(figures, axis=0) / np.sqrt(len(figures))
    every = np.arange(len(scores))
    expected = [f1(pool, every, None, threshold) for threshold in (0.2, 0.5)]
    expected.append(float((scores >= 0.5).mean()))
    assert (np.abs(means - expected) < 4 * errors + [0.005, 0.005, 0.0]).all()
    # Without the weights they would be far off.
    rows, _ = draw(pool, 0)
    assert (scores[rows] >= 0.5).mean() > 3 * (scores >= 0.5).mean()


def test_a_threshold_chosen_on_them_loses_less_than_one_chosen_on_as_many_even_rows(pool: Arrays) -> None:
    positive, scores = pool
    every = np.arange(len(scores))
    best = float(curve(positive, scores).f1s.max())
    lost: dict[str, list[float]] = {"by score": [], "even": []}
    spread: dict[str, list[float]] = {"by score": [], "even": []}
    for seed in range(60):
        rows, weights = draw(pool, seed)
        even = np.random.default_rng(seed).permutation(len(scores))[:600]
        for name, chosen, counted in (("by score", rows, weights), ("even", even, np.ones(600))):
            threshold, _ = choose(curve(positive[chosen], scores[chosen], counted), Demand())
            assert threshold is not None
            lost[name].append(best - f1(pool, every, None, threshold))
            spread[name].append(f1(pool, chosen, counted, 0.5))
    assert np.mean(lost["by score"]) < 0.8 * np.mean(lost["even"])
    assert np.std(spread["by score"]) < 0.75 * np.std(spread["even"])


def test_few_usable_rows_are_all_drawn_and_nothing_breaks_without_positives(pool: Arrays) -> None:
    positive, scores = pool
    usable = np.zeros(len(scores), np.bool_)
    usable[5:25] = True
    rows, weights = draw(pool, 0, rows=300, usable=usable)
    assert set(range(5, 25)) <= set(rows.tolist())
    assert np.isfinite(weights).all()
    none = np.zeros(len(scores), np.bool_), np.zeros(len(scores), np.float32)
    rows, weights = draw(none, 0)
    assert len(rows) == 600
    assert weights == pytest.approx(np.ones(600))
    picked, weights = draw_by_score(
        scores[:9], np.arange(9), positive[:9], np.ones(9, np.bool_), budget=4, rng=rng()
    )
    assert len(picked) == 0
    assert len(weights) == 9


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
