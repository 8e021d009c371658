"""Which shapes are trained: the compute is never exceeded, and what is good is found in every band."""

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from pingti.workspace.definition import StudentSection
from replacement.search.halving import EDGES, ROOM, RUNGS, Climb, Prices, Trial, climb
from replacement.search.space import MOST_TIMES, Shape, shapes_around
from replacement.search.surrogate import guess

SECTION = StudentSection()


def prices() -> Prices:
    shapes = shapes_around(SECTION, labels=2, classes=2, known=8000)
    operations = np.array([shape.cost(2, 8000, 15.0).operations for shape in shapes])
    training = np.array([shape.training(6400, 8, 8000, 15.0) for shape in shapes])
    kept = np.flatnonzero(operations <= MOST_TIMES * operations[0])
    return Prices(
        shapes=[shapes[place] for place in kept],
        operations=operations[kept],
        training=training[kept] / training[0],
    )


PRICES = prices()


def true_f1(shape: Shape) -> float:
    """A made-up world: filters help most; pairs of tokens matter, the embedding does not."""
    return (
        0.8
        + 0.009 * math.log2(shape.filters / 128)
        - 0.05 * (2 not in shape.widths)
        - 0.01 * (shape.wide == 0)
    )


PLACES = {shape: number for number, shape in enumerate(PRICES.shapes)}


def as_counted(shape: Shape, rung: int) -> float:
    """Seconds of a training that takes what is counted."""
    return 3.0 * RUNGS[rung].spent * float(PRICES.training[PLACES[shape]])


def search(
    compute: float, seed: int = 0, noise: float = 0.003, clock: Callable[[Shape, int], float] = as_counted
) -> Climb:
    rng = np.random.default_rng(seed)

    def train(shape: Shape, rung: int) -> Trial:
        f1 = true_f1(shape) + 0.03 * math.log2(RUNGS[rung].spent) + rng.normal(0.0, noise)
        return Trial(shape=shape, rung=rung, f1=f1, decided=(), seconds=clock(shape, rung))

    return climb(PRICES, train, compute=compute, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("compute", [2.0, 5.0, 9.0])
def test_the_compute_is_never_exceeded_and_is_counted(compute: float) -> None:
    climbed = search(compute)
    place = {shape: number for number, shape in enumerate(PRICES.shapes)}
    spent = sum(RUNGS[t.rung].spent * PRICES.training[place[t.shape]] for t in climbed.trials)
    assert climbed.compute == pytest.approx(spent)
    assert compute / 2 < spent <= compute


def test_the_definitions_shape_is_trained_on_every_rung_and_none_twice_on_one() -> None:
    climbed = search(9.0)
    default = PRICES.shapes[0]
    assert [trial.rung for trial in climbed.trials if trial.shape == default] == [0, 1, 2]
    assert max(Counter((trial.shape, trial.rung) for trial in climbed.trials).values()) == 1
    counts = [sum(trial.rung == rung for trial in climbed.trials) for rung in range(3)]
    assert counts[0] > counts[1] > 1
    assert all(count <= rung.most for count, rung in zip(counts, RUNGS, strict=True))


@pytest.mark.parametrize("slower", [1.2, 1.5, 1.8])
def test_trainings_slower_than_counted_end_a_search_below_ten_by_the_clock(slower: float) -> None:
    def clock(shape: Shape, rung: int) -> float:
        return as_counted(shape, rung) * (1.0 if shape == PRICES.shapes[0] else slower)

    climbed = search(9.0, clock=clock)
    whole = as_counted(PRICES.shapes[0], len(RUNGS) - 1)
    assert sum(trial.seconds for trial in climbed.trials) < 10 * whole
    assert climbed.trials[-1].rung == len(RUNGS) - 1


def test_a_seed_gives_one_search() -> None:
    assert search(6.0, seed=3) == search(6.0, seed=3)
    assert search(6.0, seed=3) != search(6.0, seed=4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_good_shapes_are_found_cheap_and_dear(seed: int) -> None:
    climbed = search(9.0, seed)
    places = {shape: number for number, shape in enumerate(PRICES.shapes)}
    share = PRICES.operations / PRICES.operations[0]
    full = [trial.shape for trial in climbed.trials if trial.rung == 2]
    default = true_f1(PRICES.shapes[0])
    cheap = [true_f1(shape) for shape in full if share[places[shape]] <= 0.5 * (1 + ROOM)]
    assert max(cheap) > default - 0.01
    assert max(true_f1(shape) for shape in full) > default + 0.01


def test_bands_hold_the_shapes_up_to_their_edges() -> None:
    share = PRICES.operations / PRICES.operations[0]
    assert PRICES.bands[0] == EDGES.index(1.0)
    for number, edge in enumerate(EDGES):
        assert share[PRICES.bands == number].max() <= edge * (1 + ROOM)
        assert share[PRICES.bands > number].min(initial=9.0) > edge


def test_short_trainings_tell_of_full_ones() -> None:
    rng = np.random.default_rng(0)
    features = rng.uniform(0, 4, (40, 3))
    spent = rng.choice([0.125, 0.375], 40)
    f1s = 0.8 + 0.02 * features[:, 0] - 0.01 * features[:, 1] + 0.02 * np.log2(spent)
    wanted = rng.uniform(0.5, 3.5, (20, 3))
    truth = 0.8 + 0.02 * wanted[:, 0] - 0.01 * wanted[:, 1]
    guessed = guess(features, spent, f1s, wanted)
    assert np.corrcoef(guessed.mean, truth)[0, 1] > 0.9
    # What was measured in full is known, what lies far off is not.
    near = guess(features, np.ones(40), f1s, features[:1])
    far = guess(features, np.ones(40), f1s, features[:1] + 20)
    assert near.error[0] < 0.5 * far.error[0]


def test_one_trial_is_enough_for_a_guess() -> None:
    guessed = guess(np.zeros((1, 2)), np.ones(1), np.array([0.7]), np.ones((3, 2)))
    assert np.isfinite(guessed.mean).all()
    assert np.isfinite(guessed.error).all()
