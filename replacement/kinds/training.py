"""How students of other kinds are trained, on the rows that the rounds of TextCNNs asked about."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from pingti.errors import UnavailableError
from pingti.students import AnyStudent
from pingti.students.transformer import KIND
from replacement.kinds import transformer
from replacement.kinds.ngram import train_ngrams

if TYPE_CHECKING:
    from replacement.training.outcome.trained import Trained
    from replacement.training.rounds.state import Asked, Setup

Trainer = Callable[["Setup", "Asked", "Trained"], AnyStudent]
"""Trains a student on ``asked.training``; ``trained`` has the rounds' students. It imports what it computes
with when it is called, and asks the teacher about no further rows."""

TRAINERS: dict[str, Trainer] = {"ngram": train_ngrams, KIND: transformer.train}
"""By kind, as ``student.kind`` of a definition names it; "textcnn" is what the rounds make."""

REQUIREMENTS: "dict[str, Callable[[Setup], str]]" = {KIND: transformer.missing}
"""By kind, what tells why it cannot be trained in this run, in a part of a sentence; empty where it can."""


def check_kind(setup: "Setup") -> None:
    """Refuse a run that could not train the kinds of students that its definition asks for.

    Args:
        setup: has the definition.

    Raises:
        UnavailableError: it cannot be trained here.
    """
    second = second_kind(setup)
    if second and (missing := why_not(setup, second)):
        raise UnavailableError(
            f'{setup.entry.path}: cascade.second = "{second}": {missing}; "teacher" has the teacher asked'
        )
    kind = setup.definition.student.kind
    if kind in ("textcnn", "auto"):
        return
    missing = why_not(setup, kind)
    if missing:
        raise UnavailableError(
            f'{setup.entry.path}: student.kind = "{kind}": {missing}; "auto" takes what there is, and '
            '"textcnn" can always be trained'
        )


def second_kind(setup: "Setup") -> str:
    """Tell the kind of the student that answers where another is not sure; empty where there is none.

    Args:
        setup: has the definition.
    """
    cascade = setup.definition.cascade
    return "" if cascade is None or cascade.second == "teacher" else cascade.second


def why_not(setup: "Setup", kind: str) -> str:
    """Tell why students of a kind cannot be trained in a run, in a part of a sentence; empty: they can.

    Args:
        setup: of the run.
        kind: not "textcnn".
    """
    if kind not in TRAINERS:
        return "this Pingti does not train students of that kind"
    return REQUIREMENTS[kind](setup) if kind in REQUIREMENTS else ""
