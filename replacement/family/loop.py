"""The loop for a family: one network learns the labels of its teachers, and each task is read off it.

A round trains the network on all rows that any teacher was asked about, measures each task on rows of its
own, and asks further rows for the tasks that are worst. Every answer serves all tasks of its teacher. What a
task's gate, rules, operating points and versions are stays the task's own.
"""

import dataclasses
from collections.abc import Callable, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from pingti.errors import UnavailableError
from pingti.workspace.dependencies import parents_first
from pingti.workspace.families import family_of
from pingti.workspace.registry import TaskEntry
from replacement.evaluation.holdout_size import note_of_few_rows
from replacement.evaluation.speed import Speed
from replacement.family import choosing, measuring, network, parents
from replacement.family.columns import groups_of, readouts_of, subclasses_of
from replacement.family.prepare import prepare_members
from replacement.family.state import Family, State, budget_of_round, pool_of
from replacement.kinds.ladder import climb
from replacement.kinds.training import check_kind
from replacement.progress import Progress, quiet, say
from replacement.results import Outcome, Round, StopReason
from replacement.training.outcome.evaluation import evaluate
from replacement.training.outcome.trained import Trained
from replacement.training.outcome.version import write_version
from replacement.training.rounds.state import Setup
from replacement.training.rounds.stopping import best_of, brought_nothing
from textcnn import Student

if TYPE_CHECKING:  # torch only where a teacher is asked
    from teacher.sources.callables import Function

Rounds = dict[str, Round]
"""What a round brought, by task."""


def replace_family(
    entries: Sequence[TaskEntry],
    *,
    seed: int = 0,
    run: str | None = None,
    progress: Progress = quiet,
    announce: Callable[[Rounds], None] = lambda _: None,
    device: str | None = None,
    function: "Function | None" = None,
) -> dict[str, Outcome]:
    """Make students for the tasks of a family, and write each with its report as a new version of its task.

    Nothing is promoted. Started again after a kill it goes the same way, cached answers costing nothing.

    Args:
        entries: two or more, as of ``members_of``.
        seed: every random choice comes from it.
        run: a name for the reports.
        progress: told what is being done, how much of it is done, and how much there is.
        announce: told every round's results.
        device: the teachers' torch device; a GPU where there is one, if absent.
        function: as of ``replacement.training.loop.replace``.

    Returns:
        By task.

    Raises:
        InputError: a file, label or definition that cannot be used.
        UnavailableError: a teacher cannot be had.
    """
    name = next(filter(None, map(family_of, entries)), entries[0].name)
    members = prepare_members(entries, name, seed=seed, progress=progress, device=device, function=function)
    setups = [member.setup for member in members]
    groups = groups_of(setups)
    family = Family(name=name, members=members, groups=groups, readouts=readouts_of(setups, groups))
    for setup in setups:
        check_kind(setup)
    parents_first(entries)  # a circle is told before anybody is asked
    state = measuring.ask_measuring_rows(family)
    family = _warned_of_small_holdouts(family, state)
    state = measuring.ask_first_rows(family, state)
    family, state, trained = run_rounds(family, state, announce)
    return write_versions(family, state, trained, run=run)


def run_rounds(
    family: Family, state: State, announce: Callable[[Rounds], None]
) -> tuple[Family, State, list[Trained]]:
    """Train, measure, and ask about further rows, until there is a reason to stop.

    Args:
        family: has texts and teachers.
        state: the rows of round 1, and those that measure.
        announce: told every round's results.

    Returns:
        The family with the rows of each task that the best round's students leave it; all rows asked about;
        and of each task what the rounds made.

    Raises:
        UnavailableError: no teacher gave an answer for any row to learn from.
        InputError: the students on which a task depends leave it too few rows.
    """
    if not any(len(rows.training.rows) for rows in state.teachers):
        notes = [note for setup in family.setups for note in setup.teacher.cost_notes]
        raise UnavailableError("; ".join(["no teacher gave an answer for any row to learn from", *notes]))
    setups, deciding = family.setups, parents.parents_of(family)
    rounds: list[Sequence[Round]] = []
    measured: list[parents.Measured] = []
    students: list[list[Student]] = []
    while True:
        number = len(rounds) + 1
        read_off = network.train_students(family, state, number)
        if state.validation.planned:
            state = measuring.draw_by_score(family, state, read_off)
        measured.append(parents.measure(family, deciding, state, read_off, number))
        results = measured[-1].rounds
        rounds.append(results)
        students.append(read_off)
        announce({setup.entry.name: result for setup, result in zip(setups, results, strict=True)})
        stopped = _stop_reason(family, state, rounds)
        if stopped is not None:
            best = best_of([mean(result.validation.f1 for result in some) for some in rounds], stopped)
            parents.refuse_unmeasured(measured[best])
            return (
                measured[best].family,
                state,
                [
                    Trained(
                        rounds=[some[place] for some in rounds],
                        students=[some[place] for some in students],
                        subclasses=subclasses_of(readout),
                        stopped=stopped,
                        best=best,
                    )
                    for place, readout in enumerate(family.readouts)
                ],
            )
        state = choosing.ask_next_rows(measured[-1].family, state, measured[-1].asked, read_off, results)


def write_versions(
    family: Family, state: State, trained: Sequence[Trained], *, run: str | None
) -> dict[str, Outcome]:
    """Measure each task's student, and write it with its report; the students' tensors are one file.

    Args:
        family: has the tasks.
        state: all rows asked about.
        trained: of each task.
        run: the name of the run, if it has one.
    """
    outcomes: dict[str, Outcome] = {}
    first: TaskEntry | None = None
    asked = state.views(family.setups)
    speeds: dict[str, Speed | None] = {}
    for place, member in enumerate(family.members):
        entry, teacher = member.setup.entry, member.setup.teacher.fingerprint
        climbed = climb(member.setup, asked[place], trained[place], speed=speeds.get(teacher))
        evaluation = evaluate(member.setup, asked[place], climbed, member.people)
        beside = None if first is None else first.student_folder(outcomes[first.name].version)
        outcomes[entry.name] = write_version(
            member.setup, asked[place], climbed, evaluation, run=run, beside=beside
        )
        if evaluation.kind == "textcnn":
            speeds[teacher] = evaluation.speed  # one network, one teacher: measured once
            first = first or entry
    return outcomes


def _stop_reason(family: Family, state: State, rounds: Sequence[Sequence[Round]]) -> StopReason | None:
    """Why no round follows these; None: one may."""
    last = rounds[-1]
    if all(_passes(setup, result) for setup, result in zip(family.setups, last, strict=True)):
        return StopReason.GATE_REACHED
    if len(rounds) >= family.rounds:
        return StopReason.ROUND_LIMIT
    if brought_nothing(
        [mean(result.validation.f1 for result in some) for some in rounds],
        [max(result.rows + result.boundary for result in some) for some in rounds],
    ):
        return StopReason.NO_PROGRESS
    return _out_of_rows(family, state, len(rounds))


def _passes(setup: Setup, result: Round) -> bool:
    """Whether a task has reached its gate, on the holdout and on the validation rows."""
    gate = setup.definition.gate
    usable = result.threshold is not None or not setup.definition.binary
    return usable and result.holdout.passes(gate) and result.validation.passes(gate)


def _out_of_rows(family: Family, state: State, number: int) -> StopReason | None:
    """Why there is nothing to ask about in the next round; None: there is."""
    left = False
    for rows in state.teachers:
        setup = family.setups[rows.members[0]]
        pool = pool_of(family, rows)
        unasked = len(rows.unasked(pool))
        left = left or unasked > 0
        if unasked and not setup.teacher.spent and budget_of_round(family, rows, number) >= 1:
            return None
    return StopReason.BUDGET_SPENT if left else StopReason.POOL_USED_UP


def _warned_of_small_holdouts(family: Family, state: State) -> Family:
    """The family with a note for each task of which few rows measure, before the teachers are asked more."""
    members = []
    for member, asked in zip(family.members, state.views(family.setups), strict=True):
        setup = member.setup
        note = note_of_few_rows(
            setup.definition, asked.holdout.answers.decided, drawn_from=len(setup.dataset.corpus.holdout)
        )
        if note:
            say(setup.progress, f"{setup.entry.name}: {note}")
            setup = dataclasses.replace(setup, notes=(*setup.notes, note))
        members.append(dataclasses.replace(member, setup=setup))
    return dataclasses.replace(family, members=members)
