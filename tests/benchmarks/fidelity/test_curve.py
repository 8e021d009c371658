"""The learning curve's table."""

import pytest

from benchmarks.fidelity import curve
from tests.support.fidelity_rows import TASKS, row, rows


def test_a_line_holds_the_shares_in_order_and_the_full_pool_at_its_own() -> None:
    measured = [*rows("pingti", 0.9), *rows("pingti", 0.8, share=0.05), *rows("full_pool", 0.95)]
    measured += rows("random", 0.7, share=0.05)
    assert curve.shares(measured) == [0.05, 0.25, 1.0]
    lines = curve.medians(measured)
    assert lines["pingti"] == [pytest.approx(0.801), pytest.approx(0.901), None]
    assert lines["random"] == [pytest.approx(0.701), None, None]
    assert lines["full_pool"] == [None, None, pytest.approx(0.951)]
    assert set(lines) == {"pingti", "random", "full_pool"}


def test_a_table_speaks_of_the_same_tasks_throughout() -> None:
    """A task that was measured at one share alone moves no median."""
    measured = [*rows("pingti", 0.9), *rows("pingti", 0.8, share=0.05), *rows("random", 0.7)]
    more = [row("weibo", f"more {number}", "pingti", 0, 0.1) for number in range(20)]
    assert curve.medians([*measured, *more]) == curve.medians(measured)
    # Random rows that lack a task have no median beside the others.
    lacking = [some for some in measured if (some["task"], some["method"]) != (TASKS[0][1], "random")]
    assert "random" not in curve.medians(lacking)
    assert curve.medians([]) == {}
