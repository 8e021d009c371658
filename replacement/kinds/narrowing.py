"""Tables of int8 for the rounds' student: half the memory, where its decisions stay as they are."""

import dataclasses
from typing import TYPE_CHECKING, Final

from pingti.workspace.definition import StudentSection
from replacement.evaluation.metrics import decide
from replacement.progress import say

if TYPE_CHECKING:
    from replacement.training.outcome.trained import Trained
    from replacement.training.rounds.state import Asked, Setup

ALIKE: Final = 0.999
"""Share of the validation rows that must be decided as before."""


def note_of_family(section: StudentSection) -> str:
    """Say that a member of a family has no table of its own, where its definition wants one.

    Args:
        section: the member's.

    Returns:
        A sentence; empty where there is nothing to say.
    """
    if section.table == "int16":
        return ""
    return (
        f'student.table: "{section.table}" is not to be had: members of a family have one table, of '
        'int16; student.trunk = "own" and pingti replace of this task alone make one of its own'
    )


def narrow(setup: "Setup", asked: "Asked", trained: "Trained") -> "Trained":
    """Round the best round's student to int8, where ``student.table`` says so.

    Args:
        setup: has definition and texts.
        asked: all rows asked about.
        trained: what the rounds made.

    Returns:
        The same with the narrowed student and what it reaches in the place of the best one; unchanged where
        the definition wants int16, where "auto" finds too many decisions changed, and on a family's trunk.
    """
    wanted = setup.definition.student.table
    if wanted == "int16" or setup.trunk is not None:
        return trained
    student, result = trained.of_rounds, trained.rounds[trained.best]
    narrowed = student.narrowed()
    encoded = setup.dataset.encoded.take(asked.validation.rows)
    before, after = (decide(own.score_encoded(encoded), result.threshold) for own in (student, narrowed))
    alike = float((before == after).mean())
    if wanted == "auto" and alike < ALIKE:
        say(setup.progress, f"student.table: int16; int8 decides {alike:.2%} of the validation rows alike")
        return trained
    say(setup.progress, f"student.table: int8 decides {alike:.2%} of the validation rows alike")
    definition = setup.definition
    validation = asked.scored_validation(setup, narrowed)
    threshold = validation.threshold(definition.operating_points["default"], definition.gate)[0]
    result = dataclasses.replace(
        result,
        threshold=threshold,
        validation=validation.measure(threshold),
        holdout=asked.scored_holdout(setup, narrowed).measure(threshold),
    )
    return dataclasses.replace(
        trained,
        rounds=[*trained.rounds[: trained.best], result, *trained.rounds[trained.best + 1 :]],
        students=[*trained.students[: trained.best], narrowed, *trained.students[trained.best + 1 :]],
    )
