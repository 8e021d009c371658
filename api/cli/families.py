"""``pingti replace --family``: students for all tasks of a family, read off one network."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from api.cli.console import Screen
from api.cli.interruption import interruptible
from api.cli.rounds import asked_so_far
from pingti.errors import Fault, GateError

if TYPE_CHECKING:
    from pingti.workspace.definition import GateSection
    from pingti.workspace.registry import TaskEntry
    from replacement.results import Outcome, Round


def replace_family(
    name: str, *, promote: bool, seed: int, device: str | None, home: Path, screen: Screen
) -> None:
    """Make students for the tasks of a family, and say of each whether it may replace its teacher.

    Args:
        name: of the family, or the task whose teacher the others use.
        promote: those that pass are promoted.
        seed: every random choice comes from it.
        device: the teachers' torch device.
        home: the workspace.
        screen: what is said, is said there.

    Raises:
        NotFoundError: no such family.
        GateError: a task fell short of its gate; the others are written, and promoted if that was asked for.
    """
    from pingti.workspace.dependencies import parents_first
    from pingti.workspace.families import members_of
    from pingti.workspace.registry import Workspace
    from replacement.family.loop import replace_family as run

    entries = members_of(Workspace(home), name)

    gates = {entry.name: entry.definition.gate for entry in entries}

    def announce(rounds: "Mapping[str, Round]") -> None:
        screen.note(family_line(rounds, gates))

    goes_on = f"pingti replace --family {name} goes on from what the teachers answered"
    with interruptible(goes_on), ExitStack() as locks, screen.progress():
        for entry in entries:
            locks.enter_context(entry.making())
        outcomes = run(entries, seed=seed, device=device, progress=screen.advance, announce=announce)
    first = next(iter(outcomes.values()))
    screen.say(f"family {name}: {len(outcomes)} tasks read one network; {first.report['stopped']}")
    _show(entries, outcomes, screen)
    screen.result({task: outcome.report for task, outcome in outcomes.items()})
    passed = [entry for entry in parents_first(entries) if outcomes[entry.name].passed]
    done = _promote(passed, outcomes, screen) if promote else passed
    if done:
        names = ", ".join(entry.name for entry in done)
        screen.say(
            f"promoted: {names}" if promote else f"the gate is reached; next is pingti promote: {names}"
        )
    _refuse(name, [entry for entry in entries if entry not in passed], outcomes)


def _promote(
    passed: "Sequence[TaskEntry]", outcomes: "Mapping[str, Outcome]", screen: Screen
) -> "list[TaskEntry]":
    """Promote the students of tasks, parents first, but for those that no job could ask for; which ones."""
    from pingti.workspace import promotion
    from pingti.workspace.dependencies import parents_without_student

    done = []
    for entry in passed:
        version = outcomes[entry.name].version
        if parents := parents_without_student(entry, version):
            screen.note(
                f"{entry.name}: its gate is reached, but no student is promoted of {', '.join(parents)}, on "
                f"which it depends; once one is, pingti promote {entry.name} {version}"
            )
            continue
        promotion.promote(entry, version, why="passed its gate")
        done.append(entry)
    return done


def family_line(rounds: "Mapping[str, Round]", gates: "Mapping[str, GateSection]") -> str:
    """A family's round in one line.

    Args:
        rounds: what it brought, by task.
        gates: of each task; holdout and validation rows decide, as of a task alone.
    """
    from statistics import mean

    worst = sorted(rounds, key=lambda task: rounds[task].validation.f1)[:3]
    result = rounds[worst[0]]
    named = ", ".join(f"{task} {rounds[task].validation.f1:.3f}" for task in worst)
    validation, holdout = (
        mean(getattr(own, part).f1 for own in rounds.values()) for part in ("validation", "holdout")
    )
    reached = sum(
        own.holdout.passes(gates[t]) and own.validation.passes(gates[t]) for t, own in rounds.items()
    )
    return (
        f"  round {result.round}: gate reached by {reached} of {len(rounds)} tasks; mean F1 {holdout:.3f} on "
        f"the holdout, {validation:.3f} on the validation rows (worst there: "
        f"{named})  | {asked_so_far(result)}, trained on {result.rows:,}"
    )


def _show(entries: "list[TaskEntry]", outcomes: "Mapping[str, Outcome]", screen: Screen) -> None:
    """A line for each task."""
    from replacement.evaluation.metrics import stored

    rows = []
    for entry in entries:
        outcome = outcomes[entry.name]
        figures = stored(outcome.best.holdout, len(entry.definition.classes))
        rows.append(
            [
                entry.name,
                str(outcome.version),
                *(
                    "-" if figures[key] is None else f"{figures[key]:.3f}"
                    for key in ("precision", "recall", "f1")
                ),
                "reached" if outcome.passed else "not reached",
                "-" if (sure := outcome.report["gate"].get("sure")) is None else f"{sure:.0%}",
            ]
        )
    screen.table(["task", "version", "precision", "recall", "F1", "gate", "sure"], rows)
    notes: dict[str, list[str]] = {}
    for task, outcome in outcomes.items():
        for note in outcome.report.get("notes", []):
            notes.setdefault(note, []).append(task)
    for note, tasks in notes.items():
        screen.note(f"{'all tasks' if len(tasks) == len(outcomes) else ', '.join(tasks)}: {note}")


def _refuse(name: str, refused: "list[TaskEntry]", outcomes: "Mapping[str, Outcome]") -> None:
    """Record and tell which tasks fell short."""
    from pingti.workspace import promotion
    from pingti.workspace.report import Report, refusal, ways_on

    faults = []
    for entry in refused:
        lacks = refusal(outcomes[entry.name].report)
        entry.record(promotion.Event.REFUSED, outcomes[entry.name].version, why=lacks.headline)
        most = ways_on(Report.read(outcomes[entry.name].report, entry.name))[:1]
        faults.append(Fault(detail="; ".join([f"{entry.name}: {lacks.headline}", *most])))
    if faults:
        raise GateError(
            f"family {name!r}: {len(refused)} of {len(outcomes)} tasks refused; each line tells what helps "
            "that task most; other ways on are more texts, a lower gate for it, or pingti promote TASK "
            "VERSION --force",
            faults=faults,
        )
