"""How a budget is shared out: little measures, rounds always have rows to choose."""

import pytest

from replacement.budget import Measuring, most_labelled, rows_of_round, share_measuring


def test_the_run_that_had_225_rows_for_its_rounds_has_two_fifths_of_its_budget() -> None:
    budget = 6450
    shared = share_measuring(budget, holdout=5000, validation=1500, apart=0)
    assert shared == Measuring(holdout=860, validation=430, apart=0)
    left = budget - shared.holdout - shared.validation
    assert min(3000, most_labelled(left, 5)) == 2580
    assert left - 2580 >= 0.4 * budget


@pytest.mark.parametrize("budget", [500, 1000, 6450, 20_000, 32_499])
@pytest.mark.parametrize("apart", [0, 40, 5000])
@pytest.mark.parametrize("holdout", [300, 5000])
def test_a_small_budget_spends_a_fifth_on_measuring_and_all_of_it(
    budget: int, apart: int, holdout: int
) -> None:
    shared = share_measuring(budget, holdout=holdout, validation=1500, apart=apart)
    parts = (shared.holdout, shared.validation, shared.apart)
    assert sum(parts) == min(budget // 5, holdout + 1500 + apart)
    assert all(part > 0 for part in parts[:2])
    assert all(part <= wanted for part, wanted in zip(parts, (holdout, 1500, apart), strict=True))


@pytest.mark.parametrize("budget", [32_500, 50_000])
def test_a_large_budget_measures_on_all_rows_that_are_wanted(budget: int) -> None:
    shared = share_measuring(budget, holdout=5000, validation=1500, apart=0)
    assert shared == Measuring(holdout=5000, validation=1500, apart=0)


def test_the_bench_s_budget_keeps_its_sizes() -> None:
    assert share_measuring(15_000, holdout=1500, validation=1500, apart=0) == Measuring(
        holdout=1500, validation=1500, apart=0
    )


@pytest.mark.parametrize(("budget", "measures"), [(100, 33), (300, 100), (499, 100), (500, 100), (1000, 200)])
def test_a_tiny_budget_measures_on_more_than_a_fifth(budget: int, measures: int) -> None:
    shared = share_measuring(budget, holdout=5000, validation=1500, apart=0)
    assert shared.holdout + shared.validation == measures


def test_labelled_rows_have_all_that_is_left_where_no_round_follows() -> None:
    assert (most_labelled(5160, 1), most_labelled(5160, 2), most_labelled(5160, 5)) == (5160, 2580, 2580)


@pytest.mark.parametrize(
    ("left", "rounds", "learned", "rows"),
    [
        (2400, 4, 3000, 600),  # an even share
        (225, 4, 3000, 150),  # 56 of 3,000 could bring nothing
        (75, 3, 3150, 75),
        (0, 3, 3150, 0),
    ],
)
def test_a_round_is_large_enough_to_bring_something(left: int, rounds: int, learned: int, rows: int) -> None:
    assert rows_of_round(left, rounds, learned) == rows
