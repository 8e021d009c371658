"""Medians, intervals and noise of bench-fidelity's figures."""

import numpy as np
import pytest

from benchmarks.fidelity.cells import by_cell, f1, interval, less, median, noise, resampled
from tests.support.fidelity_rows import TASKS, rows


def test_the_interval_is_that_of_the_median_of_the_tasks() -> None:
    rng = np.random.default_rng(1)
    cells = {(*task, seed): float(rng.normal(0.9, 0.02)) for task in TASKS for seed in range(3)}
    medians = resampled(cells, np.random.default_rng(0))
    low, high = interval(cells)
    assert (low, high) == pytest.approx(np.percentile(medians, [2.5, 97.5]), abs=1e-4)
    assert low < median(cells) < high

    # Task by task and seed by seed, as slowly as it is said.
    again = np.random.default_rng(2)
    slow = []
    for _ in range(2000):
        means = []
        for place in again.integers(len(TASKS), size=len(TASKS)):
            drawn = again.integers(3, size=3)
            means.append(np.mean([cells[*TASKS[place], seed] for seed in drawn.tolist()]))
        slow.append(np.median(means))
    assert np.percentile(medians, [2.5, 97.5]) == pytest.approx(np.percentile(slow, [2.5, 97.5]), abs=2e-3)


def test_seeds_of_a_task_are_not_tasks() -> None:
    """Thirty seeds of two tasks that differ tell little about the next task."""
    cells = {
        ("weibo", f"task {number}", seed): 0.7 + 0.2 * number for number in range(2) for seed in range(30)
    }
    assert set(np.round(resampled(cells, np.random.default_rng(0)), 6)) == {0.7, 0.8, 0.9}
    assert interval(cells) == pytest.approx((0.7, 0.9))
    # Tasks may have different numbers of seeds: each counts once.
    del cells["weibo", "task 1", 0]
    assert median(cells) == pytest.approx(0.8)
    assert np.median(resampled(cells, np.random.default_rng(0))) == pytest.approx(0.8)


def test_a_share_is_compared_with_itself_and_with_the_full_pool() -> None:
    measured = [*rows("pingti", 0.9), *rows("pingti", 0.8, share=0.05), *rows("full_pool", 0.95)]
    assert {some["share"] for some in by_cell(measured, "pingti").values()} == {0.25}
    assert {some["share"] for some in by_cell(measured, "pingti", 0.05).values()} == {0.05}
    gap = less(f1(measured, "full_pool", 0.05), f1(measured, "pingti", 0.05))
    assert len(gap) == 30
    assert median(gap) == pytest.approx(0.15)
    assert less(f1(measured, "pingti"), f1(measured, "random")) == {}


def test_noise_is_pooled_over_the_tasks_of_a_data_set() -> None:
    """Deviations of .01 and .03 of two seeds each: variances of .0002 and .0018, pooled .001."""
    cells = {("weibo", "a", 0): 0.0, ("weibo", "a", 1): 0.02, ("weibo", "b", 0): 0.0, ("weibo", "b", 1): 0.06}
    cells |= {("weibo", "c", 0): 0.5, ("arxiv", "cs", 0): 0.1}
    expected = {("weibo", "a"): 2 * np.sqrt(0.0005), ("weibo", "b"): 2 * np.sqrt(0.0005)}
    expected[("weibo", "c")] = 2 * np.sqrt(0.001)
    widths = noise(cells)
    assert widths.pop(("arxiv", "cs")) is None
    assert widths == pytest.approx(expected)
