"""The front and the choice, by hand."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from pingti.errors import InputError
from pingti.workspace.definition import StudentSection
from replacement.search import drawing
from replacement.search.pareto import Point, Wish, choose, error_of_difference, front
from replacement.search.space import Shape


def point(f1: float, cost: float, error: float = 0.01, size: int = 1000, on_front: bool = True) -> Point:
    return Point(
        shape=Shape.of(StudentSection()),
        f1=f1,
        error=error,
        operations=10_000 * cost,
        cost=cost,
        bytes=size,
        texts_per_second=1e5,
        on_front=on_front,
    )


DEFAULT = point(0.800, 1.0, error=0.0)
TINY = point(0.770, 0.2)
HALF = point(0.792, 0.5, size=400)
BETTER = point(0.815, 2.0, size=3000)
BEST = point(0.820, 3.9, size=4000)
POINTS = [DEFAULT, TINY, HALF, BETTER, BEST]


def test_the_front_is_what_nothing_beats() -> None:
    f1s, costs = [0.8, 0.8, 0.7, 0.9, 0.9], [10.0, 12.0, 11.0, 20.0, 20.0]
    assert front(f1s, costs) == [True, False, False, True, True]


def test_cheap_is_the_best_of_half_the_cost_within_a_standard_error() -> None:
    assert choose(POINTS, Wish(kind="cheap")) is HALF
    cheaper = point(0.791, 0.3)
    assert choose([*POINTS, cheaper], Wish(kind="cheap")) is HALF
    three_quarters = point(0.81, 0.75)
    assert choose([*POINTS, three_quarters], Wish(kind="cheap")) is HALF
    assert choose([DEFAULT, TINY, three_quarters], Wish(kind="cheap")) is three_quarters
    surely_worse = point(0.792, 0.5, error=0.005)
    assert choose([DEFAULT, TINY, surely_worse], Wish(kind="cheap")) is DEFAULT


def test_good_is_the_best_at_up_to_four_times_the_cost() -> None:
    assert choose(POINTS, Wish(kind="good")) is BEST
    assert choose([DEFAULT, TINY], Wish(kind="good")) is DEFAULT


def test_at_most_a_cost() -> None:
    assert choose(POINTS, Wish(kind="at most", value=0.5)) is HALF
    assert choose(POINTS, Wish(kind="at most", value=2.0)) is BETTER
    with pytest.raises(InputError, match=r"--at-most-cost 0.1: the cheapest shape .* takes 0.20"):
        choose(POINTS, Wish(kind="at most", value=0.1))


def test_weights_say_what_half_the_cost_and_half_the_size_are_worth() -> None:
    # Points of F1: 80, 77 + 2.32 w, 79.2 + w, 81.5 - w, 82 - 1.96 w
    assert choose(POINTS, Wish(kind="weighed", value=0.1)) is BEST
    assert choose(POINTS, Wish(kind="weighed", value=1.0)) is BETTER
    assert choose(POINTS, Wish(kind="weighed", value=1.4)) is HALF
    assert choose(POINTS, Wish(kind="weighed", value=9.0)) is TINY
    assert choose(POINTS, Wish(kind="weighed", size=5.0)) is HALF


def test_a_difference_is_as_sure_as_its_rows_are_many() -> None:
    rng = np.random.default_rng(0)

    def error(n: int, flips: float) -> float:
        reference = rng.integers(0, 2, n)
        one = np.where(rng.random(n) < 0.1, 1 - reference, reference)
        other = np.where(rng.random(n) < flips, 1 - one, one)
        return error_of_difference(reference, one, other, np.ones(n), classes=2, rng=np.random.default_rng(1))

    assert error(500, 0.0) == 0.0
    assert 0.001 < error(500, 0.02) < error(500, 0.3)
    assert error(4000, 0.1) < 0.6 * error(500, 0.1)


def test_of_more_classes_it_is_the_mean_over_them() -> None:
    reference = np.arange(300) % 3
    other = np.where(np.arange(300) % 10 == 0, (reference + 1) % 3, reference)
    drawn = error_of_difference(
        reference, reference, other, np.ones(300), classes=3, rng=np.random.default_rng(0)
    )
    # 10 % of the decisions differ: about sqrt(.1 x .9 / 300)
    assert 0.012 < drawn < 0.023


def test_the_picture_has_every_point() -> None:
    lines = drawing.terminal([*POINTS, point(0.78, 1.5, on_front=False)])
    text = "\n".join(lines)
    shown = "\n".join(line for line in lines if "┤" in line)
    assert shown.count("■") == 1
    assert shown.count("●") == 4
    assert shown.count("·") == 1
    assert "0.5" in text.splitlines()[-2]
    assert max(map(len, lines)) <= 100


def test_one_point_can_be_drawn() -> None:
    assert "■" in "\n".join(drawing.terminal([DEFAULT]))
    ElementTree.fromstring(drawing.svg([DEFAULT], "alone"))


def test_the_svg_is_well_formed_and_escapes_what_it_is_given() -> None:
    tree = ElementTree.fromstring(drawing.svg(POINTS, "<task> & more"))
    names = [element.tag.rpartition("}")[2] for element in tree.iter()]
    assert names.count("circle") == len(POINTS)
    assert "<task> & more" in [element.text for element in tree.iter()]
