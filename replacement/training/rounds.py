"""One round: train a student, measure it, decide whether another follows, and ask about that one's rows."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import sampling
from pingti.errors import InputError, UnavailableError
from pingti.students import AnyStudent
from pingti.workspace.definition import Definition, GateSection, StudentSection, TeacherSection
from pingti.workspace.registry import TaskEntry
from replacement.answers import Answers, join
from replacement.budget import rows_of_round
from replacement.evaluation import disagreement
from replacement.evaluation.metrics import decide
from replacement.evaluation.operating_points import Scored
from replacement.progress import Progress, advancing
from replacement.recency import weighed_by_time
from replacement.results import IDLE_GROWTH, IDLE_ROUNDS, Coverage, Round, StopReason, Yield
from replacement.self_training.finish import column_probabilities, finish
from replacement.training import acquisition
from replacement.training.dataset import Dataset
from replacement.training.subclasses import Subclasses
from replacement.training.teacher_labels import TeacherLabels
from replacement.training.validation_set import ValidationSet
from replacement.trunk import KEY, Trunk, student_on
from textcnn import Student
from textcnn.fold import first_columns
from textcnn.readout import Readout

if TYPE_CHECKING:  # torch only where something is trained
    from textcnn.network import TextCNN
    from textcnn.train import Recipe

LABELS_WIDE_STRENGTH = 0.5
"""Logits for a margin of 1 of the wide part, of a network that learns more labels than classes. On weibo's
tasks, from 12,000 random rows, mean F1 was .785 with 0.25, .790 with 0.5, .783 with 1, .775 with 1.5."""
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
    definition = setup.definition
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
    targets = subclasses.targets(training.answers.labels[learned])
    if setup.trunk is not None:
        return _student_on_trunk(setup, setup.trunk, rows, targets, subclasses, number)
    return train_on(setup, rows, targets, subclasses, f"round {number}")


def train_on(
    setup: Setup,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    subclasses: Subclasses,
    what: str,
    section: StudentSection | None = None,
) -> Student:
    """Train a student of its own network on some rows.

    Args:
        setup: has texts and seed.
        rows: int64 (n,), of the dataset.
        targets: float32 (n, subclasses), what it learns of them.
        subclasses: the parts of the classes.
        what: which training it is; it is part of the seed.
        section: its shape, for which ``setup`` has the vocabulary; the definition's where absent.
    """
    from textcnn.train import class_weights, train  # torch only where something is trained

    definition, dataset = setup.definition, setup.dataset
    section = section or definition.student
    # Of two classes the threshold does what weights would: F1 was level.
    weights = None
    if not definition.binary:
        decided = np.add.reduceat(targets, first_columns(subclasses.counts), axis=1).argmax(axis=1)
        weights = class_weights(decided, len(definition.classes))
    network = train(
        dataset.encoded.take(rows),
        targets,
        weights=weights,
        size=dataset.vocabulary.size,
        architecture=section.architecture(),
        rng=setup.rng(what),
        embedding=setup.embedding,
        recipe=_recipe(definition, subclasses, section.epochs),
        progress=advancing(setup.progress, f"{what}: training", len(rows) * section.epochs),
    )
    return folded(setup, network, subclasses)


def folded(setup: Setup, network: "TextCNN", subclasses: Subclasses) -> Student:
    """Fold a network of the task's own.

    Args:
        setup: has classes and vocabulary.
        network: of that vocabulary.
        subclasses: the parts of the classes, its columns.
    """
    vocabulary, classes = setup.dataset.vocabulary, setup.definition.classes
    if not subclasses.divided:
        return Student.from_network(network, vocabulary, classes)
    tasks = {setup.entry.name: (classes, Readout.of_subclasses(subclasses.counts))}
    return Student.reading(network, vocabulary, tasks)[setup.entry.name]


def finish_task(setup: Setup, asked: Asked, student: Student, subclasses: Subclasses) -> Student:
    """Finish the student of a task.

    Args:
        setup: has texts and shape, and says how many rows of the pool may be learned from besides.
        asked: all rows asked about.
        student: the best round's.
        subclasses: the parts of the classes.
    """
    training, encoded = asked.training, setup.dataset.encoded
    learned = training.learned(setup.definition.teacher)
    return finish(
        lambda rows, targets: train_on(setup, rows, targets, subclasses, "finish"),
        lambda rows: column_probabilities(student, encoded.take(rows)),
        training.rows[learned],
        subclasses.targets(training.answers.labels[learned]),
        asked.unasked(setup),
        groups=student.readout.groups,
        most=setup.definition.student.finish_rows,
        rng=setup.rng("rows of the finish"),
    )


def _student_on_trunk(
    setup: Setup,
    trunk: Trunk,
    rows: NDArray[np.int64],
    targets: NDArray[np.float32],
    subclasses: Subclasses,
    number: int,
) -> Student:
    """A student of a family: first read off its network as it is, where that has learned from the teacher."""
    definition = setup.definition
    if number == 1 and trunk.readout is not None:
        student = trunk.student.read_as(definition.classes, trunk.readout)
        student.metadata[KEY] = trunk.student.metadata[KEY]
        return student
    recipe = _recipe(definition, subclasses, definition.student.epochs)
    student = student_on(
        trunk,
        definition.classes,
        setup.dataset.encoded.take(rows),
        targets,
        Readout.of_subclasses(subclasses.counts),
        rng=setup.rng(f"round {number}"),
        epochs=recipe.epochs,
        strength=recipe.wide_strength,
    )
    # Its own columns: who takes the trunk from it finds none of its teacher's in them.
    student.metadata[KEY] = {"name": trunk.family, "columns": []}
    return student


def _recipe(definition: Definition, subclasses: Subclasses, epochs: int) -> "Recipe":
    """How a student is trained.

    Where many classes are weighed evenly, the wide part's margins are smaller, and 1.5 logits for each
    calibrate as well: on weibo's nine, from 12,000 random rows, weights made macro F1 .71 to .74.
    """
    from textcnn.train import Recipe

    if subclasses.divided:
        return Recipe(epochs=epochs, wide_strength=LABELS_WIDE_STRENGTH)
    return Recipe(epochs=epochs, wide_strength=1.0 if definition.binary else 1.5)


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
    validation = asked.scored_validation(setup, student)
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
        holdout=asked.scored_holdout(setup, student).measure(threshold),
    )


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
            network=student.network_logits(features) if student.readout.plain else None,
            threshold=result.threshold,
        ),
        known_rows(setup, student, asked.training.rows, asked.training.answers, result.threshold),
        known_rows(setup, student, asked.validation.rows, asked.validation.answers, result.threshold),
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


def known_rows(
    setup: Setup, student: Student, rows: NDArray[np.int64], answers: Answers, threshold: float | None
) -> acquisition.Known:
    """Rows whose answers are known, as a student sees them.

    Args:
        setup: has the texts.
        student: any.
        rows: int64 (m,).
        answers: the teacher's, for those m rows.
        threshold: the student's, for two classes.
    """
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
