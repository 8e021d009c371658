"""What a run trained, and which student of it is kept."""

from dataclasses import dataclass

from pingti.students import AnyStudent
from replacement.kinds.ladder import Climbed
from replacement.results import Round, StopReason
from replacement.training.subclasses import Subclasses
from textcnn import Student


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """What all rounds of a run made, and what other kinds of students made of the same rows."""

    rounds: list[Round]
    students: list[Student]
    """Of each round."""
    subclasses: Subclasses
    """The parts of the classes that the students tell apart."""
    stopped: StopReason
    best: int
    """The place of the round that is the best."""
    climbed: Climbed | None = None
    """What students of other kinds made of it; None: the best round's student is kept."""

    @property
    def of_rounds(self) -> Student:
        """The best round's student."""
        return self.students[self.best]

    @property
    def student(self) -> AnyStudent:
        """The student that is kept, of whatever kind."""
        return self.of_rounds if self.climbed is None else self.climbed.student

    @property
    def result(self) -> Round:
        """What the kept student learned from, its threshold, and what it reaches."""
        return self.rounds[self.best] if self.climbed is None else self.climbed.result
