"""What a run tells of its rounds while it goes on, in words that a newcomer knows."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from api.cli.console import figure

if TYPE_CHECKING:
    from pingti.workspace.definition import GateSection
    from replacement.results import Round

_LEGEND = (
    "  how to read a round: all figures are agreement with the teacher, on the newest texts, held out to "
    "measure (the holdout), and in brackets on texts that choose threshold and round (the validation rows); "
    "the student is done when both reach the gate (precision {precision:g}, recall {recall:g})"
)
_CHOSEN = {
    "labelled": "labelled by people before",
    "known": "of the promoted version",
    "reviewed": "labelled by people since",
    "random": "at random",
    "uncertain": "where the student is unsure",
    "competing": "where it is likely to be clearly wrong (hard negatives)",
    "diverse": "of a kind that it misses",
    "neighbours": "next to texts that it misses",
    "new": "unlike those asked about",
}
"""Why rows were chosen, by the report's word for it."""


def tell_round(
    say: Callable[[str], None], round: "Round", classes: int, gate: "GateSection", *, legend: bool = True
) -> None:
    """Tell what a round brought; of the first, how that is to be read, too.

    Args:
        say: shows a line.
        round: what was measured.
        classes: how many the task has.
        gate: the task's.
        legend: whether it was not told yet how a round is to be read.
    """
    if round.round == 1 and legend:
        say(_LEGEND.format(precision=gate.precision, recall=gate.recall))
    say(round_line(round, classes, gate))


def round_line(round: "Round", classes: int, gate: "GateSection") -> str:
    """A round in one line: what the holdout says and the validation rows, and which are short of the gate.

    Both decide: the rounds end when both reach the gate, and the validation rows choose among rounds.

    Args:
        round: what was measured.
        classes: how many the task has.
        gate: the task's.
    """
    from replacement.evaluation.metrics import stored

    names = ("precision", "recall", "F1")
    holdout, validation = stored(round.holdout, classes), stored(round.validation, classes)
    reached = "  ".join(f"{name} {figure(holdout[name.lower()])}" for name in names)
    decides = ", ".join(figure(validation[name.lower()]) for name in names)
    left_out = ""
    if round.boundary:
        left_out = (
            f" of {round.rows + round.boundary:,}, {round.boundary:,} left out because the teacher itself is "
            "unsure (boundary rows)"
        )
    parts = {"holdout": round.holdout, "validation rows": round.validation}
    short = [name for name, measured in parts.items() if not measured.passes(gate)]
    verdict = f"gate not reached on {' and '.join(short)}" if short else "gate reached on both"
    added = ", ".join(f"{count:,} {_CHOSEN.get(kind, kind)}" for kind, count in round.added.items() if count)
    new = f" (new this round: {added})" if added else ""
    return (
        f"  round {round.round}: {reached}  (validation rows: {decides})  {verdict}  | "
        f"{asked_so_far(round)}, trained on {round.rows:,}{left_out}{new}"
    )


def asked_so_far(round: "Round") -> str:
    """How many of the teacher's answers a round goes by, and whether any had to be computed in this run.

    Args:
        round: what was asked.
    """
    known = ", all known already" if round.computed == 0 else ""
    return f"answers of the teacher so far: {round.asked:,}{known}"
