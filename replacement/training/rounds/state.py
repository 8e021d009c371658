"""What a run knows: what stays as it is from round to round, and the rows asked about so far."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import sampling
from pingti.students import AnyStudent
from pingti.workspace.definition import Definition, TeacherSection
from pingti.workspace.registry import TaskEntry
from replacement.answers import Answers, join
from replacement.evaluation.operating_points import Scored
from replacement.progress import Progress
from replacement.recency import weighed_by_time
from replacement.results import Yield
from replacement.training.dataset import Dataset
from replacement.training.teacher_labels import TeacherLabels
from replacement.training.validation_set import ValidationSet
from replacement.trunk import Trunk


@dataclass(frozen=True, kw_only=True, eq=False)
class Setup:
    """What stays as it is from the first round to the last."""

    entry: TaskEntry
    seed: int
    """Every random choice comes from it."""
    progress: Progress
    dataset: Dataset
    teacher: TeacherLabels
    embedding: NDArray[np.float32] | None
    """(tokens, width): where students' embeddings start; at random if None."""
    trunk: Trunk | None = None
    """What a student's head is trained on, inside a family; None: it has a network of its own."""
    notes: tuple[str, ...] = ()
    """What the report tells of labels and teacher, a sentence each."""
    family: str | None = None
    """Whose run this is; None: the task's alone."""

    @property
    def definition(self) -> Definition:
        """The task's."""
        return self.entry.definition

    def rng(self, purpose: str) -> np.random.Generator:
        """A generator of its own for every purpose: a change in one place moves no other.

        Args:
            purpose: what is drawn; it is part of the seed, and so keeps its words whatever else is renamed.
        """
        return np.random.default_rng([self.seed, *purpose.encode()])

    def draw(self, rows: NDArray[np.int64], count: int, purpose: str) -> NDArray[np.int64]:
        """Draw some of ``rows`` evenly.

        Args:
            rows: int64 (n,).
            count: how many.
            purpose: of the generator.

        Returns:
            int64 (count,), ascending; all rows where there are fewer.
        """
        return np.sort(rows[sampling.random_rows(len(rows), budget=count, rng=self.rng(purpose))])


@dataclass(frozen=True, kw_only=True, eq=False)
class HoldoutSet:
    """The newest rows, which only measure, with the teacher's answers."""

    rows: NDArray[np.int64]
    """(n,): rows of the dataset."""
    answers: Answers
    asked: int
    """Rows that the teacher was asked about for it, answered or not."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingSet:
    """k rows that the teacher was asked about to learn from, in the order of asking."""

    rows: NDArray[np.int64]
    """(k,): rows of the dataset."""
    answers: Answers
    hard_negatives: NDArray[np.bool_]
    """(k,): rows of which the student that chose them was sure, and that the teacher denied."""
    paid: int = 0
    """Rows that count against the budget; those of the promoted version do not."""
    added: dict[str, int] = dataclasses.field(default_factory=dict)
    """The rows that came last, by the reason for which they were chosen."""
    yields: dict[str, Yield] = dataclasses.field(default_factory=dict)
    """What they turned out to be, by the same reason."""

    def clear(self, margin: float) -> NDArray[np.bool_]:
        """Which rows are no boundary rows.

        Args:
            margin: the teacher's from which on a row is clear.

        Returns:
            bool (k,).
        """
        return self.answers.margin >= margin

    def learned(self, teacher: TeacherSection) -> NDArray[np.bool_]:
        """Which rows students are trained on: all, or no boundary rows.

        Args:
            teacher: says so.

        Returns:
            bool (k,).
        """
        clear = self.clear(teacher.margin)
        return np.ones_like(clear) if teacher.boundary == "learn" else clear


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """The rows that the teacher was asked about so far: three kinds, kept apart."""

    validation: ValidationSet
    holdout: HoldoutSet
    training: TrainingSet
    apart: tuple[str, ...] = ()
    """Texts outside the corpus with true labels, about which the teacher is asked at the end."""
    unanswered: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows to learn from about which the teacher was asked in vain; they are asked about once."""

    @property
    def count(self) -> int:
        """Rows that count against the budget, validation rows still to be drawn included."""
        return self.holdout.asked + self.validation.budget + self.training.paid + len(self.apart)

    def scored_validation(self, setup: Setup, student: AnyStudent) -> Scored:
        """The validation rows beside what a student says of them, newer ones counting more.

        Args:
            setup: has the texts.
            student: scores them; of any kind.
        """
        scores = setup.dataset.scores(student, self.validation.rows)
        return weighed_by_time(self.validation.scored(scores), setup.definition.gate)

    def scored_holdout(self, setup: Setup, student: AnyStudent) -> Scored:
        """The holdout beside what a student says of it.

        Args:
            setup: has the texts.
            student: scores them; of any kind.
        """
        scores = setup.dataset.scores(student, self.holdout.rows)
        return Scored(reference=self.holdout.answers.decided, scores=scores)

    def left(self, setup: Setup) -> int:
        """Rows that the budget has left.

        Args:
            setup: its definition has the budget.
        """
        return max(0, setup.definition.teacher.budget - self.count)

    def unasked(self, setup: Setup) -> NDArray[np.int64]:
        """The rows of the pool that the teacher may still be asked about.

        Args:
            setup: its dataset has the pool.

        Returns:
            int64, ascending.
        """
        asked = np.concatenate([self.validation.rows, self.training.rows, self.unanswered])
        return np.setdiff1d(setup.dataset.corpus.pool, asked)


def ask_to_learn(
    setup: Setup,
    asked: Asked,
    rows: NDArray[np.int64],
    hard_negatives: NDArray[np.bool_],
    *,
    free: bool = False,
) -> Asked:
    """Ask the teacher about rows to learn from.

    Args:
        setup: has the teacher.
        asked: the rows so far.
        rows: int64 (n,), further ones.
        hard_negatives: bool (n,), which of them are known to be hard negatives.
        free: they do not count against the budget.
    """
    answers = setup.teacher.ask(setup.dataset.texts_of(rows), "teacher: rows to learn from")
    before, answered = asked.training, answers.answered
    training = dataclasses.replace(
        before,
        rows=np.concatenate([before.rows, rows[answered]]),
        answers=join([before.answers, answers.take(answered)]),
        hard_negatives=np.concatenate([before.hard_negatives, hard_negatives[answered]]),
        paid=before.paid + (0 if free else len(rows)),
    )
    unanswered = np.concatenate([asked.unanswered, rows[~answered]])
    return dataclasses.replace(asked, training=training, unanswered=unanswered)
