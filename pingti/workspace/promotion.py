"""Which version of a student jobs get: the moves of the pointer ``current``, and which of them are allowed.

- promoted: to any version that passed its gate;
- rolled back: to another version than the present one, if it was promoted before or passed its gate;
- by force, either to a version that did neither;
- never to one by which a task would come to depend on itself: no job could be asked either then.

The history is written before the pointer moves: a crash between the two leaves a line too many, never a
promotion that nobody can explain.
"""

import contextlib
from enum import StrEnum
from pathlib import Path
from typing import Any

from pingti import files
from pingti.errors import ArtifactError, ConflictError, Fault, GateError, NotFoundError
from pingti.workspace.dependencies import promoted_circle
from pingti.workspace.registry import CURRENT, TaskEntry
from pingti.workspace.report import Refusal, refusal
from pingti.workspace.storage import Storage, students
from textcnn.student import Student


class Event(StrEnum):
    """What is done to a version."""

    PROMOTED = "promoted"  # jobs get it from now on
    ROLLED_BACK = "rolled back"  # jobs get it again, the version that they had turned out worse
    REFUSED = "refused"  # it fell short of its gate: jobs keep the version that they have


def promote(entry: TaskEntry, version: int, *, who: str | None = None, why: str, force: bool = False) -> None:
    """Make a version the one that jobs get from now on.

    Args:
        entry: the task.
        version: which of its versions.
        who: the person or process, for the history; the system's user where absent.
        why: the reason, for the history.
        force: promote it even if it fell short of its gate, or has no report; the history says so.

    Raises:
        NotFoundError: there is no such version, or it has no report.
        ConflictError: by it the task would come to depend on itself.
        GateError: it fell short of its gate, which is recorded.
    """
    folder, present = entry.student_folder(version), entry.current()
    _check_circle(entry, version, folder)
    lack = _lack(entry, version, force=force)
    if lack:
        why = _by_force(entry, version, lack, who=who, why=why, force=force)
    _move(entry, Event.PROMOTED, version, present, who=who, why=why)


def roll_back(
    entry: TaskEntry, version: int | None = None, *, who: str | None = None, why: str, force: bool = False
) -> int:
    """Promote an earlier version again.

    Called again it goes back further, never forward to a version that was rolled back.

    Args:
        entry: the task.
        version: which of its versions; the one that was promoted before the present one where absent.
        who: as in ``promote``; so ``why``.
        why: the reason, for the history.
        force: as in ``promote``; what was promoted once needs none.

    Returns:
        The version that is promoted now.

    Raises:
        ConflictError: there is none before the present one, ``version`` is the present one, or by it the task
            would come to depend on itself.
        NotFoundError: there is no such version.
        GateError: as in ``promote``; what was promoted once may be so again.
    """
    if version is None:
        version = before_present(entry)
        if version is None:
            raise ConflictError(f"task {entry.name!r}: no version was promoted before the present one")
    folder, present = entry.student_folder(version), entry.current()
    if present is None or version == present:
        state = "no version is promoted" if present is None else f"version {version} is promoted now"
        raise ConflictError(f"task {entry.name!r}: {state}; there is nothing to roll back")
    was_promoted = any(move["version"] == version for move in _moves(entry))
    _check_circle(entry, version, folder)
    lack = None if was_promoted else _lack(entry, version, force=force)
    if lack:
        why = _by_force(entry, version, lack, who=who, why=why, force=force)
    _move(entry, Event.ROLLED_BACK, version, present, who=who, why=why)
    return version


def _by_force(
    entry: TaskEntry, version: int, lack: Refusal, *, who: str | None, why: str, force: bool
) -> str:
    """The reason why a version is promoted all the same; without force its refusal."""
    if not force:
        entry.record(Event.REFUSED, version, who=who, why=lack.headline)
        raise GateError(
            f"task {entry.name!r}: version {version}: {lack.headline}; force (--force) promotes it",
            faults=[Fault(detail=point) for point in lack.points],
        )
    return f"{why} (by force: {lack.headline})"


def _move(
    entry: TaskEntry, event: Event, version: int, present: int | None, *, who: str | None, why: str
) -> None:
    store = Storage.of_environment()
    if store is not None:  # whoever is told of the version finds it there
        students.publish(entry.workspace, [students.Version(task=entry.name, version=version)], store)
    entry.record(event, version, who=who, why=why, before=present)
    files.write_bytes(entry.folder / CURRENT, f"{version}\n".encode())
    if store is not None:
        store.put_bytes(f"tasks/{entry.name}/{CURRENT}", f"{version}\n".encode())


def _check_circle(entry: TaskEntry, version: int, folder: Path) -> None:
    """ConflictError where the task, with this version promoted, would come to depend on itself."""
    circle = ""
    with contextlib.suppress(ArtifactError):  # a damaged student says so when it is loaded
        circle = promoted_circle(entry, Student.read_metadata(folder).get("depends_on", ()))
    if circle:
        raise ConflictError(
            f"task {entry.name!r}: version {version} would close a circle of tasks that depend on each "
            f"other: {circle}"
        )


def _lack(entry: TaskEntry, version: int, *, force: bool) -> Refusal | None:
    """Why a version's report does not let it be promoted; None where it does."""
    try:
        report = entry.report(version)
    except (NotFoundError, ArtifactError) as error:
        if not force:
            raise
        return Refusal(headline=str(error), points=())
    if "gate" not in report or "holdout" not in report:
        return Refusal(headline="its report holds no figures", points=())
    if report["gate"].get("passed"):
        return None
    lacks = refusal(report)
    return lacks if lacks.headline else None


def before_present(entry: TaskEntry) -> int | None:
    """The version that was promoted before the present one and is still there: where a roll-back leads.

    Args:
        entry: the task.

    Returns:
        Its number; None where there is none.

    Raises:
        ArtifactError: the history is damaged.
    """
    present, versions = entry.current(), entry.versions()
    earlier = [version for version in _way(entry) if version != present and version in versions]
    return None if present is None or not earlier else earlier[-1]


def _moves(entry: TaskEntry) -> list[dict[str, Any]]:
    """The lines of the history with which the pointer really moved."""
    moves = [line for line in entry.history() if line["event"] in (Event.PROMOTED, Event.ROLLED_BACK)]
    became = [*(move["before"] for move in moves[1:]), entry.current()]
    # Where they differ, a crash came before the pointer moved.
    return [line for line, after in zip(moves, became, strict=False) if line["version"] == after]


def _way(entry: TaskEntry) -> list[int]:
    """The versions that lead to the present one, without those that were rolled back."""
    way: list[int] = []
    for line in _moves(entry):
        if line["event"] == Event.PROMOTED:
            way.append(line["version"])
        elif line["version"] in way:
            while way[-1] != line["version"]:
                way.pop()
        else:  # one that was never on the way: the version that was rolled back gives way to it
            way[-1:] = [line["version"]]
    return way
