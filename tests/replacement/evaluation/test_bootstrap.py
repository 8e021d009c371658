import numpy as np
import pytest

from replacement.evaluation.bootstrap import FIGURES, draw, figure_intervals, interval


def test_a_draw_has_as_many_rows_as_there_are_and_each_kind_by_its_share() -> None:
    counts = np.array([70, 25, 5, 0])
    draws = draw(counts, 4000, np.random.default_rng(0))
    assert draws.shape == (4000, 4)
    assert (draws.sum(axis=1) == 100).all()
    assert draws.mean(axis=0) == pytest.approx(counts, abs=0.5)
    assert draws.std(axis=0) == pytest.approx(np.sqrt(counts * (1 - counts / 100)), abs=0.2)


def test_rows_counted_together_come_up_as_often_as_one_by_one() -> None:
    one_by_one = draw(np.ones(100, np.int64), 4000, np.random.default_rng(0))
    kinds = np.stack([one_by_one[:, :70].sum(axis=1), one_by_one[:, 70:].sum(axis=1)], axis=1)
    together = draw(np.array([70, 30]), 4000, np.random.default_rng(1))
    assert kinds.mean(axis=0) == pytest.approx(together.mean(axis=0), abs=0.5)
    assert kinds.std(axis=0) == pytest.approx(together.std(axis=0), abs=0.2)


def test_an_interval_holds_the_middle_ninety_five_percent() -> None:
    assert interval(np.arange(1001) / 1000) == (0.025, 0.975)
    values = np.stack([np.arange(1001), np.arange(1001)[::-1] + 1, np.full(1001, 7.0)], axis=1) / 1000
    assert figure_intervals(values) == dict(
        zip(FIGURES, [(0.025, 0.975), (0.026, 0.976), (0.007, 0.007)], strict=True)
    )
