"""Members that depend on members without a promoted student: this run's own students decide for them.

What a task is asked about then changes with each round's students. So a round measures parents first, and
each task on the rows of which its parents' new students say what it asks for.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.corpus.rules import matches
from pingti.errors import InputError
from pingti.workspace.dependencies import parents_first
from replacement.evaluation.metrics import decide
from replacement.family.prepare import Member
from replacement.family.rows import view
from replacement.family.state import Family, State
from replacement.results import Round
from replacement.training.dependencies import parents_hold
from replacement.training.rounds.state import Asked
from replacement.training.rounds.turn import measure_round
from textcnn import Student


@dataclass(frozen=True, kw_only=True, eq=False)
class Parent:
    """A member on which others depend, and the n texts of the run that its rules and own parents leave it."""

    applies: NDArray[np.bool_]
    """(n,): neither dropped by a rule, nor excluded by a promoted parent."""
    negative: NDArray[np.bool_]
    """(n,): of the first class by a rule."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """A round's students, each measured on the rows that are its task's."""

    family: Family
    """Its members have those rows."""
    asked: Sequence[Asked]
    rounds: Sequence[Round]
    unmeasured: Mapping[str, str]
    """By task, why its own rows are too few: it is measured as if it depended on nobody."""


def parents_of(family: Family) -> dict[str, Parent]:
    """The members on which others depend whose own students decide, by name; none in most families.

    Args:
        family: all rows that are known before any training.
    """
    names = {dependency.partition("=")[0] for member in family.members for dependency in member.awaited}
    texts = _texts(family) if names else pa.array([], pa.large_string())
    parents = {}
    for member in family.members:
        entry = member.setup.entry
        if entry.name in names:
            rules = entry.definition.rules
            applies = ~matches(texts, rules.drop) & parents_hold(entry, texts, member.awaited)
            parents[entry.name] = Parent(applies=applies, negative=matches(texts, rules.negative))
    return parents


def measure(
    family: Family, parents: Mapping[str, Parent], state: State, students: Sequence[Student], number: int
) -> Measured:
    """Measure a round's students, parents first.

    Args:
        family: all rows that are known before any training.
        parents: as of ``parents_of``.
        state: the rows that the teachers were asked about.
        students: of this round.
        number: of the round.
    """
    places = {member.setup.entry.name: place for place, member in enumerate(family.members)}
    order = [places[entry.name] for entry in parents_first([setup.entry for setup in family.setups])]
    members, of_task = list(family.members), state.of_task
    asked: dict[int, Asked] = {}
    rounds: dict[int, Round] = {}
    unmeasured: dict[str, str] = {}
    decided: dict[str, NDArray[np.int64]] = {}
    for place in order:
        member = family.members[place]
        name = member.setup.entry.name
        holds = _holds(family, member, decided)
        if member.awaited:
            own = _narrowed(family, member, holds)
            seen = None if own is None else view(own.setup, of_task[place], place, state.validation)
            if own is None or seen is None or not len(seen.validation.rows) or not len(seen.holdout.rows):
                unmeasured[name] = _too_few(member, holds)
            else:
                members[place] = member = own
        asked[place] = view(member.setup, of_task[place], place, state.validation)
        rounds[place] = measure_round(member.setup, asked[place], students[place], number)
        if name in parents:
            decided[name] = decided_by(
                family, parents[name], holds, students[place], threshold=rounds[place].threshold
            )
    in_order = range(len(members))
    return Measured(
        family=dataclasses.replace(family, members=members),
        asked=[asked[place] for place in in_order],
        rounds=[rounds[place] for place in in_order],
        unmeasured=unmeasured,
    )


def refuse_unmeasured(measured: Measured) -> None:
    """Refuse to write students of which some could not be measured on rows of their own.

    Args:
        measured: of the round that is kept.

    Raises:
        InputError: with the first of them.
    """
    for says in measured.unmeasured.values():
        raise InputError(says)


def _texts(family: Family) -> pa.Array:
    """All texts that a task of the family may be asked about: the shared ones, and those of all test sets."""
    apart = dict.fromkeys(text for setup in family.setups for text in setup.dataset.apart)
    return pa.concat_arrays([family.lead.dataset.texts, pa.array(list(apart), pa.large_string())])


def _holds(
    family: Family, member: Member, decided: Mapping[str, NDArray[np.int64]]
) -> NDArray[np.bool_] | None:
    """Of which of all texts the parents' new students say what a task asks for; None: it awaits nobody."""
    if not member.awaited:
        return None
    classes = {setup.entry.name: setup.definition.classes for setup in family.setups}
    parts = [dependency.partition("=") for dependency in member.awaited]
    return np.asarray(
        np.logical_and.reduce([decided[task] == classes[task].index(label) for task, _, label in parts])
    )


def decided_by(
    family: Family,
    parent: Parent,
    holds: NDArray[np.bool_] | None,
    student: Student,
    *,
    threshold: float | None,
) -> NDArray[np.int64]:
    """The class that a parent's new student gives to each of all texts, as a job would.

    Args:
        family: has the texts.
        parent: what is known of it before any training.
        holds: bool (n,), of which of the n texts its own parents say what it asks for; None: it awaits none.
        student: its own, of this round.
        threshold: the student's, for two classes.

    Returns:
        int64 (n,), class numbers; -1 where it is not asked.
    """
    applies = parent.applies if holds is None else parent.applies & holds
    encoded = family.lead.dataset.encoded
    behind = _texts(family)[len(encoded) :]
    scores = np.concatenate([student.score_encoded(encoded), student.score(behind)])
    return np.where(applies, np.where(parent.negative, 0, decide(scores, threshold)), -1)


def _narrowed(family: Family, member: Member, holds: NDArray[np.bool_] | None) -> Member | None:
    """A task with only those of its rows of which ``holds`` is true; None where those are too few."""
    if holds is None:
        return member
    dataset = member.setup.dataset
    corpus = dataset.corpus
    try:
        kept = corpus.keep(holds[: len(corpus.texts)])
    except InputError:
        return None
    left_out = corpus.counts.get("not_asked", 0) + kept.counts["not_asked"]
    behind = len(dataset.texts)
    held = set(_texts(family)[behind:].filter(pa.array(holds[behind:])).to_pylist())
    dataset = dataclasses.replace(
        dataset,
        corpus=dataclasses.replace(kept, counts={**kept.counts, "not_asked": left_out}),
        reviewed=dataset.reviewed[holds[dataset.reviewed]],
        seed=dataset.seed[holds[dataset.seed]],
        apart=tuple(text for text in dataset.apart if text in held),
    )
    return dataclasses.replace(member, setup=dataclasses.replace(member.setup, dataset=dataset))


def _too_few(member: Member, holds: NDArray[np.bool_] | None) -> str:
    """What is told of a task whose parents' students leave it too few rows."""
    corpus = member.setup.dataset.corpus
    pool, held = (0 if holds is None else int(holds[rows].sum()) for rows in (corpus.pool, corpus.holdout))
    return (
        f"{member.setup.entry.path}: depends_on: this run's students decide {', '.join(member.awaited)} on "
        f"{pool:,} rows to learn from and {held:,} held-out rows, too few to measure this task on; take it "
        "out of the family until its parents are promoted, or give them more rows"
    )
