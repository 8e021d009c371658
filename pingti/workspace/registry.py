"""The workspace on disk: label tasks, the versions of their students, and which version is promoted.

tasks/<name>.toml                  the definition, its owner's to edit
tasks/<name>/teacher/              the model that was fine-tuned for the task
tasks/<name>/students/<version>/   student.json, student.safetensors, report.json, report.html
tasks/<name>/current               the promoted version
tasks/<name>/history.jsonl         who promoted, refused or rolled back what, when and why
tasks/<name>/retrain.lock          held by the one process that makes a version
tasks/<name>/review.jsonl          boundary rows for a person
tasks/<name>/labels.jsonl          what people said about them
teachers/<fingerprint>/            cached scores and [CLS] vectors
jobs/<id>/                         part files, errors.jsonl
valkey/                            the embedded server's append-only file
"""

import contextlib
import datetime
import functools
import getpass
import json
import re
import warnings
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

from pingti import files
from pingti.errors import ArtifactError, ConflictError, GateError, NotFoundError
from pingti.workspace import definition
from pingti.workspace.report import shortfall


class Event(StrEnum):
    """What is done to a version."""

    PROMOTED = "promoted"  # jobs get it from now on
    ROLLED_BACK = "rolled back"  # jobs get it again, the version that they had turned out worse
    REFUSED = "refused"  # it fell short of its gate: jobs keep the version that they have


class Workspace:
    """The folder that holds everything; it is made when something is first written to it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()

    @property
    def tasks(self) -> Path:
        return self.root / "tasks"

    @property
    def teachers(self) -> Path:
        return self.root / "teachers"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def valkey(self) -> Path:
        return self.root / "valkey"

    def task_names(self) -> list[str]:
        """The tasks that have a definition, in order of their names."""
        return sorted(path.stem for path in self.tasks.glob("*.toml") if definition.NAME.fullmatch(path.stem))

    def task(self, name: str) -> "TaskEntry":
        """A task by its name.

        Raises:
            NotFoundError: there is no definition of that name.
        """
        # The name becomes a path: only names are looked up, never what merely ends in .toml.
        if not definition.NAME.fullmatch(name) or not (self.tasks / f"{name}.toml").is_file():
            known = ", ".join(self.task_names()) or "none yet"
            raise NotFoundError(f"task {name!r}: not in this workspace; there are: {known}")
        return TaskEntry(self, name)

    def add_task(self, name: str, text: str) -> "TaskEntry":
        """Write a task's definition, new or changed.

        Raises:
            DefinitionError: the name or the definition is not allowed; nothing is written then.
        """
        definition.check_name(name)
        path = self.tasks / f"{name}.toml"
        definition.parse(text, path)
        files.write_bytes(path, text.encode())
        return TaskEntry(self, name)


class TaskEntry:
    """One task of a workspace."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self.workspace = workspace
        self.name = name
        self.folder = workspace.tasks / name
        self.path = workspace.tasks / f"{name}.toml"

    @functools.cached_property
    def definition(self) -> definition.Definition:
        """The definition as it was when first asked for.

        Raises:
            DefinitionError: the file was changed into something that is not allowed.
        """
        return definition.load(self.path)

    def versions(self) -> list[int]:
        """Finished students, the oldest first."""
        found = (self.folder / "students").glob("*/student.json")
        return sorted(
            int(path.parent.name) for path in found if re.fullmatch("[1-9][0-9]*", path.parent.name)
        )

    def next_version(self) -> int:
        """A number that no student has or had: one that was removed may be promoted or in the history."""
        found = (path.name for path in (self.folder / "students").glob("*"))
        known = [int(name) for name in found if name.isdecimal()]
        with contextlib.suppress(ArtifactError):
            known += [self.current() or 0, *(line["version"] for line in self.history())]
        return 1 + max(known, default=0)

    def newest(self) -> int:
        """The newest version there is.

        Raises:
            NotFoundError: none was made yet.
        """
        found = self.versions()
        if not found:
            raise NotFoundError(f"task {self.name!r}: no version yet; pingti replace {self.name} makes one")
        return max(found)

    def current(self) -> int | None:
        """The promoted version, or None."""
        try:
            return int((self.folder / "current").read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ArtifactError(f"{self.folder / 'current'}: holds no version number") from error

    def student_folder(self, version: int) -> Path:
        """Folder of a version.

        Raises:
            NotFoundError: there is no such version.
        """
        if version not in self.versions():
            known = ", ".join(map(str, self.versions())) or "none yet"
            raise NotFoundError(f"task {self.name!r}: no version {version}; there are: {known}")
        return self.folder / "students" / str(version)

    def report(self, version: int) -> dict[str, Any]:
        """The report of a version.

        Raises:
            NotFoundError: no such version, or it has no report.
        """
        path = self.student_folder(version) / "report.json"
        try:
            report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFoundError(f"task {self.name!r}: version {version} has no report") from None
        except ValueError as error:
            raise ArtifactError(f"{path}: not readable as JSON: {error}") from error
        return report

    @contextlib.contextmanager
    def making(self, busy: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the task's lock: one process at a time makes a version. A process that dies lets go of it.

        Where another holds it, ``busy`` is called and the lock is waited for.

        Raises:
            ConflictError: another holds it, and ``busy`` is absent.
        """

        def refuse() -> None:
            raise ConflictError(
                f"task {self.name!r}: another run, a pingti replace or a retraining, makes a version of it "
                "at this moment; try again when it has ended"
            )

        with files.locked(self.folder / "retrain.lock", busy=busy or refuse):
            yield

    def promote(self, version: int, *, who: str | None = None, why: str, force: bool = False) -> None:
        """Make a version the one that jobs get from now on.

        Raises:
            NotFoundError: there is no such version, or it has no report.
            ConflictError: by it the task would come to depend on itself.
            GateError: it fell short of its gate, which is recorded; with ``force`` it is promoted all the
                same, and the history says so.
        """
        self._move(Event.PROMOTED, version, who=who, why=why, force=force)

    def roll_back(
        self, version: int | None = None, *, who: str | None = None, why: str, force: bool = False
    ) -> int:
        """Promote an earlier version again, and give its number.

        Without a version it is the one that was promoted before the present one. Called again it goes back
        further, never forward to a version that was rolled back.

        Raises:
            ConflictError: there is none before the present one, ``version`` is the present one, or by it the
                task would come to depend on itself.
            NotFoundError: there is no such version.
            GateError: as in ``promote``; what was promoted once may be so again.
        """
        if version is None:
            present, there = self.current(), self.versions()
            earlier = [number for number in self._way() if number != present and number in there]
            if present is None or not earlier:
                raise ConflictError(f"task {self.name!r}: no version was promoted before the present one")
            version = earlier[-1]
        self._move(Event.ROLLED_BACK, version, who=who, why=why, force=force)
        return version

    def _move(self, event: Event, version: int, *, who: str | None, why: str, force: bool) -> None:
        """The moves of the pointer ``current``, and which of them are allowed:

        - promoted: to any version that passed its gate;
        - rolled back: to another version than the present one, if it was promoted before or passed its gate;
        - by force, either to a version that did neither;
        - never to one by which a task would come to depend on itself: no job could be asked either then.

        The history is written before the pointer moves: a crash between the two leaves a line too many,
        never a promotion that nobody can explain.
        """
        folder = self.student_folder(version)
        present = self.current()
        known = False
        if event is Event.ROLLED_BACK:
            if present is None or version == present:
                what = "no version is promoted" if present is None else f"version {version} is promoted now"
                raise ConflictError(f"task {self.name!r}: {what}; there is nothing to roll back")
            known = any(move["version"] == version for move in self._moves())
        way = self._circle(folder)
        if way:
            raise ConflictError(
                f"task {self.name!r}: version {version} would close a circle of tasks that depend on each "
                f"other: {way}"
            )
        lacks = "" if known else self._lacks(version, force=force)
        if lacks and not force:
            self.record(Event.REFUSED, version, who=who, why=lacks)
            raise GateError(f"task {self.name!r}: version {version}: {lacks}; force (--force) promotes it")
        if lacks:
            why = f"{why} (by force: {lacks})"
        self.record(event, version, who=who, why=why, before=present)
        files.write_bytes(self.folder / "current", f"{version}\n".encode())

    def _circle(self, folder: Path) -> str:
        """How the student in a folder, once promoted, would come to depend on itself; empty: not at all."""
        from pingti.workspace.dependencies import (
            promoted_circle,  # loads the kernels, which most callers do without
        )
        from textcnn import Student

        with contextlib.suppress(ArtifactError):  # a damaged one says so when it is loaded
            return promoted_circle(self, Student.read_metadata(folder).get("depends_on", ()))
        return ""

    def _lacks(self, version: int, *, force: bool) -> str:
        """Why a version's report does not let it be promoted; empty where it does."""
        try:
            report = self.report(version)
        except (NotFoundError, ArtifactError) as error:
            if not force:
                raise
            return str(error)
        if "gate" not in report or "holdout" not in report:
            return "its report holds no figures"
        if report["gate"].get("passed"):
            return ""
        return shortfall(report)

    def _moves(self) -> list[dict[str, Any]]:
        """The lines of the history with which the pointer really moved."""
        moves = [line for line in self.history() if line["event"] in (Event.PROMOTED, Event.ROLLED_BACK)]
        became = [*(move["before"] for move in moves[1:]), self.current()]
        # Where they differ, a crash came before the pointer moved.
        return [line for line, after in zip(moves, became, strict=False) if line["version"] == after]

    def _way(self) -> list[int]:
        """The versions that lead to the present one, without those that were rolled back."""
        way: list[int] = []
        for line in self._moves():
            if line["event"] == Event.PROMOTED:
                way.append(line["version"])
            elif line["version"] in way:
                while way[-1] != line["version"]:
                    way.pop()
            else:  # one that was never on the way: the version that was rolled back gives way to it
                way[-1:] = [line["version"]]
        return way

    def record(self, event: str, version: int, *, who: str | None = None, why: str, **details: Any) -> None:
        """Add a line to the history."""
        files.append_line(
            self.folder / "history.jsonl",
            {
                "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "event": event,
                "version": version,
                "who": who or _user(),
                "why": why,
                **details,
            },
        )

    def history(self) -> list[dict[str, Any]]:
        """The lines of the history, the oldest first.

        A line that broke off (a power loss) is left out with a warning that names it: what it was about to
        say did not happen, as a line comes before its move.
        """
        path = self.folder / "history.jsonl"
        found = []
        for number, line in files.read_lines(path):
            try:
                found.append(json.loads(line))
            except ValueError:
                warnings.warn(f"{path}: line {number} is damaged and left out", stacklevel=2)
        return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
