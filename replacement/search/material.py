"""What a search learns from and measures on: rows that the teacher was asked about already."""

import dataclasses
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from pingti.errors import ConflictError
from pingti.workspace.definition import StudentSection
from pingti.workspace.registry import TaskEntry
from replacement.answers import join
from replacement.progress import Progress, quiet
from replacement.search.space import Shape
from replacement.training import warm_start
from replacement.training.dataset import Dataset, prepare_dataset, within_answers
from replacement.training.loop import divided
from replacement.training.people_labels import read_people_labels
from replacement.training.rounds.state import Asked, HoldoutSet, Setup, TrainingSet
from replacement.training.subclasses import Subclasses
from replacement.training.teacher_labels import TeacherLabels, load_teacher_of_version
from replacement.training.validation_set import ValidationSet
from replacement.trunk import find_trunk
from textcnn import Student, Vocabulary

_LEAST = 50
"""Rows to learn from, and rows that measure."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """A version's rows, for shapes of any vocabulary and any number of subclasses."""

    setup: Setup
    """Of the definition's vocabulary."""
    asked: Asked
    """Without a holdout: a search measures nothing on it, so that it stays a measure."""
    version: int
    by_vocabulary: dict[int, Dataset] = dataclasses.field(default_factory=dict)
    """What was encoded so far."""
    by_subclasses: dict[int, Subclasses] = dataclasses.field(default_factory=dict)

    @property
    def digest(self) -> str:
        """Of the rows and all that is learned from them: trials of another digest are of no use."""
        training, validation = self.asked.training, self.asked.validation
        state = blake2b(digest_size=16)
        for rows, answers in ((training.rows, training.answers), (validation.rows, validation.answers)):
            texts = self.setup.dataset.texts_of(rows)
            state.update("\n".join(texts).encode("utf-8", "surrogatepass"))
            state.update(answers.labels.tobytes())
        state.update(validation.weights.tobytes())
        definition = self.setup.definition
        state.update(
            "\n".join(
                part.model_dump_json()
                for part in (definition.student, definition.teacher, definition.gate, definition.rules)
            ).encode()
        )
        return state.hexdigest()

    def dataset(self, vocabulary: int) -> Dataset:
        """The texts, encoded by a vocabulary of at most so many tokens."""
        if vocabulary not in self.by_vocabulary:
            dataset, section = self.setup.dataset, self.setup.definition.student
            if vocabulary != section.vocabulary:
                pool = dataset.texts.take(pa.array(dataset.corpus.pool))
                dataset = _read(
                    dataset.encoded_by(Vocabulary.build(pool, size=vocabulary)), section, self.setup.teacher
                )
            self.by_vocabulary[vocabulary] = dataset
        return self.by_vocabulary[vocabulary]

    def subclasses(self, most: int) -> Subclasses:
        """The parts of the classes, so many at most."""
        if most not in self.by_subclasses:
            self.by_subclasses[most] = divided(self.setup, self.asked, most=most)
        return self.by_subclasses[most]

    def tokens(self, vocabulary: int) -> float:
        """Of a text of the validation rows, in the mean."""
        encoded = self.dataset(vocabulary).encoded.take(self.asked.validation.rows)
        return len(encoded.ids) / max(1, len(encoded))

    def setup_of(self, shape: Shape, progress: Progress | None = None) -> Setup:
        """The setup with a shape's vocabulary, and with vectors of its width to start from.

        Args:
            shape: any.
            progress: told how far its training is, in place of the setup's own.
        """
        dataset = self.dataset(shape.vocabulary)
        vectors = self.setup.teacher.token_vectors(dataset.vocabulary.tokens, shape.embedding)
        return dataclasses.replace(
            self.setup, dataset=dataset, embedding=vectors, progress=progress or self.setup.progress
        )


def read_material(entry: TaskEntry, *, seed: int, progress: Progress = quiet) -> Material:
    """Read the rows of a task's promoted version, or else of its newest.

    The teacher is asked about none: rows whose answers are no longer there are left out.

    Args:
        entry: the task.
        seed: every random choice of the search comes from it.
        progress: told what is being done.

    Raises:
        NotFoundError: the task has no version yet.
        ConflictError: the version's rows cannot be used, its teacher is another by now, its network is
            that of a family, or the definition asks for another kind of student.
    """
    kind = entry.definition.student.kind
    if kind in ("ngram", "transformer"):
        raise ConflictError(
            f'task {entry.name!r}: student.kind is "{kind}", and what is searched is the shape of a TextCNN; '
            '"textcnn" or "auto" there, or no search'
        )
    version = entry.current() or entry.newest()
    people = read_people_labels(entry)
    dataset = prepare_dataset(entry, people)
    teacher = dataclasses.replace(load_teacher_of_version(entry, version), progress=progress)
    dataset = _read(within_answers(dataset, teacher)[0], entry.definition.student, teacher)
    _check(entry, version, teacher)
    setup = Setup(entry=entry, seed=seed, progress=progress, dataset=dataset, teacher=teacher, embedding=None)
    validation = _validation(setup, version)
    training = _training(setup, version, validation)
    if min(len(training.rows), len(validation.rows)) < _LEAST:
        raise ConflictError(
            f"task {entry.name!r}: of version {version} {len(training.rows)} rows to learn from and "
            f"{len(validation.rows)} validation rows are still in the corpus and have the teacher's answers; "
            f"needed are {_LEAST} of each; pingti replace {entry.name} makes a version of today's corpus"
        )
    none = np.zeros(len(training.rows), np.bool_)
    nothing = HoldoutSet(rows=training.rows[:0], answers=training.answers.take(none), asked=0)
    asked = Asked(validation=validation, holdout=nothing, training=training)
    return Material(setup=setup, asked=asked, version=version)


def _check(entry: TaskEntry, version: int, teacher: TeacherLabels) -> None:
    classes = Student.read_classes(entry.student_folder(version))
    if tuple(classes) != entry.definition.classes:
        raise ConflictError(
            f"task {entry.name!r}: version {version} has the classes {', '.join(classes)}, and the "
            f"definition others; pingti replace {entry.name} makes a version of these"
        )
    if find_trunk(entry, teacher.fingerprint, teacher.rule) is not None:
        raise ConflictError(
            f"task {entry.name!r}: its network is that of its family, whose shape no task searches alone; "
            'student.trunk = "own" gives it one of its own'
        )


def _read(dataset: Dataset, section: StudentSection, teacher: TeacherLabels) -> Dataset:
    return dataset.read_as_far(teacher) if section.read == "teacher" else dataset


def _validation(setup: Setup, version: int) -> ValidationSet:
    """The version's validation rows, those that are still there and have an answer."""
    corpus, teacher = setup.dataset.corpus, setup.teacher
    texts = setup.dataset.texts_of(corpus.pool)
    earlier = warm_start.find_validation(setup.entry, teacher.fingerprint, texts, version)
    places = np.zeros(0, np.int64) if earlier is None else earlier.places
    stands_for = np.zeros(0) if earlier is None else earlier.stands_for
    known = teacher.cached([texts[place] for place in places.tolist()])
    rows, weights = corpus.pool[places[known]], stands_for[known]
    return ValidationSet(
        rows=rows,
        answers=teacher.ask(setup.dataset.texts_of(rows), "teacher: validation"),
        weights=weights / max(1e-12, float(weights.mean()) if len(weights) else 1.0),
        days=None if corpus.days is None else corpus.days[rows],
        budget=len(rows),
        planned=0,
    )


def _training(setup: Setup, version: int, validation: ValidationSet) -> TrainingSet:
    """The rows that the version learned from, in order of the dataset."""
    dataset, teacher = setup.dataset, setup.teacher
    known = warm_start.read(setup.entry, teacher.fingerprint, version)
    pool = np.setdiff1d(dataset.corpus.pool, validation.rows)
    rows = np.concatenate([pool, dataset.reviewed, dataset.seed])
    places, hard_negatives = warm_start.find(dataset.texts_of(rows), known)
    rows = rows[places]
    cached = teacher.cached(dataset.texts_of(rows))
    rows, hard_negatives = rows[cached], hard_negatives[cached]
    answers = teacher.ask(dataset.texts_of(rows), "teacher: rows to learn from") if len(rows) else join([])
    every = TrainingSet(rows=rows, answers=answers, hard_negatives=hard_negatives)
    learned = every.learned(setup.definition.teacher)
    return TrainingSet(
        rows=rows[learned], answers=answers.take(learned), hard_negatives=hard_negatives[learned]
    )
