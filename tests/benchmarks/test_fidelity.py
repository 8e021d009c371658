"""What bench-fidelity makes of its rows: the claims, the merged file, and the intervals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import fidelity
from benchmarks.fidelity import _interval, _median, _merge, _resampled, claims

TASKS = [("weibo", f"task {i}") for i in range(5)] + [("clinc150", f"group {i}") for i in range(5)]


def row(data: str, task: str, method: str, seed: int, f1: float, **more: Any) -> dict[str, Any]:
    values = {
        "data": data,
        "task": task,
        "method": method,
        "seed": seed,
        "teacher_rows": 250,
        "pool_rows": 1000,
    }
    return {**values, "f1_teacher": f1, "f1_truth": 0.9, "teacher_f1_truth": 0.9, **more}


def rows(method: str, f1: float, seeds: int = 3, **more: Any) -> list[dict[str, Any]]:
    return [row(*task, method, seed, f1 + seed / 1000, **more) for task in TASKS for seed in range(seeds)]


def claimed(measured: list[dict[str, Any]], accuracy: dict[Any, Any] | None = None) -> dict[str, bool]:
    return {claim: met for met, claim, _ in claims(measured, accuracy or {})}


CEILING = "median F1 within 1.0 point of the full pool, with at most a quarter of it"


@pytest.mark.parametrize(
    ("f1", "asked", "met"), [(0.965, 250, True), (0.97, 250, True), (0.955, 250, False), (0.97, 251, False)]
)
def test_the_full_pool_is_reached_within_a_point_and_a_quarter(f1: float, asked: int, met: bool) -> None:
    measured = rows("pingti", f1, teacher_rows=asked) + rows("full_pool", 0.97, teacher_rows=1000)
    assert claimed(measured)[CEILING] is met


def test_ahead_is_counted_by_task_over_the_means_of_the_seeds() -> None:
    claim = "ahead of random on at least 80 % of the tasks"
    measured = rows("pingti", 0.9)
    # Two of ten tasks are lost: one by every seed, one in the mean alone.
    lost = {TASKS[0]: [0.001, 0.001, 0.001], TASKS[1]: [0.05, -0.01, -0.01]}
    for ahead, more in ((True, {}), (False, {TASKS[2]: [0.0, 0.0, 0.0]})):
        behind = {**dict.fromkeys(TASKS, [-0.01] * 3), **lost, **more}
        others = [
            row(*task, "random", seed, 0.9 + seed / 1000 + behind[task][seed])
            for task in TASKS
            for seed in range(3)
        ]
        assert claimed(measured + others)[claim] is ahead
    # A task that the other method was not measured on does not count.
    assert claimed([*measured, row(*TASKS[0], "random", 0, 0.1)])[claim] is True


def test_every_group_of_clinc_counts() -> None:
    claim = "CLINC150 groups: F1 at least 0.96"
    measured = rows("pingti", 0.97)
    assert claimed(measured)[claim] is True
    measured[-1]["f1_teacher"] = 0.9
    assert claimed(measured)[claim] is False


def test_accuracy_is_held_against_the_teachers() -> None:
    claim = "accuracy against true labels within 1 point of the teacher's, median"
    measured = rows("pingti", 0.97)
    for accuracy, met in ((0.945, True), (0.935, False)):
        known = {
            (each["data"], each["task"], each["method"], each["seed"]): {
                "accuracy_truth": accuracy, "teacher_accuracy_truth": 0.95
            }
            for each in measured
        }  # fmt: skip
        assert claimed(measured, known)[claim] is met


def test_peers_are_compared_where_both_were_measured() -> None:
    claim = "ahead of fasttext in median F1"
    measured = rows("pingti", 0.9)
    assert claim not in claimed(measured)
    assert claimed(measured + rows("fasttext", 0.89))[claim] is True
    assert claimed(measured + rows("fasttext", 0.9))[claim] is False
    assert claimed([]) == {}


def test_calls_side_by_side_add_up_in_one_file(tmp_path: Path) -> None:
    out = tmp_path / "fidelity.json"
    empty = fidelity._read(out)
    first, second = row("weibo", "a", "pingti", 0, 0.8), row("clinc150", "b", "random", 0, 0.7)
    _merge(out, empty, rows=[second], left_out={"weibo": "not there", "weibo: fasttext": "missing"})
    # This call knows nothing of what the other has written since.
    merged = _merge(
        out, empty, rows=[first], further=[{**first, "seconds": 1.0}], settings={"weibo": {"pool": 9}}
    )
    assert json.loads(out.read_text()) == merged
    assert [(each["data"], each["f1_teacher"]) for each in merged["rows"]] == [
        ("weibo", 0.8),
        ("clinc150", 0.7),
    ]
    # What was measured is not left out any more; what was not still is.
    assert merged["left_out"] == {"weibo: fasttext": "missing"}
    again = _merge(out, merged, rows=[{**first, "f1_teacher": 0.85}])
    assert [each["f1_teacher"] for each in again["rows"]] == [0.85, 0.7]
    assert (len(again["further"]), again["settings"]) == (1, {"weibo": {"pool": 9}})
    assert _merge(None, empty, rows=[first])["rows"] == [first]


def test_the_interval_is_that_of_the_median_of_the_tasks() -> None:
    rng = np.random.default_rng(1)
    cells = {(*task, seed): float(rng.normal(0.9, 0.02)) for task in TASKS for seed in range(3)}
    medians = _resampled(cells, np.random.default_rng(0))
    low, high = (float(each) for each in _interval(cells).strip("\\[]").split(", "))
    assert (low, high) == pytest.approx(np.percentile(medians, [2.5, 97.5]), abs=1e-4)
    assert low < _median(cells) < high

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
    assert set(np.round(_resampled(cells, np.random.default_rng(0)), 6)) == {0.7, 0.8, 0.9}
    assert _interval(cells) == r"\[0.7000, 0.9000]"
    # Tasks may have different numbers of seeds: each counts once.
    del cells["weibo", "task 1", 0]
    assert _median(cells) == pytest.approx(0.8)
    assert np.median(_resampled(cells, np.random.default_rng(0))) == pytest.approx(0.8)
