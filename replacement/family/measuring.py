"""The rows that a family's teachers are asked about first: those that measure, and those of round 1."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pingti.errors import UnavailableError
from replacement.budget import most_labelled, share_measuring
from replacement.family.rows import TeacherRows, Validation, answered, ask, learn
from replacement.family.state import Family, State
from replacement.training import warm_start
from replacement.training.loop import FIRST_ROWS, KNOWN_BUDGETS, draw_apart
from replacement.training.validation_set import EVEN, draw_by_pull, pull_of
from textcnn import Student, score_many

VALIDATION_ROWS = 3000
"""At most; twice those of a task alone, since they serve all."""


def ask_measuring_rows(family: Family) -> State:
    """Have the rows labelled that choose thresholds, and those that measure, by every teacher.

    Args:
        family: has corpus and teachers.

    Raises:
        UnavailableError: a teacher gave no answer for any of them.
    """
    lead = family.lead
    gate = lead.definition.gate
    shared_pool = _union(setup.dataset.corpus.pool for setup in family.setups)
    shared_holdout = _union(setup.dataset.corpus.holdout for setup in family.setups)
    budgets = _budgets(family)
    with_true_labels = {members: _with_true_labels(family, members) for members in budgets}
    measuring = share_measuring(
        min(budgets.values()),
        holdout=min(gate.holdout_rows, len(shared_holdout)),
        validation=min(VALIDATION_ROWS, len(shared_pool) // 4),
        apart=min(gate.holdout_rows, max(map(len, with_true_labels.values()))),
    )
    held = lead.draw(shared_holdout, measuring.holdout, "holdout")
    by_score = _binary(family) and not any(
        warm_start.read(setup.entry, setup.teacher.fingerprint) for setup in family.setups
    )
    even = round(measuring.validation * EVEN) if by_score else measuring.validation
    rows = lead.draw(shared_pool, even, "calibration")
    teachers = [
        TeacherRows(
            members=members,
            budget=budgets[members],
            holdout=ask(family.setups[members[0]], held, "teacher: holdout"),
            validation=ask(family.setups[members[0]], rows, "teacher: validation"),
            training=ask(family.setups[members[0]], rows[:0], "teacher: rows to learn from"),
            apart=draw_apart(family.setups[members[0]], with_true_labels[members], measuring.apart),
        )
        for members in budgets
    ]
    for teacher in teachers:
        if not answered(teacher.holdout).any() or not answered(teacher.validation).any():
            names = ", ".join(family.setups[place].entry.name for place in teacher.members)
            raise UnavailableError(
                f"the teacher of {names} gave no answer for any of {len(held)} held-out texts or of the "
                "validation rows, so that nothing can be measured"
            )
    validation = Validation(rows=rows, weights=np.ones(len(rows)), budget=measuring.validation)
    return State(validation=validation, teachers=teachers)


def ask_first_rows(family: Family, state: State) -> State:
    """Ask each teacher about the rows of round 1: known ones, those that people labelled, and others.

    Args:
        family: has corpus and teachers.
        state: the rows that measure.
    """
    return dataclasses.replace(
        state, teachers=[_first_rows(family, rows, state.validation.budget) for rows in state.teachers]
    )


def draw_by_score(family: Family, state: State, students: Sequence[Student]) -> State:
    """Draw the validation rows that are still to be drawn, by what the first students think of the pool.

    A row is drawn in proportion to how much it tells of all tasks of two classes together: the root of the
    mean square of what it tells of each. One draw serves all, with one weight for each row.

    Args:
        family: has corpus and teachers.
        state: has the rows drawn evenly.
        students: of each task, trained on rows drawn evenly or labelled by people.
    """
    lead = family.lead
    pool = _union(setup.dataset.corpus.pool for setup in family.setups)
    texts = lead.dataset.texts.take(pa.array(pool))
    even = np.searchsorted(pool, state.validation.rows)
    squares = np.zeros(len(pool))
    usable = ~np.isin(pool, np.concatenate([rows.training.rows for rows in state.teachers]))
    of_task = state.of_task
    places = [place for place, setup in enumerate(family.setups) if setup.definition.binary]
    scores = score_many([students[place] for place in places], texts)
    for place, own in zip(places, scores, strict=True):
        setup, validation = family.setups[place], of_task[place].validation
        there = answered(validation)
        texts_there = lead.dataset.texts_of(validation.rows[there])
        answers = setup.teacher.read(texts_there, validation.where(there).scored)
        pull = pull_of(own[:, 1], even[there], answers.decided > 0)
        squares += (pull / pull.mean()) ** 2
        usable &= ~setup.teacher.is_reviewed(texts)
    picked, weights = draw_by_pull(
        np.sqrt(squares),
        even,
        usable,
        budget=state.validation.planned,
        rng=lead.rng("calibration by score"),
    )
    fresh = pool[picked]
    rows = np.concatenate([state.validation.rows, fresh])
    teachers = [
        dataclasses.replace(
            own,
            validation=own.validation.with_more(
                ask(family.setups[own.members[0]], fresh, "teacher: validation")
            ),
        )
        for own in state.teachers
    ]
    return dataclasses.replace(
        state, validation=Validation(rows=rows, weights=weights, budget=len(rows)), teachers=teachers
    )


def _first_rows(family: Family, rows: TeacherRows, validation: int) -> TeacherRows:
    """A teacher's rows with those of round 1; ``validation`` rows of its budget are for measuring."""
    setups = [family.setups[place] for place in rows.members]
    lead, dataset = setups[0], setups[0].dataset
    pool = _union(setup.dataset.corpus.pool for setup in setups)
    behind = _union(np.concatenate([setup.dataset.reviewed, setup.dataset.seed]) for setup in setups)
    known = _known(family, rows, np.concatenate([rows.unasked(pool), behind]))
    rows = learn(rows, lead, {"known": known}, free=True)
    left = rows.budget - len(rows.holdout.rows) - validation - len(rows.apart)
    labelled = most_labelled(max(0, left), family.rounds)
    candidates = np.setdiff1d(np.concatenate([rows.unasked(pool), behind]), rows.training.rows)
    texts = dataset.texts.take(pa.array(candidates))
    by_people = np.zeros(len(candidates), np.bool_)
    for setup in setups:
        by_people |= setup.teacher.is_reviewed(texts)
    reviewed = lead.draw(candidates[by_people], min(labelled, max(0, left) // 2), "reviewed")
    seed = np.setdiff1d(_union(setup.dataset.seed for setup in setups), [*known, *reviewed])
    seed = lead.draw(seed, max(0, labelled - len(reviewed)), "labelled")
    chosen: dict[str, NDArray[np.int64]] = {"reviewed": reviewed, "labelled": seed}
    if not len(seed):
        fresh = np.setdiff1d(rows.unasked(pool), reviewed)
        if len(known):  # the corpus is in order of time
            fresh = fresh[fresh > known[known < len(dataset.corpus.texts)].max(initial=-1)]
        count = max(1, min(FIRST_ROWS, max(0, left) // family.rounds))
        chosen["new" if len(known) else "random"] = lead.draw(fresh, min(count, len(fresh)), "first")
    rows = learn(rows, lead, chosen)
    return dataclasses.replace(rows, added={"known": known, **rows.added} if len(known) else rows.added)


def _known(family: Family, rows: TeacherRows, candidates: NDArray[np.int64]) -> NDArray[np.int64]:
    """Those of ``candidates`` that the tasks' promoted versions learned from, whose answers cost nothing."""
    lead = family.setups[rows.members[0]]
    texts = lead.dataset.texts_of(candidates)
    places: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    for place in rows.members:
        setup = family.setups[place]
        places.append(warm_start.find(texts, warm_start.read(setup.entry, setup.teacher.fingerprint))[0])
    there = np.unique(np.concatenate(places))
    if not len(there):
        return candidates[:0]
    free = lead.teacher.cached([texts[place] for place in there.tolist()])
    return np.sort(candidates[there[free]])[-KNOWN_BUDGETS * rows.budget :]


def _budgets(family: Family) -> dict[tuple[int, ...], int]:
    """By the places of the tasks that read a teacher, the rows that it may be asked about.

    That is the largest budget of any of them: an answer serves all.
    """
    readers: dict[str, list[int]] = {}
    for place, setup in enumerate(family.setups):
        readers.setdefault(setup.teacher.fingerprint, []).append(place)
    return {
        tuple(places): max(family.setups[place].definition.teacher.budget for place in places)
        for places in readers.values()
    }


def _with_true_labels(family: Family, members: Sequence[int]) -> tuple[str, ...]:
    """Texts outside the corpus with true labels of any task that reads a teacher."""
    return tuple(dict.fromkeys(text for place in members for text in family.setups[place].dataset.apart))


def _binary(family: Family) -> bool:
    return any(setup.definition.binary for setup in family.setups)


def _union(parts: Iterable[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.unique(np.concatenate([np.zeros(0, np.int64), *parts]))
