"""When rounds end, and which one's student is kept."""

from collections.abc import Sequence

from pingti.workspace.definition import GateSection
from replacement.results import IDLE_GROWTH, IDLE_ROUNDS, Round, StopReason

_ALIKE = 0.02  # of F1 on the validation rows


def stop_reason(gate: GateSection, rounds: Sequence[Round], *, usable: bool) -> StopReason | None:
    """Why no round follows these; None: one may, if rows are left to ask about.

    Args:
        gate: the task's.
        rounds: all so far.
        usable: whether the operating point "default" of the last one can be had.
    """
    last = rounds[-1]
    if usable and last.holdout.passes(gate) and last.validation.passes(gate):
        return StopReason.GATE_REACHED
    if len(rounds) >= gate.rounds:
        return StopReason.ROUND_LIMIT
    reached = [result.validation.f1 for result in rounds]
    learned = [result.rows + result.boundary for result in rounds]
    return StopReason.NO_PROGRESS if brought_nothing(reached, learned) else None


def brought_nothing(reached: Sequence[float], learned: Sequence[int]) -> bool:
    """Whether the last rounds were no better than those before, though their rows could have made them so.

    Args:
        reached: F1 of each round on the validation rows.
        learned: rows of each that the teacher was asked about to learn from.
    """
    if len(reached) <= IDLE_ROUNDS:
        return False
    # Of a few more rows than before, nothing can be said but that they are few.
    before = learned[-IDLE_ROUNDS - 1]
    if learned[-1] - before < IDLE_GROWTH * before:
        return False
    return max(reached[-IDLE_ROUNDS:]) <= max(reached[:-IDLE_ROUNDS])


def best_round(rounds: Sequence[Round], stopped: StopReason, gate: GateSection) -> int:
    """The place in ``rounds`` of the one whose student is kept.

    Args:
        rounds: all of a setup.
        stopped: why it ended.
        gate: the task's.

    Returns:
        The last where it reached the gate. Else, of rounds that the validation rows hardly tell apart, the
        latest that reaches the gate on these, or the latest of all: it has learned from the most rows.
    """
    within = [result.validation.passes(gate) for result in rounds]
    return best_of([result.validation.f1 for result in rounds], stopped, within)


def best_of(reached: Sequence[float], stopped: StopReason, within: Sequence[bool] | None = None) -> int:
    """As ``best_round``, by what the rounds reached.

    Args:
        reached: F1 of each round on the validation rows; of a family the mean over its tasks.
        stopped: why the rounds ended.
        within: whether each reaches the gate on these; not asked where absent.
    """
    if stopped == StopReason.GATE_REACHED:
        return len(reached) - 1
    alike = [index for index, f1 in enumerate(reached) if f1 >= max(reached) - _ALIKE]
    return max(alike, key=lambda index: (within is not None and within[index], index))


def speak_against(before: Round, after: Round, gate: GateSection, *, binary: bool) -> bool:
    """Whether the validation rows speak against taking one student in another's place.

    Args:
        before: the best round.
        after: what the finished student reached.
        gate: the task's.
        binary: whether there are two classes, which need a threshold.
    """
    lost = before.validation.passes(gate) and not after.validation.passes(gate)
    return lost or (binary and after.threshold is None) or after.validation.f1 < before.validation.f1
