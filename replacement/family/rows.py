"""What a family's teachers were asked, and what each task makes of their answers.

A teacher's answer serves every task that reads it. So its outputs are kept once, and a task's view of them,
in its own classes, is made when it is wanted.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from replacement.answers import Answers
from replacement.training.rounds.state import Asked, HoldoutSet, Setup, TrainingSet
from replacement.training.validation_set import ValidationSet

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.protocol import Scored


@dataclass(frozen=True, kw_only=True, eq=False)
class Answered:
    """n rows with a teacher's outputs."""

    rows: NDArray[np.int64]
    """(n,): rows of the dataset."""
    scored: "Scored"

    def where(self, chosen: NDArray[np.bool_]) -> "Answered":
        """Some of the rows.

        Args:
            chosen: bool (n,), which ones.
        """
        scored = dataclasses.replace(
            self.scored, probabilities=self.scored.probabilities[chosen], vectors=self.scored.vectors[chosen]
        )
        return Answered(rows=self.rows[chosen], scored=scored)

    def with_more(self, other: "Answered") -> "Answered":
        """These rows and others behind them.

        Args:
            other: of the same teacher.
        """
        scored = dataclasses.replace(
            self.scored,
            probabilities=np.concatenate([self.scored.probabilities, other.scored.probabilities]),
            vectors=np.concatenate([self.scored.vectors, other.scored.vectors]),
        )
        return Answered(rows=np.concatenate([self.rows, other.rows]), scored=scored)


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """The m rows that choose thresholds and round, for all tasks of the family."""

    rows: NDArray[np.int64]
    """(m,)"""
    weights: NDArray[np.float64]
    """(m,): how many rows of the pool each stands for, in proportion."""
    budget: int
    """Rows in all, those still to be drawn included."""

    @property
    def planned(self) -> int:
        """Rows still to be drawn, by the scores of the first students."""
        return self.budget - len(self.rows)


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherRows:
    """One teacher's answers: on rows that measure, which all teachers have in common, and on rows of its own.

    The answers on rows about which it was asked in vain are NaN, and used for nothing.
    """

    members: tuple[int, ...]
    """The places of the tasks that read it."""
    budget: int
    """Rows that it may be asked about."""
    holdout: Answered
    validation: Answered
    training: Answered
    apart: tuple[str, ...] = ()
    """Texts outside the corpus with true labels of any of the tasks, about which it is asked at the end."""
    paid: int = 0
    """Rows to learn from that count against the budget."""
    unanswered: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """Rows to learn from that it did not answer."""
    hard_negatives: dict[int, NDArray[np.bool_]] = field(default_factory=dict)
    """Of each task (k,), which rows of ``training`` were hard negatives."""
    added: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    """Rows that came last, by the reason for which they were chosen."""

    @property
    def spent(self) -> int:
        """Rows that count against the budget, once all validation rows are drawn."""
        return len(self.holdout.rows) + len(self.validation.rows) + len(self.apart) + self.paid

    def unasked(self, pool: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that it may still be asked about.

        Args:
            pool: int64, ascending.

        Returns:
            int64, ascending.
        """
        return np.setdiff1d(pool, np.concatenate([self.validation.rows, self.training.rows, self.unanswered]))


def ask(setup: Setup, rows: NDArray[np.int64], what: str) -> Answered:
    """Ask a teacher.

    Args:
        setup: of a task that reads it.
        rows: int64 (n,), of the dataset.
        what: what the answers are for.
    """
    return Answered(rows=rows, scored=setup.teacher.score(setup.dataset.texts_of(rows), what))


def answered(answers: Answered) -> NDArray[np.bool_]:
    """Which rows have an answer.

    Args:
        answers: of n rows.

    Returns:
        bool (n,).
    """
    return np.asarray(np.isfinite(answers.scored.probabilities).all(axis=1), np.bool_)


def learn(
    rows: TeacherRows, setup: Setup, chosen: dict[str, NDArray[np.int64]], *, free: bool = False
) -> TeacherRows:
    """Ask a teacher about further rows to learn from.

    Args:
        rows: its rows so far.
        setup: of a task that reads it.
        chosen: int64 rows by the reason for which they were chosen, none of them asked about.
        free: they do not count against the budget.
    """
    every = np.sort(np.concatenate([*chosen.values(), np.zeros(0, np.int64)]).astype(np.int64))
    if not len(every):
        return dataclasses.replace(rows, added=chosen)
    answers = ask(setup, every, "teacher: rows to learn from")
    there = answered(answers)
    nothing = np.zeros(int(there.sum()), np.bool_)
    known = {
        place: np.concatenate([rows.hard_negatives.get(place, np.zeros(0, np.bool_)), nothing])
        for place in rows.members
    }
    return dataclasses.replace(
        rows,
        training=rows.training.with_more(answers.where(there)),
        paid=rows.paid + (0 if free else len(every)),
        unanswered=np.concatenate([rows.unanswered, every[~there]]),
        hard_negatives=known,
        added={kind: own[np.isin(own, every[there])] for kind, own in chosen.items()},
    )


def view(setup: Setup, rows: TeacherRows, place: int, validation: Validation) -> Asked:
    """What a task has been told: its teacher's answers on its own rows, in its own classes.

    Args:
        setup: of the task.
        rows: its teacher's.
        place: the task's.
        validation: has the weights.
    """
    corpus = setup.dataset.corpus
    held, chosen = rows.holdout, rows.validation
    held = held.where(np.isin(held.rows, corpus.holdout) & answered(held))
    ours = np.isin(chosen.rows, corpus.pool) & answered(chosen)
    weights = validation.weights[ours]
    chosen = chosen.where(ours)
    learned = np.isin(rows.training.rows, _learnable(setup))
    training = rows.training.where(learned)
    added = {kind: int(np.isin(own, training.rows).sum()) for kind, own in rows.added.items()}
    return Asked(
        validation=ValidationSet(
            rows=chosen.rows,
            answers=_read(setup, chosen),
            weights=weights / max(float(weights.mean()), 1e-12) if len(weights) else weights,
            days=None if corpus.days is None else corpus.days[chosen.rows],
            budget=validation.budget,
            planned=0,
        ),
        holdout=HoldoutSet(rows=held.rows, answers=_read(setup, held), asked=len(rows.holdout.rows)),
        training=TrainingSet(
            rows=training.rows,
            answers=_read(setup, training),
            hard_negatives=rows.hard_negatives.get(place, np.zeros(len(learned), np.bool_))[learned],
            paid=rows.paid,
            added=added,
        ),
        apart=tuple(text for text in rows.apart if text in set(setup.dataset.apart)),
        unanswered=rows.unanswered,
    )


def _read(setup: Setup, answers: Answered) -> Answers:
    return setup.teacher.read(setup.dataset.texts_of(answers.rows), answers.scored)


def _learnable(setup: Setup) -> NDArray[np.int64]:
    """The rows that a task may learn from: its pool, and the texts that people labelled for it."""
    dataset = setup.dataset
    return np.concatenate([dataset.corpus.pool, dataset.reviewed, dataset.seed])
