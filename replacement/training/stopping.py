"""When the loop ends."""

from collections.abc import Sequence

from pingti.workspace.definition import GateSection
from replacement.training.results import Round

_IDLE = 3  # rounds without a higher F1 on the calibration rows, after which the loop ends
REACHED = "the gate is reached"


def stop(gate: GateSection, rounds: Sequence[Round], *, usable: bool) -> str:
    """Why no round follows these, or an empty string; whether the last one's default scene can be had."""
    last = rounds[-1]
    if usable and last.holdout.passes(gate) and last.calibration.passes(gate):
        return REACHED
    if len(rounds) >= gate.rounds:
        return f"the limit of {gate.rounds} rounds is reached"
    reached = [each.calibration.f1 for each in rounds]
    if len(reached) > _IDLE and max(reached[-_IDLE:]) <= max(reached[:-_IDLE]):
        return f"{_IDLE} rounds in a row brought nothing"
    return ""
