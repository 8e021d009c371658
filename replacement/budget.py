"""How a run's budget of teacher rows is shared out: rows that measure, rows that people labelled, rounds."""

from dataclasses import dataclass

MEASURING = 5
"""One row in so many measures, at most: what is left teaches."""
LEAST_MEASURING = 100
"""Rows: of fewer no figure tells anything, so that a tiny budget spends more on them, up to a third."""
LEAST_ROUND = 0.05
"""A round asks about so many more rows, as a share of those learned from: fewer could bring nothing."""


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Rows that only measure, by what they measure."""

    holdout: int
    """The newest rows, which the gate goes by."""
    validation: int
    """Rows of the pool, which choose threshold and round."""
    apart: int
    """Texts outside the corpus with true labels."""


def share_measuring(budget: int, *, holdout: int, validation: int, apart: int) -> Measuring:
    """Share out the rows that measure: as many as are wanted, and a fifth of the budget at most.

    Where that is too little, validation rows may have a third of it and texts apart a quarter; the holdout
    has the rest, and what one of them cannot use the others may.

    Args:
        budget: rows that the teacher may be asked about in all.
        holdout: rows wanted, as many as are there at most.
        validation: likewise.
        apart: likewise.
    """
    most = max(budget // MEASURING, min(LEAST_MEASURING, budget // 3))
    few_validation, few_apart = min(validation, most // 3), min(apart, most // 4)
    held = min(holdout, most - few_validation - few_apart)
    few_validation = min(validation, most - held - few_apart)
    return Measuring(holdout=held, validation=few_validation, apart=min(apart, most - held - few_validation))


def most_labelled(left: int, rounds: int) -> int:
    """How many rows that people labelled are asked about for round 1.

    Their labels are known, and what is chosen by errors teaches more: they take half of what measuring left,
    so that the rounds always have the other half; all of it where no second round follows.

    Args:
        left: rows of the budget that do not measure.
        rounds: how many rounds there may be.
    """
    return left if rounds == 1 else left // 2


def rows_of_round(left: int, rounds: int, learned: int) -> int:
    """How many rows the next round asks about: an even share of what is left, but enough to bring something.

    Args:
        left: rows of the budget.
        rounds: how many may follow, this one included.
        learned: rows that were asked about to learn from.
    """
    return min(left, max(left // rounds, round(LEAST_ROUND * learned)))
