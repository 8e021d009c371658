import pytest

from teacher.finetuning.recipe import Recipe


@pytest.mark.parametrize(("steps", "epochs"), [(1, 400), (25, 16), (94, 6), (1000, 6)])
def test_few_rows_are_seen_more_often(steps: int, epochs: int) -> None:
    assert Recipe().epochs_of(steps) == epochs
    assert Recipe(epochs=3).epochs_of(steps) == 3


def test_the_learning_rate_follows_the_width() -> None:
    rates = [Recipe().rate_of(width) for width in (128, 384, 512, 768, 1024, 4096)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == rates[1] > 5 * rates[3]
    assert Recipe(learning_rate=1e-3).rate_of(768) == 1e-3
