"""From the definitions of a family to its tasks' setups: one corpus, one vocabulary, each teacher once."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.annotation.labelled_texts import Labelled
from pingti.checks.teacher_labels import labels_asked
from pingti.corpus.normalize import keys_of
from pingti.errors import InputError
from pingti.workspace.definition import RulesSection
from pingti.workspace.registry import TaskEntry
from replacement.kinds.narrowing import note_of_family
from replacement.progress import Progress, say
from replacement.teacher_sources.sources import has_model
from replacement.training.dataset import Dataset, assemble, is_asked, load_corpus, within_answers
from replacement.training.people_labels import PeopleLabels, Reviewed, read_people_labels
from replacement.training.rounds.state import Setup
from replacement.training.teacher_labels import TeacherLabels, load_teacher, read_by_another_task
from replacement.training.teacher_model import teacher_owner

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.sources.callables import Function


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A task of a family, ready for its rounds."""

    setup: Setup
    people: PeopleLabels
    awaited: tuple[str, ...] = ()
    """Dependencies, each "task=class", on members without a promoted student: this run's decide."""


def prepare_members(
    entries: Sequence[TaskEntry],
    name: str,
    *,
    seed: int,
    progress: Progress,
    device: str | None,
    function: "Function | None",
) -> list[Member]:
    """Read the corpus once, load the teachers, and find each task's own rows.

    All datasets have the same texts, rows and vocabulary; pool and holdout are each task's own, without what
    its rules decide and what its promoted parents' decisions exclude.

    Args:
        entries: the family's tasks.
        name: the family's.
        seed: every random choice comes from it.
        progress: told what is being done.
        device: the teachers' torch device.
        function: what "python:NAME" stands for.

    Raises:
        InputError: a file, label or definition that cannot be used.
        UnavailableError: a teacher cannot be had.
    """
    people = [read_people_labels(entry) for entry in entries]
    shared = _shared_dataset(entries, people)
    teachers = _load_teachers(entries, people, seed=seed, progress=progress, device=device, function=function)
    if entries[0].definition.student.read == "teacher":
        # As far as the one that reads furthest.
        furthest = max(teachers, key=lambda teacher: teacher.max_length or 0)
        shared = shared.read_as_far(furthest)
    embedding = teachers[0].token_vectors(shared.vocabulary.tokens, entries[0].definition.student.embedding)
    members = []
    for entry, own, teacher in zip(entries, people, teachers, strict=True):
        awaited = _awaited(entry, {other.name for other in entries})
        dataset = _for_task(shared, entry, own, awaited)
        try:
            dataset, unanswered = within_answers(dataset, teacher)
        except InputError as error:
            raise InputError(f"{entry.path}: {error}") from error
        notes = [*teacher.guesses, *own.notes, *teacher.opened.notes, *unanswered]
        notes.append(_note_of_budget(entry, teacher, entries, teachers))
        notes.append(_note_of_parents(awaited))
        notes.append(note_of_family(entry.definition.student))
        for note in filter(None, notes):
            say(progress, f"{entry.name}: {note}")
        setup = Setup(
            entry=entry,
            seed=seed,
            progress=progress,
            dataset=dataset,
            teacher=teacher,
            embedding=embedding,
            notes=tuple(filter(None, notes)),
            family=name,
        )
        members.append(Member(setup=setup, people=own, awaited=awaited))
    return members


def _awaited(entry: TaskEntry, members: Collection[str]) -> tuple[str, ...]:
    """A task's dependencies on members of which no student is promoted."""
    parents = {dependency: dependency.partition("=")[0] for dependency in entry.definition.depends_on}
    return tuple(
        dependency
        for dependency, parent in parents.items()
        if parent in members and entry.workspace.task(parent).current() is None
    )


def _note_of_parents(awaited: Sequence[str]) -> str:
    """What is to be told where this run's own students decide what a task is asked about."""
    if not awaited:
        return ""
    return (
        f"depends_on: no student is promoted that decides {', '.join(awaited)}, so this run's own decides "
        "it, which is to be promoted first"
    )


def _note_of_budget(
    entry: TaskEntry,
    teacher: TeacherLabels,
    entries: Sequence[TaskEntry],
    teachers: Sequence[TeacherLabels],
) -> str:
    """What is to be told where another task of the same teacher has a larger budget; nothing if none has."""
    readers = [
        other for other, own in zip(entries, teachers, strict=True) if own.fingerprint == teacher.fingerprint
    ]
    largest = max(readers, key=lambda other: other.definition.teacher.budget)
    budget, most = entry.definition.teacher.budget, largest.definition.teacher.budget
    if budget == most:
        return ""
    return (
        f"teacher.budget: {budget:,}, but its teacher was asked about up to {most:,} rows, as "
        f"{largest.path.name} says: an answer serves all tasks of a family, and the largest budget counts"
    )


_READING = {"map", "label", "decide", "threshold", "margin", "boundary", "budget"}
"""Keys of a definition's teacher that tell how a task reads it, not who it is."""


def _load_teachers(
    entries: Sequence[TaskEntry],
    people: Sequence[PeopleLabels],
    *,
    seed: int,
    progress: Progress,
    device: str | None,
    function: "Function | None",
) -> list[TeacherLabels]:
    """The teacher of each task; tasks of one model have it in common, loaded once."""
    loaded: dict[str, TeacherLabels] = {}
    teachers = []
    for entry, own in zip(entries, people, strict=True):
        owner = teacher_owner(entry)
        section = owner.definition.teacher
        # What is fine-tuned for a task is a model of its own.
        tuned = owner.name if section.tuned else ""
        # Who is no model is asked for the labels that the task maps, or for its classes.
        asked_for = "" if has_model(owner) else labels_asked(owner.definition)
        key = f"{owner.path.parent} {tuned} {asked_for} {section.model_dump_json(exclude=_READING)}"
        if key in loaded:
            teachers.append(read_by_another_task(loaded[key], entry, own))
            continue
        loaded[key] = load_teacher(entry, own, seed=seed, progress=progress, device=device, function=function)
        teachers.append(loaded[key])
    return teachers


def _shared_dataset(entries: Sequence[TaskEntry], people: Sequence[PeopleLabels]) -> Dataset:
    """The corpus without any task's rules, and behind it all texts that people labelled for any of them."""
    definition = entries[0].definition.model_copy(update={"rules": RulesSection(), "depends_on": ()})
    seeds = list(dict.fromkeys(text for own in people for text in own.seed_texts))
    everyone = PeopleLabels(
        seed=Labelled(texts=seeds, labels=["" for _ in seeds]),
        reviewed=Reviewed(
            class_of={}, texts=list(dict.fromkeys(t for p in people for t in p.reviewed.texts))
        ),
        notes=(),
        true={},
        true_texts=list(dict.fromkeys(text for own in people for text in own.true_texts)),
    )
    corpus = load_corpus(definition, entries[0].path.parent, apart=seeds)
    return assemble(corpus, definition.student, everyone, lambda texts: texts)


def _for_task(shared: Dataset, entry: TaskEntry, people: PeopleLabels, awaited: Collection[str]) -> Dataset:
    """The rows of the shared texts that are a task's own, as far as it is known before any training."""
    asked = is_asked(entry, shared.texts, awaited)
    corpus = shared.corpus
    if not asked[: len(corpus.texts)].all():
        try:
            corpus = corpus.keep(asked[: len(corpus.texts)])
        except InputError as error:
            raise InputError(
                f"{entry.path}: rules and depends_on leave too few texts for this task: {error}"
            ) from error

    def own(rows: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.int64]:
        keys = set(keys_of(texts))
        values = keys_of(shared.texts_of(rows))
        return rows[np.array([key in keys for key in values], np.bool_) & asked[rows]]

    apart = [text for text in shared.apart if text in set(people.true_texts)]
    there = is_asked(entry, pa.array(apart, pa.large_string()), awaited)
    return dataclasses.replace(
        shared,
        corpus=corpus,
        reviewed=own(shared.reviewed, people.reviewed.texts),
        seed=own(shared.seed, people.seed_texts),
        apart=tuple(text for text, holds in zip(apart, there.tolist(), strict=True) if holds),
    )
