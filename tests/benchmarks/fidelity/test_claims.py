"""What bench-fidelity claims of its rows."""

from typing import Any

import pytest

from benchmarks.fidelity.claims import against_ties, claims
from benchmarks.fidelity.results import key
from tests.support.fidelity_rows import TASKS, row, rows


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
        known = {key(some): {"accuracy_truth": accuracy, "teacher_accuracy_truth": 0.95} for some in measured}
        assert claimed(measured, known)[claim] is met


def test_peers_are_compared_where_both_were_measured() -> None:
    claim = "ahead of fasttext in median F1"
    measured = rows("pingti", 0.9)
    assert claim not in claimed(measured)
    assert claimed(measured + rows("fasttext", 0.89))[claim] is True
    assert claimed(measured + rows("fasttext", 0.9))[claim] is False
    assert claimed([]) == {}


@pytest.mark.parametrize(("f1", "met"), [(0.965, True), (0.955, False)])
def test_a_tenth_is_held_against_the_full_pool(f1: float, met: bool) -> None:
    claim = "{}, 10 % of the pool: median F1 within 1.0 point of the full pool"
    full = rows("full_pool", 0.97)
    assert claim.format("pingti") not in claimed([*full, *rows("pingti", 0.99)])  # of a quarter
    for method in ("pingti", "family"):
        assert claimed([*full, *rows(method, f1, share=0.1)])[claim.format(method)] is met


def test_a_twentieth_is_held_against_random_rows_of_a_quarter() -> None:
    claim = (
        "pingti, 5 % of the pool: at least random's F1 at 25 % on 80 % of the tasks, which is 80 % fewer "
        "labels"
    )
    measured = [*rows("pingti", 0.9, share=0.05), *rows("random", 0.5, share=0.05)]
    assert claim not in claimed(measured)
    # As good is enough, and two of ten tasks may be lost.
    quarter = rows("random", 0.9)
    assert claimed(measured + quarter)[claim] is True
    for lost in (1, 2, 3):
        for some in quarter:
            some["f1_teacher"] += 0.01 * ((some["data"], some["task"]) == TASKS[lost])
        assert claimed(measured + quarter)[claim] is (lost < 3)


def ties(pingti: list[float], breaking_ties: float, full_pool: float) -> tuple[str, bool]:
    measured = [row("weibo", "a", "pingti", seed, f1) for seed, f1 in enumerate(pingti)]
    for method, f1 in (("breaking_ties", breaking_ties), ("full_pool", full_pool)):
        measured += [row("weibo", "a", method, seed, f1) for seed in range(len(pingti))]
    ((task, where, met),) = against_ties(measured)
    assert task == ("weibo", "a")
    return where, met


def test_ties_are_beaten_or_nothing_is_to_be_gained() -> None:
    assert ties([0.91, 0.91, 0.91], 0.9, 0.95) == ("ahead of breaking ties by 0.0100", True)
    assert ties([0.89, 0.89, 0.89], 0.9, 0.95) == (
        "behind breaking ties by 0.0100; the full pool is ahead by 0.0500", False,
    )  # fmt: skip
    # The full pool is no better than breaking ties: what counts is whether pingti is as good as that.
    where, met = ties([0.89, 0.9, 0.885], 0.9, 0.895)
    assert met
    assert "as is the full pool by 0.0050; within noise of the full pool (+0.0033, 0.0088)" in where
    where, met = ties([0.87, 0.87, 0.871], 0.9, 0.895)
    assert not met
    assert "not within noise of the full pool" in where
    # One seed tells no noise, and equal F1 is not ahead.
    assert ties([0.9], 0.9, 0.9)[1] is False
    assert (
        "no full pool"
        in next(
            against_ties([row("weibo", "a", "pingti", 0, 0.8), row("weibo", "a", "breaking_ties", 0, 0.9)])
        )[1]
    )


def test_all_labels_are_claimed_apart() -> None:
    def nine(pingti: float) -> dict[str, bool]:
        measured = [row("weibo", "nine", "pingti", 0, pingti), row("weibo", "nine", "full_pool", 0, 0.8)]
        return claimed(measured)

    assert nine(0.795) == {"weibo nine: macro F1 within 1.0 point of the full pool": True}
    assert nine(0.785) == {"weibo nine: macro F1 within 1.0 point of the full pool": False}


def test_a_family_is_held_against_students_of_their_own_by_data_set() -> None:
    claim = "{} as a family: median F1 above that of students of their own, worst task within 1 point"
    measured = [*rows("own", 0.9), *rows("family", 0.91)]
    of_weibo, of_clinc = claim.format("weibo"), claim.format("clinc150")
    assert claimed(measured) == {of_weibo: True, of_clinc: True}
    for some in measured:
        if (some["method"], some["task"]) == ("family", TASKS[0][1]):
            some["f1_teacher"] = 0.88
    assert claimed(measured) == {of_weibo: False, of_clinc: True}
    assert claimed([*rows("own", 0.9), *rows("family", 0.9)]) == {of_weibo: False, of_clinc: False}
