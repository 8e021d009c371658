"""One retraining in a process of its own: ``python -m replacement.retrain --home H --task T --run NAME``.

What is going on is written to standard output, a JSON object a line: ``{"what", "done", "total"}``,
``{"round", "rounds", "f1"}``, and at the end ``{"outcome": "promoted" | "refused", "version", "reason"}`` or
``{"outcome": "failed", "reason"}``. The exit code is 0 in all three cases: another attempt would not end
otherwise. Any other end (a kill, memory that ran out) may be tried again.

A run has a name and happens once. A lock on the task, which the kernel drops when its process is gone,
keeps two runs of a task apart, and a retraining waits for it; a run that was cut off goes on from the
teacher's cached answers, or, where its student is written already, from the decision about it.
"""

import argparse
import contextlib
import datetime
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pingti.errors import ArtifactError, NotFoundError, PingtiError
from pingti.extras import install_hint
from pingti.workspace import promotion
from pingti.workspace.dependencies import parents_first, parents_without_student
from pingti.workspace.families import family_of, members_of
from pingti.workspace.promotion import Event
from pingti.workspace.registry import TaskEntry, Workspace
from pingti.workspace.report import refusal
from replacement.evaluation.metrics import stored
from replacement.progress import Progress
from replacement.results import Round
from replacement.training import warm_start

Tell = Callable[[dict[str, Any]], None]
"""Called with an event, as it is written to standard output."""
_TELL_SECONDS = 1.0  # between two events of one kind of progress


def retrain(
    entry: TaskEntry,
    run: str,
    *,
    who: str,
    tell: Tell,
    announce: Callable[[Round], None] = lambda _: None,
    device: str | None = None,
) -> dict[str, Any]:
    """Make a candidate and promote or refuse it, unless the run of this name has done so before.

    Args:
        entry: the task.
        run: the name of the run.
        who: for the task's history.
        tell: told what goes on, but for the end.
        announce: told every round's result.
        device: the teacher's torch device; a GPU where there is one, if absent.

    Returns:
        The last event: how it ended.

    Raises:
        InputError: a file, label or definition that cannot be used.
        UnavailableError: the teacher cannot be had.
    """

    def busy() -> None:
        tell({"what": "waiting for another run of this task", "done": 0, "total": 1})

    with contextlib.ExitStack() as locks:
        locks.enter_context(entry.making(busy))
        others = _others_of_family(entry)
        for other in others:
            locks.enter_context(other.making(busy))
        version = made_by(entry, run)
        if version is None:
            version = (
                _replace_family(entry, others, run, tell, device)
                if others
                else _replace(entry, run, tell, announce, device)
            )
        settled = {}
        for task in parents_first([*others, entry]) if others else [entry]:
            made = version if task.name == entry.name else made_by(task, run)
            if made is not None:
                settled[task.name] = _settle(task, made, who=who, run=run)
        return settled[entry.name]


def made_by(entry: TaskEntry, run: str) -> int | None:
    """The version that a run of this name made, if it came so far.

    Args:
        entry: the task.
        run: the name of the run.
    """
    for version in reversed(entry.versions()):
        # What was written by this run is whole; an old report that is damaged must not end every new run.
        with contextlib.suppress(NotFoundError, ArtifactError):
            if entry.report(version).get("run") == run:
                return version
    return None


def _replace(
    entry: TaskEntry, run: str, tell: Tell, announce: Callable[[Round], None], device: str | None
) -> int:
    from replacement.training.loop import replace  # torch only where something is trained

    def tell_round(result: Round) -> None:
        most = entry.definition.gate.rounds
        f1 = stored(result.holdout, len(entry.definition.classes))["f1"]
        tell({"round": result.round, "rounds": most, "f1": None if f1 is None else round(f1, 4)})
        announce(result)

    # The teacher that was fine-tuned with the promoted version's seed, unless the definition has changed.
    seed = warm_start.seed(entry)
    return replace(
        entry, seed=seed, run=run, progress=_throttled(tell), announce=tell_round, device=device
    ).version


def _others_of_family(entry: TaskEntry) -> list[TaskEntry]:
    """The tasks that are retrained together with this one today; none on other days, or without a family."""
    section, name = entry.definition.retrain, family_of(entry) or entry.name
    if section is None or section.joint != f"{datetime.datetime.now():%A}".lower():
        return []
    return [other for other in members_of(entry.workspace, name) if other.name != entry.name]


def _replace_family(
    entry: TaskEntry, others: Sequence[TaskEntry], run: str, tell: Tell, device: str | None
) -> int:
    from replacement.family.loop import replace_family  # torch only where something is trained

    def tell_round(rounds: dict[str, Round]) -> None:
        f1 = sum(result.holdout.f1 for result in rounds.values()) / len(rounds)
        number = rounds[entry.name].round
        most = max(task.definition.gate.rounds for task in (entry, *others))
        tell({"round": number, "rounds": most, "f1": round(f1, 4)})

    # The task itself comes last: where its version is there, all are.
    outcomes = replace_family(
        [*others, entry],
        seed=warm_start.seed(entry),
        run=run,
        progress=_throttled(tell),
        announce=tell_round,
        device=device,
    )
    return outcomes[entry.name].version


def _throttled(tell: Tell) -> Progress:
    """Progress as events, of one kind so many seconds apart at least."""
    last = 0.0

    def progress(what: str, done: int, total: int) -> None:
        nonlocal last
        if done >= total or time.monotonic() - last > _TELL_SECONDS:
            last = time.monotonic()
            tell({"what": what, "done": done, "total": total})

    return progress


def _settle(entry: TaskEntry, version: int, *, who: str, run: str) -> dict[str, Any]:
    """Promote or refuse, each recorded once however often this is done."""
    report = entry.report(version)
    if not report["gate"]["passed"]:
        reason = refusal(report).headline
        if not any(line["event"] == Event.REFUSED and line["version"] == version for line in entry.history()):
            entry.record(Event.REFUSED, version, who=who, why=reason)
        return {"outcome": "refused", "version": version, "reason": reason}
    if parents := parents_without_student(entry, version):
        reason = f"no student is promoted of {', '.join(parents)}, on which it depends"
        return {"outcome": "refused", "version": version, "reason": reason}
    moves = [line for line in entry.history() if line["event"] in (Event.PROMOTED, Event.ROLLED_BACK)]
    recorded = any(line["event"] == Event.PROMOTED and line["version"] == version for line in moves)
    # A crash may come between the line and the pointer; then nobody has moved it since.
    if not recorded or (moves[-1]["version"] == version and entry.current() == moves[-1]["before"]):
        promotion.promote(entry, version, who=who, why=f"passed its gate in the run {run}")
    return {"outcome": "promoted", "version": version, "reason": report["stopped"]}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one retraining, and write what goes on to standard output.

    Args:
        arguments: of the command line; those of the process where absent.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m replacement.retrain", description="One retraining.")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--run", required=True, help="its name")
    parser.add_argument("--who", default="scheduler", help="for the task's history")
    options = parser.parse_args(arguments)

    def tell(event: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(event, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    try:
        entry = Workspace(options.home).task(options.task)
        tell(retrain(entry, options.run, who=options.who, tell=tell))
    except PingtiError as error:
        tell({"outcome": "failed", "reason": str(error)})
    except ModuleNotFoundError as error:
        tell({"outcome": "failed", "reason": f"{error.name} is missing: {install_hint('teacher')}"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
