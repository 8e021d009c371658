"""Which shapes are trained, and how long: successive halving in bands of cost.

Many shapes are trained on few rows, some of them on more, a few in full (Jamieson and Talwalkar 2016,
"Non-stochastic Best Arm Identification and Hyperparameter Optimization", algorithm 1); what is discarded
early takes no more compute. Who comes first on the next rung, of all shapes, trained below or not, a
surrogate says (``surrogate``); Falkner, Klein and Hutter 2018, "BOHB", join the two likewise. What a student
costs is known beforehand, so shapes compete only with others that cost about as much: the cheap are not
thrown out by the better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from replacement.search.space import Shape
from replacement.search.surrogate import guess

EDGES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""The bands: operations of a student as a share of those of the definition's, at most."""
ROOM = 0.02
"""Half the filters take half the operations and a little: the wide part is as it was."""
_FIRST = (1, 4, 0, 3, 2)  # of the bands on a rung: at half the cost, and at four times, is most wanted
MOST_BY_THE_CLOCK = 9.9
"""Full trainings of the definition's shape that a search takes at most by processor time, too: searches
whose count was nine were timed at 8 to 13."""
_BOLD = 0.5  # standard deviations that a guess gets for what is not known, below the last rung


@dataclass(frozen=True, kw_only=True)
class Rung:
    """A length of trainings."""

    rows: float
    """Share of the rows."""
    epochs: float
    """Share of the definition's epochs."""
    compute: float
    """Share of the search's compute that is spent by its end."""
    most: int
    """Shapes that are trained on it."""

    @property
    def spent(self) -> float:
        """Share of a full training."""
        return self.rows * self.epochs


RUNGS = (
    Rung(rows=0.25, epochs=0.5, compute=0.25, most=24),
    Rung(rows=0.5, epochs=0.75, compute=0.5, most=10),
    Rung(rows=1.0, epochs=1.0, compute=1.0, most=8),
)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A shape that was trained."""

    shape: Shape
    rung: int
    f1: float
    """Against the teacher, on the validation rows."""
    decided: tuple[int, ...]
    """Class numbers of the validation rows."""
    seconds: float
    """Of processor time."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Prices:
    """What n shapes cost, the definition's first."""

    shapes: Sequence[Shape]
    operations: NDArray[np.float64]
    """(n,): of scoring a text."""
    training: NDArray[np.float64]
    """(n,): of a full training, in full trainings of the definition's shape."""

    @property
    def bands(self) -> NDArray[np.int64]:
        """(n,): the band of each; those beyond the last edge have a number of their own."""
        edges = np.array(EDGES) * (1.0 + ROOM)
        bands: NDArray[np.int64] = np.searchsorted(edges, self.operations / self.operations[0])
        return bands


@dataclass(frozen=True, kw_only=True)
class Climb:
    """What a search trained."""

    trials: tuple[Trial, ...]
    compute: float
    """In full trainings of the definition's shape."""


def climb(
    prices: Prices,
    train: Callable[[Shape, int], Trial],
    *,
    compute: float,
    rng: np.random.Generator,
) -> Climb:
    """Train shapes rung by rung, until the compute is spent, or ``MOST_BY_THE_CLOCK``.

    The definition's shape is trained on every rung, whatever else has room.

    Args:
        prices: the shapes.
        train: trains a shape for a rung of ``RUNGS``.
        compute: at most so many full trainings of the definition's shape.
        rng: draws the shapes of the first rung.
    """
    trials: list[Trial] = []
    spent = 0.0

    def run(place: int, number: int) -> None:
        nonlocal spent
        trials.append(train(prices.shapes[place], number))
        spent += RUNGS[number].spent * float(prices.training[place])

    def fits(number: int, room: float, place: int) -> bool:
        own = RUNGS[number].spent * float(prices.training[place])
        if spent + own > room:
            return False
        # By the clock only on the last rung, where a full training of the definition's shape was timed.
        whole = next((trial.seconds for trial in trials if trial.rung == len(RUNGS) - 1), None)
        if whole is None:
            return True
        seconds = sum(trial.seconds for trial in trials)
        return seconds + own * max(whole, seconds / spent) <= MOST_BY_THE_CLOCK * whole

    for number, rung in enumerate(RUNGS):
        queues = [iter(queue.tolist()) for queue in _queues(prices, trials, number, rng)]
        # The definition's is what all others are held against: room is kept for it on the rungs above.
        run(0, number)
        later = sum(above.spent for above in RUNGS[number + 1 :])
        left, room = rung.most - 1, min(rung.compute * compute, compute - later)
        while queues and left:
            queue = queues.pop(0)
            within = partial(fits, number, room)
            place = next((p for p in queue if p and within(p)), None)
            if place is not None:  # else nothing of the band has room any more
                run(place, number)
                queues.append(queue)
                left -= 1
    return Climb(trials=tuple(trials), compute=spent)


def _queues(
    prices: Prices, trials: list[Trial], number: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Places of the shapes of each band, in the order in which a rung takes them."""
    bands = prices.bands
    members = [np.flatnonzero(bands == band) for band in _FIRST]
    if number == 0:
        return [rng.permutation(own) for own in members]
    worth = _worth(prices, trials, bold=0.0 if number == len(RUNGS) - 1 else _BOLD)
    return [own[np.argsort(-worth[own], kind="stable")] for own in members]


def _worth(prices: Prices, trials: list[Trial], *, bold: float) -> NDArray[np.float64]:
    """What each shape may reach after a full training, (n,)."""
    guessed = guess(
        np.stack([trial.shape.features for trial in trials]),
        np.array([RUNGS[trial.rung].spent for trial in trials]),
        np.array([trial.f1 for trial in trials]),
        np.stack([shape.features for shape in prices.shapes]),
    )
    worth: NDArray[np.float64] = guessed.mean + bold * guessed.error
    return worth
