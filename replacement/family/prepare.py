"""From the definitions of a family to its tasks' setups: one corpus, one vocabulary, each teacher once."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.annotation.labelled_texts import Labelled
from pingti.corpus.normalize import keys_of
from pingti.workspace.definition import RulesSection
from pingti.workspace.registry import TaskEntry
from replacement.progress import Progress, say
from replacement.training.dataset import Dataset, assemble, is_asked, load_corpus, within_answers
from replacement.training.people_labels import PeopleLabels, Reviewed, read_people_labels
from replacement.training.rounds import Setup
from replacement.training.teacher_labels import TeacherLabels, load_teacher, read_by_another_task
from replacement.training.teacher_model import teacher_owner

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.sources.callables import Function


@dataclass(frozen=True, kw_only=True, eq=False)
class Member:
    """A task of a family, ready for its rounds."""

    setup: Setup
    people: PeopleLabels


def prepare_members(
    entries: Sequence[TaskEntry],
    *,
    seed: int,
    progress: Progress,
    device: str | None,
    function: "Function | None",
) -> list[Member]:
    """Read the corpus once, load the teachers, and find each task's own rows.

    All datasets have the same texts, rows and vocabulary; pool and holdout are each task's own, without what
    its rules decide and what its parents' decisions exclude.

    Args:
        entries: the family's tasks.
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
        dataset, unanswered = within_answers(_for_task(shared, entry, own), teacher)
        notes = [*teacher.guesses, *own.notes, *teacher.opened.notes, *unanswered]
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
        )
        members.append(Member(setup=setup, people=own))
    return members


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
        key = f"{owner.path.parent} {tuned} {section.model_dump_json(exclude=_READING)}"
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


def _for_task(shared: Dataset, entry: TaskEntry, people: PeopleLabels) -> Dataset:
    """The rows of the shared texts that are a task's own."""
    asked = is_asked(entry, shared.texts)
    corpus = shared.corpus
    if not asked[: len(corpus.texts)].all():
        corpus = corpus.keep(asked[: len(corpus.texts)])

    def own(rows: NDArray[np.int64], texts: Sequence[str]) -> NDArray[np.int64]:
        keys = set(keys_of(texts))
        values = keys_of(shared.texts_of(rows))
        return rows[np.array([key in keys for key in values], np.bool_) & asked[rows]]

    apart = [text for text in shared.apart if text in set(people.true_texts)]
    there = is_asked(entry, pa.array(apart, pa.large_string()))
    return dataclasses.replace(
        shared,
        corpus=corpus,
        reviewed=own(shared.reviewed, people.reviewed.texts),
        seed=own(shared.seed, people.seed_texts),
        apart=tuple(text for text, holds in zip(apart, there.tolist(), strict=True) if holds),
    )
