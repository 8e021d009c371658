"""What the replacement loop tells: of each round, and at its end."""

from dataclasses import dataclass
from typing import Any

from replacement.evaluation.metrics import Measure
from replacement.training import acquisition


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one turn of the loop did."""

    round: int
    rows: int
    """Rows that the student was trained on."""
    asked: int
    """Rows that the teacher was asked about so far, those that measure included."""
    added: dict[str, int]
    """Rows that this round added, by the reason for which they were chosen."""
    brought: dict[str, acquisition.Brought]
    """What those turned out to be, where the round before chose them."""
    boundary: int
    """Rows left out so far because the teacher itself is unsure."""
    competing: int
    """Competing negatives among the rows trained on."""
    threshold: float | None
    calibration: Measure
    holdout: Measure
    coverage: list[acquisition.Coverage]
    """Clusters of the rows trained on, and how the student does there on unseen rows."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    task: str
    version: int
    passed: bool
    stopped: str
    """Why no further round was run."""
    rounds: list[Round]
    best: Round
    """The round whose student was kept: the one that reached the gate; else the latest of those whose F1
    on the calibration rows is the best or hardly less."""
    report: dict[str, Any]
