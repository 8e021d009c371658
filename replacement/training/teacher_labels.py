"""The labels that a task goes by: a person's where there is one, else its teacher's decision."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pingti.corpus.normalize import keys_of, normalised
from pingti.errors import ConflictError
from pingti.students import AnyStudent
from pingti.workspace.definition import HUB_NAME, TeacherSection
from pingti.workspace.registry import TaskEntry
from replacement.answers import Answers
from replacement.decision import DecisionRule, guesses, make_rule
from replacement.evaluation.speed import Speed, Speeds, measure_speeds
from replacement.progress import Progress, advancing, quiet
from replacement.teacher_sources.sources import STORED, Opened, has_model, open_source, source_name
from replacement.teacher_sources.vectors import VectorSource, open_vectors
from replacement.training.people_labels import PeopleLabels, read_reviewed, read_seed
from replacement.training.teacher_model import find_or_fine_tune, teacher_owner
from textcnn import Student

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.bert import Description
    from teacher.protocol import AnswerSource, Scored
    from teacher.sources.callables import Function


@dataclass(frozen=True, kw_only=True, eq=False)
class TeacherLabels:
    """A task's teacher: labels mapped to the task's classes, answers cached, people's above its own."""

    model: str
    """A folder's whole path, a name on the hub, or what stands for somebody else who answers."""
    description: "Description | None"
    """What is known of the model; None where no model of transformers answers."""
    opened: Opened
    """Who is asked, only about texts that no run has asked about before."""
    classes: tuple[str, ...]
    """The task's."""
    rule: DecisionRule
    """How its outputs are read as a decision."""
    guesses: tuple[str, ...]
    """What was taken for granted in reading them, a sentence each."""
    reviewed: Mapping[str, int]
    """Class number of each text that people labelled, by its normalised form."""
    cpu_precision: str | None
    """What the definition says that the model computes with, for measuring its speed on a CPU."""
    progress: Progress
    """Told how far asking is."""
    vector_source: VectorSource | None = None
    """Gives vectors where the teacher has none."""

    @property
    def cache(self) -> "AnswerSource":
        """Who is asked, with all answers that there are."""
        return self.opened.source

    @property
    def fingerprint(self) -> str:
        """Of the model's weights, files and settings: answers of one fingerprint are the same."""
        return self.cache.fingerprint

    @property
    def labels(self) -> tuple[str, ...]:
        """The teacher's own labels."""
        return self.cache.labels

    @property
    def stored_alone(self) -> bool:
        """Whether nobody answers but files of stored answers, and a further row cannot be asked about."""
        return self.model == STORED

    @property
    def cost(self) -> dict[str, Any]:
        """What a report tells of the cost of an endpoint or a function; empty for others."""
        return {} if self.opened.asked is None else {"cost": asdict(self.opened.asked.cost)}

    @property
    def spent(self) -> bool:
        """Whether a budget of tokens or money is spent, so that nothing new is answered any more."""
        return self.opened.asked is not None and self.opened.asked.cost.unsent > 0

    @property
    def cost_notes(self) -> tuple[str, ...]:
        """What is to be told of answers that were not had, or not as they were wanted, a sentence each."""
        if self.opened.asked is None:
            return ()
        cost, notes = self.opened.asked.cost, []
        if cost.malformed + cost.failed:
            first = f" (the first: {cost.first_malformed!r})" if cost.first_malformed else ""
            why = "the budget of tokens or money was spent, or " if cost.unsent else ""
            notes.append(
                f"of {cost.rows:,} texts that the teacher was asked about, {cost.malformed:,} got an answer "
                f"that could not be read{first} and {cost.failed:,} none ({why}no answer came in all "
                "attempts); these rows are not used"
            )
        if cost.without_logprobs:
            notes.append(
                f"{cost.without_logprobs:,} answers of the endpoint came without log probabilities: without "
                "further votes their label counts as certain, and none of them is a boundary row; "
                "teacher.endpoint.votes asks about a text several times"
            )
        return tuple(notes)

    @property
    def rows_scored(self) -> int:
        """Rows that the model really computed for this object; cached ones are free."""
        return self.cache.rows_scored

    def described(self) -> dict[str, Any]:
        """What a report tells of the teacher, so that ``load_teacher_of_version`` finds it again."""
        read_by = self.description
        model = {} if read_by is None else {"max_length": read_by.max_length, "precision": read_by.precision}
        return {
            "model": self.model,
            "fingerprint": self.fingerprint,
            **model,
            **self.rule.described(self.classes),
        }

    def cached(self, texts: list[str]) -> NDArray[np.bool_]:
        """Which texts are answered without the model.

        Args:
            texts: n texts.

        Returns:
            bool (n,).
        """
        return self.cache.cached(texts)

    def ask(self, texts: list[str], what: str) -> Answers:
        """The labels of some texts; only those that the teacher was never asked about cost anything.

        A row without an answer is NaN: see ``Answers.answered``.

        Args:
            texts: n texts.
            what: what they are asked for, for ``progress``.
        """
        return self.read(texts, self.score(texts, what))

    def score(self, texts: list[str], what: str) -> "Scored":
        """What the teacher says of some texts, as yet no decision: what tasks of one teacher have in common.

        Args:
            texts: n texts.
            what: as of ``ask``.
        """
        scored = self.cache.score(texts, progress=advancing(self.progress, what, len(texts)))
        if self.vector_source is not None and not scored.vectors.shape[1]:
            return dataclasses.replace(scored, vectors=self.vector_source.embed(texts))
        return scored

    def read(self, texts: list[str], scored: "Scored") -> Answers:
        """Read what ``score`` gave as the labels of this task.

        Args:
            texts: the same n texts.
            scored: of this teacher.
        """
        labels, probabilities = self.rule.read(scored.probabilities.astype(np.float32))
        # A person outranks the teacher. The teacher is asked all the same: its vectors are needed.
        for row, decided in self.labelled_by_people(texts).items():
            # Which label of the class it is, the teacher still knows best.
            labels[row] = within_class(labels[row], self.rule.class_of, decided)
            probabilities[row] = 0.0
            probabilities[row, decided] = 1.0
        return Answers(probabilities=probabilities, labels=labels, vectors=scored.vectors)

    def labelled_by_people(self, texts: list[str]) -> dict[int, int]:
        """The places of those texts that people labelled, with the number of the class.

        Args:
            texts: n texts.
        """
        keys = keys_of(texts) if self.reviewed else []
        return {row: self.reviewed[key] for row, key in enumerate(keys) if key in self.reviewed}

    @property
    def max_length(self) -> int | None:
        """Tokens that the teacher reads of a text; None where no model of transformers answers."""
        return None if self.description is None else self.description.max_length

    @cached_property
    def _tokenizer(self) -> Any:
        """The teacher's; None where no model of transformers answers."""
        if self.description is None:
            return None
        from teacher.folders import load_tokenizer  # torch only where a teacher is asked

        return load_tokenizer(self.description.folder)

    @property
    def pieces_read(self) -> int | None:
        """Pieces that the teacher reads of a text, besides special tokens; None as of ``max_length``."""
        if self.max_length is None:
            return None
        return self.max_length - int(self._tokenizer.num_special_tokens_to_add())

    def pieces_of(self, texts: list[str]) -> NDArray[np.int64]:
        """Pieces of whole texts in the teacher's tokenizer, int64 (n,).

        Args:
            texts: n texts.
        """
        from teacher.folders import count_pieces

        return np.array(count_pieces(self._tokenizer, texts), np.int64)

    def is_reviewed(self, texts: pa.Array) -> NDArray[np.bool_]:
        """Which texts people labelled, whichever form of them it was.

        Args:
            texts: (n,) large_string.

        Returns:
            bool (n,).
        """
        member: Any = pc.is_in(normalised(texts), pa.array(list(self.reviewed), texts.type))
        return np.asarray(member.to_numpy(zero_copy_only=False), np.bool_)

    def speed(self, student: AnyStudent, texts: pa.Array) -> Speed | None:
        """How fast a student and this teacher are, on one core each.

        Args:
            student: is timed beside the teacher.
            texts: (n,) large_string, what both are timed on.

        Returns:
            None where no model is here that could be timed.
        """
        return None if self.description is None else self.speeds([student], texts).of(0)

    def speeds(self, students: Sequence[AnyStudent], texts: pa.Array) -> Speeds:
        """How fast students and this teacher are, on one core each, timed in turns.

        Args:
            students: of any kinds.
            texts: (n,) large_string, what all are timed on.
        """
        if self.description is None:
            return measure_speeds(students, None, texts)
        length = self.description.max_length
        return measure_speeds(students, self.model, texts, max_length=length, precision=self.cpu_precision)

    def token_vectors(self, tokens: tuple[str, ...], width: int) -> NDArray[np.float32] | None:
        """Start of a student's embedding: what the teacher makes of each token alone.

        Half comes from its input embeddings, half from its output, either by principal components, as in
        model2vec (Tulkens and van Dongen 2024), which takes the output. On weibo and CLINC150 both together
        were better than input embeddings alone by .025 and .003 F1, from 3,500 and 2,750 rows, and better
        than the output alone. Where the teacher has fewer dimensions, the rest is 0.

        Args:
            tokens: n tokens of the student's vocabulary.
            width: dimensions of the student's embedding.

        Returns:
            float32 (n, width); None where neither the teacher has vectors nor ``teacher.vectors`` is set.
        """
        advance = advancing(self.progress, "teacher: vectors of the words that students know", len(tokens))
        vectors = self.cache.token_vectors(tokens, progress=advance)
        if vectors is None and self.vector_source is not None:
            vectors = self.vector_source.token_vectors(tokens, progress=advance)
        if vectors is None:
            return None
        inputs, outputs = vectors
        half = width // 2
        return np.concatenate([_reduced(inputs, width - half), _reduced(outputs, half)], axis=1)


def within_class(labels: NDArray[np.float32], class_of: Sequence[int], decided: int) -> NDArray[np.float32]:
    """The probabilities of a teacher's labels, once it is known which class holds.

    Args:
        labels: float32 (labels,), what the teacher says.
        class_of: the class number of each label.
        decided: the number of the class that holds.

    Returns:
        float32 (labels,) of sum 1, none outside that class.
    """
    known = np.nan_to_num(labels) + np.float32(1e-6)
    own = np.where(np.equal(class_of, decided), known, np.float32(0.0))
    shares: NDArray[np.float32] = own / own.sum()
    return shares


def load_teacher(
    entry: TaskEntry,
    people: PeopleLabels,
    *,
    seed: int,
    progress: Progress = quiet,
    device: str | None = None,
    function: "Function | None" = None,
) -> TeacherLabels:
    """The teacher that a task's definition names, fine-tuned first where it has to be.

    Args:
        entry: the task.
        people: labels to fine-tune the teacher on, and labels that outrank it.
        seed: of the fine-tuning.
        progress: told how far the fine-tuning is, and later how far asking is.
        device: torch device; a GPU where there is one, if None.
        function: what "python:NAME" stands for.

    Raises:
        DefinitionError: labels or classes that do not fit each other.
        InputError: labels or a model that cannot be used.
        UnavailableError: torch or transformers is missing, or the model cannot be had.
    """
    owner = teacher_owner(entry)
    section, classes = owner.definition.teacher, entry.definition.classes
    reading = entry.definition.teacher  # of a teacher of another task, too, each reads its own
    if has_model(owner):
        model = find_or_fine_tune(owner, people.seed, seed=seed, progress=progress, device=device)
        description = _describe(model, section.max_length, section.precision, device)
        opened = _cached(owner, description, device)
    else:
        model, description = source_name(owner), None
        opened = open_source(owner, function)
    labels, independent = opened.source.labels, opened.independent
    return TeacherLabels(
        model=model,
        description=description,
        opened=opened,
        classes=classes,
        rule=make_rule(labels, independent, classes, reading, entry.path),
        guesses=guesses(labels, independent, classes, reading),
        reviewed=people.reviewed.class_of,
        cpu_precision=section.precision,
        progress=progress,
        vector_source=open_vectors(owner, device),
    )


def read_by_another_task(teacher: TeacherLabels, entry: TaskEntry, people: PeopleLabels) -> TeacherLabels:
    """A teacher that is loaded already, as another task reads it.

    Args:
        teacher: loaded for a task that names the same model.
        entry: the other task.
        people: labels that outrank the teacher there.

    Raises:
        DefinitionError: labels or classes that do not fit each other.
    """
    reading, classes = entry.definition.teacher, entry.definition.classes
    asked = (teacher.labels, teacher.opened.independent, classes, reading)
    return dataclasses.replace(
        teacher,
        classes=classes,
        rule=make_rule(*asked, entry.path),
        guesses=guesses(*asked),
        reviewed=people.reviewed.class_of,
    )


def load_teacher_of_version(
    entry: TaskEntry, version: int, *, progress: Progress = quiet, of_jobs: bool = False
) -> TeacherLabels:
    """The teacher that a version was made with, as its report names it.

    Another seed or a changed definition would name another teacher, or other classes for its labels. Where
    its folder is gone, it is the definition's, of the seed of the version.

    Args:
        entry: the task.
        version: the version's number.
        progress: told how far asking is.
        of_jobs: whether it is asked about rows of jobs: their answers are kept for a while
            (``teacher.passing``), and have no vectors.

    Raises:
        NotFoundError: there is no such version, or it has no report.
        ConflictError: the teacher that the version was made with is another by now.
        DefinitionError: labels or classes that do not fit each other.
        InputError: labels or a model that cannot be used.
        UnavailableError: torch or transformers is missing, or the model cannot be had.
    """
    report = entry.report(version)
    recorded = report.get("teacher", {})
    owner = teacher_owner(entry)
    section = owner.definition.teacher
    classes = Student.read_classes(entry.student_folder(version))
    reviewed = read_reviewed(entry, classes, of_version=True)
    if has_model(owner):
        model = _still_there(recorded.get("model")) or find_or_fine_tune(
            owner, read_seed(owner), seed=report.get("seed", 0), progress=progress, device=None
        )
        # Reports did not always tell length, precision and map.
        max_length = recorded.get("max_length", section.max_length)
        precision = recorded.get("precision", section.precision)
        description = _describe(model, max_length, precision, None)
        opened = _cached(owner, description, None, passing=of_jobs)
    else:
        model, description = source_name(owner), None
        opened = open_source(owner, passing=of_jobs)
    if recorded.get("fingerprint") not in (None, opened.source.fingerprint):
        raise ConflictError(
            f"task {entry.name!r}: {model} is another teacher by now than the one that version "
            f"{version} was made with; pingti replace makes a version with this one"
        )
    reading = _reading_of_version(recorded, entry.definition.teacher)
    return TeacherLabels(
        model=model,
        description=description,
        opened=opened,
        classes=classes,
        rule=make_rule(opened.source.labels, opened.independent, classes, reading, entry.path),
        guesses=(),
        reviewed=reviewed.class_of,
        cpu_precision=section.precision,
        progress=progress,
    )


def _reading_of_version(recorded: Mapping[str, Any], section: TeacherSection) -> TeacherSection:
    """How a version reads its teacher, by its report; one that tells no rule was made by the sum."""
    return section.model_copy(
        update={
            "map": recorded.get("map", section.map),
            "label": recorded.get("label"),
            "decide": recorded.get("decide", "sum"),
            "threshold": recorded.get("threshold"),
        }
    )


def _still_there(model: str | None) -> str | None:
    """A model that a report names, if it is on the hub or its folder is where it was."""
    if model is None or HUB_NAME.fullmatch(model):
        return model
    return model if Path(model).is_absolute() and Path(model).is_dir() else None


def _describe(model: str, max_length: int, precision: str | None, device: str | None) -> "Description":
    from teacher.bert import describe  # torch only where a teacher is asked

    return describe(model, max_length=max_length, precision=precision, device=device)


def _cached(
    owner: TaskEntry, description: "Description", device: str | None, *, passing: bool = False
) -> Opened:
    """The model's cached answers, behind stored ones where there are any."""
    from teacher.cache import CachedTeacher  # torch only where a teacher is asked
    from teacher.passing import open_with_passing

    folder = owner.workspace.teachers
    if passing:
        known = description.fingerprint, description.labels, description.hidden
        cached = CachedTeacher(description, open_with_passing(folder, *known), device=device)
    else:
        cached = CachedTeacher.open(description, folder, device=device)
    return open_source(owner, model=cached, independent=description.independent)


def _reduced(vectors: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """The first principal components (n, width), of a standard deviation of 1 in all."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    # Eigenvectors of the covariance: small, and the same on every run.
    _, axes = np.linalg.eigh(centred.T @ centred)
    components = centred @ axes[:, ::-1][:, :width]
    reduced = np.zeros((len(vectors), width), np.float32)
    reduced[:, : components.shape[1]] = components / max(float(components.std()), 1e-12)
    return reduced
