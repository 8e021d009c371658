"""When the loop ends, and which round's student is kept."""

import pytest

from pingti.workspace.definition import GateSection
from replacement.evaluation.metrics import Measure
from replacement.results import Round, StopReason
from replacement.training.rounds.stopping import best_round, stop_reason

GATE = GateSection(precision=0.9, recall=0.9, rounds=6)


def rounds(*f1s: float, holdout: float = 0.5, first: int = 100, more: int = 20) -> list[Round]:
    """Rounds whose students have these figures on the validation rows.

    Round 1 learned from ``first`` rows, each other from ``more`` rows more.
    """

    def figures(value: float) -> Measure:
        return Measure(precision=value, recall=value, f1=value, accuracy=value, rows=20, positives=10)

    return [
        Round(
            round=number,
            rows=first + more * (number - 1),
            asked=2 * first,
            added={},
            yields={},
            boundary=0,
            hard_negatives=0,
            threshold=0.5,
            validation=figures(f1),
            holdout=figures(holdout),
        )
        for number, f1 in enumerate(f1s, 1)
    ]


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (StopReason.GATE_REACHED, "the gate is reached"),
        (StopReason.ROUND_LIMIT, "the limit of 6 rounds is reached"),
        (StopReason.NO_PROGRESS, "3 rounds in a row brought nothing"),
        (StopReason.BUDGET_SPENT, "the teacher's budget is spent"),
        (StopReason.POOL_USED_UP, "the pool is used up"),
    ],
)
def test_every_reason_has_its_sentence(reason: StopReason, sentence: str) -> None:
    assert reason.sentence(GATE) == sentence


def test_a_limit_of_one_round_is_no_plural() -> None:
    assert StopReason.ROUND_LIMIT.sentence(GateSection(rounds=1)) == "the limit of 1 round is reached"


def test_every_reason_is_listed_above() -> None:
    assert len({reason.sentence(GATE) for reason in StopReason}) == 5


def test_the_gate_has_to_be_reached_on_the_holdout_and_on_the_validation_rows() -> None:
    reached = rounds(0.95, holdout=0.92)
    assert stop_reason(GATE, reached, usable=True) == StopReason.GATE_REACHED
    assert stop_reason(GATE, reached, usable=False) is None
    assert stop_reason(GATE, rounds(0.95, holdout=0.89), usable=True) is None
    assert stop_reason(GATE, rounds(0.89, holdout=0.95), usable=True) is None


def test_three_rounds_without_a_better_one_end_the_loop() -> None:
    assert stop_reason(GATE, rounds(0.8, 0.7, 0.7), usable=True) is None
    assert stop_reason(GATE, rounds(0.8, 0.7, 0.7, 0.8), usable=True) == StopReason.NO_PROGRESS
    assert stop_reason(GATE, rounds(0.8, 0.7, 0.7, 0.81), usable=True) is None
    assert stop_reason(GATE, rounds(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), usable=True) == StopReason.ROUND_LIMIT


def test_rounds_of_a_few_rows_more_are_not_judged() -> None:
    """225 rows in four rounds, after 3,000: nobody can say that they brought nothing."""
    f1s = (0.8, 0.7, 0.7, 0.7)
    assert stop_reason(GATE, rounds(*f1s, first=3000, more=56), usable=True) is None
    assert stop_reason(GATE, rounds(*f1s, first=3000, more=99), usable=True) is None
    assert stop_reason(GATE, rounds(*f1s, first=3000, more=100), usable=True) == StopReason.NO_PROGRESS


def test_the_latest_of_rounds_that_are_alike_is_kept() -> None:
    f1s = (0.5, 0.8, 0.79, 0.77)
    assert best_round(rounds(*f1s), StopReason.BUDGET_SPENT, GATE) == 2
    assert best_round(rounds(*f1s), StopReason.GATE_REACHED, GATE) == 3


def test_of_rounds_that_are_alike_one_that_reaches_the_gate_on_the_validation_rows_is_preferred() -> None:
    f1s = (0.5, 0.91, 0.905, 0.895)
    assert best_round(rounds(*f1s), StopReason.BUDGET_SPENT, GATE) == 2
    assert best_round(rounds(0.95, 0.91), StopReason.BUDGET_SPENT, GATE) == 0  # not alike
