"""What a family's run knows: its tasks, which stay, and the rows that its teachers were asked about."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from replacement.budget import rows_of_round
from replacement.family.columns import Group
from replacement.family.prepare import Member
from replacement.family.rows import TeacherRows, Validation, view
from replacement.training.rounds.state import Asked, Setup
from textcnn.readout import Readout


@dataclass(frozen=True, kw_only=True, eq=False)
class Family:
    """What stays as it is from the first round to the last."""

    name: str
    members: Sequence[Member]
    groups: Sequence[Group]
    readouts: Sequence[Readout]

    @property
    def setups(self) -> list[Setup]:
        """Of the tasks."""
        return [member.setup for member in self.members]

    @property
    def lead(self) -> Setup:
        """The first task's: what all have in common is in it."""
        return self.members[0].setup

    @property
    def rounds(self) -> int:
        """How many rounds there may be: as many as the most patient task allows."""
        return max(setup.definition.gate.rounds for setup in self.setups)


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The rows that a family's teachers were asked about so far."""

    validation: Validation
    teachers: Sequence[TeacherRows]

    @property
    def of_task(self) -> dict[int, TeacherRows]:
        """By a task's place, what its teacher was asked."""
        return {place: rows for rows in self.teachers for place in rows.members}

    def views(self, setups: Sequence[Setup]) -> list[Asked]:
        """What each task has been told.

        Args:
            setups: of the tasks.
        """
        of_task = self.of_task
        return [view(setup, of_task[place], place, self.validation) for place, setup in enumerate(setups)]


def budget_of_round(family: Family, rows: TeacherRows, number: int) -> int:
    """Rows that a teacher may be asked about in the round after ``number``.

    Args:
        family: has the rounds.
        rows: the teacher's so far.
        number: of the round that was the last.
    """
    left = max(0, rows.budget - rows.spent)
    return rows_of_round(left, family.rounds - number, len(rows.training.rows))


def pool_of(family: "Family", rows: TeacherRows) -> NDArray[np.int64]:
    """The rows of the pool that any task of a teacher is asked about.

    Args:
        family: has the tasks.
        rows: the teacher's.
    """
    return np.unique(np.concatenate([family.setups[place].dataset.corpus.pool for place in rows.members]))
