"""What the loop tells: of each round, why it ended, and at its end."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pingti.workspace.definition import GateSection
from replacement.evaluation.metrics import Measure

IDLE_ROUNDS = 3
"""Rounds without a higher F1 on the validation rows, after which the loop ends ..."""
IDLE_GROWTH = 0.1
"""... where they learned from so many more rows together, as a share: fewer could have brought nothing."""


class StopReason(StrEnum):
    """Why no further round is run."""

    GATE_REACHED = "gate reached"  # on the holdout and on the validation rows: this round's student is kept
    ROUND_LIMIT = "round limit"  # as many rounds as the definition allows
    NO_PROGRESS = "no progress"  # the last rounds were no better than those before
    BUDGET_SPENT = "budget spent"  # rows are left, but the teacher may not be asked about any more of them
    POOL_USED_UP = "pool used up"  # the teacher was asked about every row that may be learned from

    def sentence(self, gate: GateSection) -> str:
        """The reason in words, as a report says it.

        Args:
            gate: that of the task's definition, which limits the rounds.
        """
        limit = "1 round" if gate.rounds == 1 else f"{gate.rounds} rounds"
        return {
            StopReason.GATE_REACHED: "the gate is reached",
            StopReason.ROUND_LIMIT: f"the limit of {limit} is reached",
            StopReason.NO_PROGRESS: f"{IDLE_ROUNDS} rounds in a row brought nothing",
            StopReason.BUDGET_SPENT: "the teacher's budget is spent",
            StopReason.POOL_USED_UP: "the pool is used up",
        }[self]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """A cluster of the teacher's [CLS] vectors, and how well the student does on unseen rows of it."""

    cluster: int
    members: int
    """Rows that were asked about and lie in the cluster."""
    measured: int
    """Validation rows that lie in it."""
    covered: float
    """Share of those that the student decides as the teacher does, drawn to the overall share where few."""


@dataclass(frozen=True, kw_only=True)
class Yield:
    """What the rows of one kind turned out to be, once the teacher was asked."""

    rows: int
    positives: int
    """Rows that the teacher puts into the second class, or for more classes not into the first."""
    errors: int
    """Rows that the student had decided otherwise."""
    margin: float
    """The teacher's mean margin: how clear they are to it."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one turn of the loop did."""

    round: int
    """Its number, from 1."""
    rows: int
    """Rows that the student was trained on."""
    asked: int
    """Rows that the teacher was asked about so far, those that measure included."""
    computed: int | None = field(default=None, compare=False)
    """Answers that had to be computed in this run so far; None: nobody counted. Rounds are equal whether
    answers were computed now or earlier."""
    added: dict[str, int]
    """Rows that this round added, by the reason for which they were chosen."""
    yields: dict[str, Yield]
    """What those turned out to be, by the same reason, where the round before chose them."""
    boundary: int
    """Rows left out so far because the teacher itself is unsure; none where they are learned from."""
    hard_negatives: int
    """Hard negatives among the rows trained on."""
    threshold: float | None
    """Of the operating point "default"; None where the likeliest class is taken, or it cannot be had."""
    validation: Measure
    holdout: Measure
    coverage: tuple[Coverage, ...] = ()
    """Clusters of the rows trained on, and how the student does there on unseen rows; known once the rows of
    the next round are chosen."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    task: str
    version: int
    """The version that was written."""
    passed: bool
    """Whether its student passed the gate."""
    stopped: StopReason
    """Why no further round was run."""
    rounds: list[Round]
    best: Round
    """The round whose student was kept: the one that reached the gate; else the latest of those whose F1
    on the validation rows is the best or hardly less."""
    report: dict[str, Any]
    """As it stands in the version's report.json."""
