"""One round: train a student, measure it, decide whether another follows, and ask about that one's rows."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import sampling
from pingti.errors import InputError, UnavailableError
from pingti.workspace.definition import Definition, GateSection, TeacherSection
from pingti.workspace.registry import TaskEntry
from replacement.answers import Answers, join
from replacement.budget import rows_of_round
from replacement.evaluation import disagreement
from replacement.evaluation.metrics import decide
from replacement.evaluation.operating_points import Scored
from replacement.progress import Progress, advancing
from replacement.recency import weighed_by_time
from replacement.results import IDLE_GROWTH, IDLE_ROUNDS, Coverage, Round, StopReason, Yield
from replacement.training import acquisition
from replacement.training.dataset import Dataset
from replacement.training.subclasses import Subclasses
from replacement.training.teacher_labels import TeacherLabels
from replacement.training.validation_set import ValidationSet
from textcnn import Student

_ALIKE = 0.02  # of F1 on the validation rows


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
    notes: tuple[str, ...] = ()
    """What the report tells of labels and teacher, a sentence each."""

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


def train_student(setup: Setup, training: TrainingSet, subclasses: Subclasses, number: int) -> Student:
    """Train a student on the rows known so far.

    Args:
        setup: has texts, shape and seed.
        training: the rows.
        subclasses: the parts of the classes.
        number: of the round.

    Raises:
        InputError: there are boundary rows alone, and they are left out.
        UnavailableError: there are no rows.
    """
    from textcnn.train import Recipe, class_weights, train  # torch only where something is trained

    definition, dataset = setup.definition, setup.dataset
    learned = training.learned(definition.teacher)
    rows = training.rows[learned]
    if len(learned) == 0:
        raise UnavailableError(
            f"{setup.entry.path}: the teacher gave no answer for any row to learn from"
            + "".join(f"; {note}" for note in setup.teacher.cost_notes)
        )
    if len(rows) == 0:
        raise InputError(
            f"{setup.entry.path}: teacher.margin: on all {len(learned)} rows the teacher's margin is below "
            f'{definition.teacher.margin}, and teacher.boundary = "leave"; nothing is left to learn from'
        )
    recipe, weights = Recipe(epochs=definition.student.epochs), None
    if not definition.binary:
        # Of two classes the threshold does what weights would: F1 was level. On weibo's nine, from 12,000
        # random rows, they made macro F1 .71 to .74 and accuracy .795 to .801; the wide part's margins
        # are smaller then, and with 1.5 logits for each the scores are calibrated as well as before.
        weights = class_weights(training.answers.decided[learned], len(definition.classes))
        recipe = Recipe(epochs=recipe.epochs, wide_strength=1.5)
    network = train(
        dataset.encoded.take(rows),
        subclasses.targets(training.answers.labels[learned]),
        weights=weights,
        size=dataset.vocabulary.size,
        architecture=definition.student.architecture(),
        rng=setup.rng(f"round {number}"),
        embedding=setup.embedding,
        subclasses=subclasses.counts,
        recipe=recipe,
        progress=advancing(setup.progress, f"round {number}: training", len(rows) * recipe.epochs),
    )
    return Student.from_network(network, dataset.vocabulary, definition.classes, subclasses=subclasses.counts)


def measure_round(setup: Setup, asked: Asked, student: Student, number: int) -> Round:
    """Choose a student's threshold on the validation rows, and measure it on those and on the holdout.

    Args:
        setup: has the texts.
        asked: the rows, those that the student was trained on among them.
        student: of this round.
        number: of the round.
    """
    training, definition = asked.training, setup.definition
    learned = training.learned(definition.teacher)
    validation = scored_validation(setup, asked, student)
    threshold = validation.threshold(definition.operating_points["default"], definition.gate)[0]
    return Round(
        round=number,
        rows=int(learned.sum()),
        asked=asked.count,
        added=training.added,
        yields=training.yields,
        boundary=int((~learned).sum()),
        hard_negatives=int(training.hard_negatives[learned].sum()),
        threshold=threshold,
        validation=validation.measure(threshold),
        holdout=scored_holdout(setup, asked, student).measure(threshold),
    )


def scored_validation(setup: Setup, asked: Asked, student: Student) -> Scored:
    """The validation rows beside what a student says of them, newer ones counting more.

    Args:
        setup: has the texts.
        asked: has the rows.
        student: scores them.
    """
    scores = student.score_encoded(setup.dataset.encoded.take(asked.validation.rows))
    return weighed_by_time(asked.validation.scored(scores), setup.definition.gate)


def scored_holdout(setup: Setup, asked: Asked, student: Student) -> Scored:
    """The holdout beside what a student says of it.

    Args:
        setup: has the texts.
        asked: has the rows.
        student: scores them.
    """
    scores = student.score_encoded(setup.dataset.encoded.take(asked.holdout.rows))
    return Scored(reference=asked.holdout.answers.decided, scores=scores)


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
    return StopReason.NO_PROGRESS if _brought_nothing(rounds) else None


def _brought_nothing(rounds: Sequence[Round]) -> bool:
    """Whether the last rounds were no better than those before, though their rows could have made them so."""
    if len(rounds) <= IDLE_ROUNDS:
        return False
    learned = [result.rows + result.boundary for result in rounds]
    # Of a few more rows than before, nothing can be said but that they are few.
    before = learned[-IDLE_ROUNDS - 1]
    if learned[-1] - before < IDLE_GROWTH * before:
        return False
    reached = [result.validation.f1 for result in rounds]
    return max(reached[-IDLE_ROUNDS:]) <= max(reached[:-IDLE_ROUNDS])


def out_of_rows(setup: Setup, asked: Asked, number: int) -> StopReason | None:
    """Why there is nothing to ask about in the next round; None: there is.

    Args:
        setup: has budget and pool.
        asked: the rows so far.
        number: of the round that was the last.
    """
    unasked = asked.unasked(setup)
    if setup.teacher.spent:
        return StopReason.BUDGET_SPENT
    if _round_budget(setup, asked, number, unasked) >= 1:
        return None
    return StopReason.BUDGET_SPENT if len(unasked) else StopReason.POOL_USED_UP


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
    if stopped == StopReason.GATE_REACHED:
        return len(rounds) - 1
    reached = [result.validation.f1 for result in rounds]
    alike = [index for index, f1 in enumerate(reached) if f1 >= max(reached) - _ALIKE]
    return max(alike, key=lambda index: (rounds[index].validation.passes(gate), index))


def ask_next_rows(
    setup: Setup, asked: Asked, student: Student, result: Round
) -> tuple[Asked, tuple[Coverage, ...]]:
    """Choose the next round's rows from this round's errors, and ask about them.

    Args:
        setup: has teacher and pool, of which some rows are left.
        asked: the rows so far.
        student: of this round.
        result: of this round.

    Returns:
        The rows with the new ones; and how the student covers the clusters of those trained on.
    """
    unasked = asked.unasked(setup)
    candidates = setup.dataset.encoded.take(unasked)
    scores, features = student.score_encoded(candidates), student.features(candidates)
    chosen, coverage = acquisition.choose(
        acquisition.Candidates(
            probabilities=scores,
            features=features,
            network=None if max(student.subclasses) > 1 else student.network_logits(features),
            threshold=result.threshold,
        ),
        _known(setup, student, asked.training.rows, asked.training.answers, result.threshold),
        _known(setup, student, asked.validation.rows, asked.validation.answers, result.threshold),
        result.validation,
        result.validation.shortfall(setup.definition.gate),
        budget=_round_budget(setup, asked, result.round, unasked),
        rng=setup.rng(f"rows of round {result.round + 1}"),
    )
    picked = np.concatenate(list(chosen.values()))
    kinds = np.repeat(list(chosen), [len(rows) for rows in chosen.values()])
    order = np.argsort(unasked[picked])  # in order of time, as the cache keeps them
    picked, kinds = picked[order], kinds[order]
    asked = ask_to_learn(setup, asked, unasked[picked], np.zeros(len(picked), np.bool_))
    answered = np.isin(unasked[picked], asked.training.rows)
    picked, kinds = picked[answered], kinds[answered]
    added = {kind: int((kinds == kind).sum()) for kind in chosen}
    training = _with_yields(setup, asked.training, added, kinds, scores[picked], result.threshold)
    return dataclasses.replace(asked, training=training), tuple(coverage)


def _round_budget(setup: Setup, asked: Asked, number: int, unasked: NDArray[np.int64]) -> int:
    """Rows that the round after ``number`` may ask about."""
    rounds = setup.definition.gate.rounds - number
    return min(rows_of_round(asked.left(setup), rounds, len(asked.training.rows)), len(unasked))


def _known(
    setup: Setup, student: Student, rows: NDArray[np.int64], answers: Answers, threshold: float | None
) -> acquisition.Known:
    """Rows whose answers are known, as the student sees them."""
    encoded = setup.dataset.encoded.take(rows)
    features = student.features(encoded)
    return acquisition.Known(
        labels=answers.decided,
        decided=decide(student.score_encoded(encoded), threshold),
        vectors=answers.vectors_or(lambda: features),
        features=features,
    )


def _with_yields(
    setup: Setup,
    training: TrainingSet,
    added: dict[str, int],
    kinds: NDArray[np.str_],
    scores: NDArray[np.float32],
    threshold: float | None,
) -> TrainingSet:
    """The rows with what the last n of them turned out to be.

    ``kinds`` (n,) say why each was chosen, ``scores`` (n, classes) what the student said of it.
    """
    first = len(training.rows) - len(kinds)
    probabilities, margin = training.answers.probabilities[first:], training.answers.margin[first:]
    hard_negatives = training.hard_negatives.copy()
    hard_negatives[first:] = disagreement.hard_negatives(
        probabilities, scores, threshold, rng=setup.rng("competing")
    )
    decided = decide(scores, threshold)
    return dataclasses.replace(
        training,
        hard_negatives=hard_negatives,
        added=added,
        yields=acquisition.yields(kinds, training.answers.decided[first:], decided, margin),
    )
