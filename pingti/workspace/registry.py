"""The workspace on disk: label tasks, the versions of their students, and which version is promoted.

tasks/<name>.toml                  the definition, its owner's to edit
tasks/<name>/teacher/              the model that was fine-tuned for the task
tasks/<name>/students/<version>/   student.json, student.safetensors, report.json,
                                   report.html, report.zh.html
tasks/<name>/current               the promoted version
tasks/<name>/history.jsonl         who promoted, refused or rolled back what, when and why
tasks/<name>/retrain.lock          held by the one process that makes a version
tasks/<name>/review.jsonl          boundary rows for a person
tasks/<name>/labels.jsonl          what people said about them
tasks/.move.json                   a removal or renaming that was cut off; see ``moves``
teachers/<fingerprint>/            cached scores and [CLS] vectors
jobs/<id>/                         part files, errors.jsonl
valkey/                            the embedded server's append-only file
workspace.id                       the id that the store of its jobs knows, too
"""

import contextlib
import datetime
import functools
import getpass
import json
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pingti import files
from pingti.errors import ArtifactError, ConflictError, InputError, NotFoundError
from pingti.workspace import definition, moves
from pingti.workspace.report_document import ReportDocument

if TYPE_CHECKING:
    from pingti.notebook.replacement import Replacement

DEFAULT = "workspace"
"""The folder, where nobody names one."""

CURRENT = "current"
"""Name of the file that holds the number of a task's promoted version; ``promotion`` alone writes it."""


class Workspace:
    """The folder that holds everything; it is made when something is first written to it."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root).absolute()

    @classmethod
    def named(cls, root: Path | str | None = None) -> Self:
        """The workspace of a folder, which need not be there; of PINGTI_HOME if absent, else "workspace"."""
        return cls(root or os.environ.get("PINGTI_HOME") or DEFAULT)

    @classmethod
    def open(cls, root: Path | str | None = None) -> Self:
        """Open a workspace that is there.

        Examples:
            >>> import pingti
            >>> workspace = pingti.Workspace.open("workspace")
            >>> workspace.task_names()
            ['sport', 'tech', 'topic']
            >>> workspace.task("sport").current()
            1

        Args:
            root: the folder; PINGTI_HOME if absent, else "workspace".

        Raises:
            NotFoundError: there is no such folder.
        """
        workspace = cls.named(root)
        if not workspace.root.is_dir():
            raise NotFoundError(
                f"{workspace.root}: no such workspace; name another, or make one: pingti.replace and "
                "pingti task add do"
            )
        return workspace

    @property
    def tasks(self) -> Path:
        """Folder of the label tasks."""
        return self.root / "tasks"

    @property
    def teachers(self) -> Path:
        """Folder of what teachers answered."""
        return self.root / "teachers"

    @property
    def jobs(self) -> Path:
        """Folder of the jobs and their results."""
        return self.root / "jobs"

    @property
    def valkey(self) -> Path:
        """Folder of the embedded server."""
        return self.root / "valkey"

    def task_names(self) -> list[str]:
        """The tasks that have a definition, in order of their names.

        Raises:
            InputError: the workspace is a file.
        """
        self._settle()
        return sorted(path.stem for path in self.tasks.glob("*.toml") if definition.NAME.fullmatch(path.stem))

    def entries(self) -> "list[TaskEntry]":
        """The same tasks; one that is removed meanwhile has no definition when it is asked for."""
        return [TaskEntry(self, name) for name in self.task_names()]

    def task(self, name: str) -> "TaskEntry":
        """A task by its name.

        Raises:
            NotFoundError: there is no definition of that name.
            InputError: the workspace is a file.
        """
        self._settle()
        # The name becomes a path: only names are looked up, never what merely ends in .toml.
        if not definition.NAME.fullmatch(name) or not (self.tasks / f"{name}.toml").is_file():
            known = ", ".join(self.task_names()) or "none yet"
            if not self.root.exists():
                known += f", as there is no folder {self.root}; --home or PINGTI_HOME names another"
            raise NotFoundError(f"task {name!r}: not in this workspace; there are: {known}")
        return TaskEntry(self, name)

    def add_task(self, name: str, text: str) -> "TaskEntry":
        """Write a task's definition, new or changed.

        Raises:
            DefinitionError: the name or the definition is not allowed; nothing is written then.
        """
        definition.check_name(name)
        self._settle()
        path = self.tasks / f"{name}.toml"
        definition.parse(text, path)
        files.write_bytes(path, text.encode())
        return TaskEntry(self, name)

    def _settle(self) -> None:
        """Finish what somebody who removed or renamed a task could not."""
        if self.root.is_file():
            raise InputError(
                f"{self.root}: is a file; a workspace is a folder, which --home or PINGTI_HOME names"
            )
        moves.settle(self.tasks)


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
        paths = (self.folder / "students").glob("*/student.json")
        return sorted(
            int(path.parent.name) for path in paths if re.fullmatch("[1-9][0-9]*", path.parent.name)
        )

    def next_version(self) -> int:
        """A number that no student has or had: one that was removed may be promoted or in the history."""
        names = (path.name for path in (self.folder / "students").glob("*"))
        known = [int(name) for name in names if name.isdecimal()]
        with contextlib.suppress(ArtifactError):
            known += [self.current() or 0, *(line["version"] for line in self.history())]
        return 1 + max(known, default=0)

    def newest(self) -> int:
        """The newest version there is.

        Raises:
            NotFoundError: none was made yet.
        """
        versions = self.versions()
        if not versions:
            raise NotFoundError(f"task {self.name!r}: no version yet; pingti replace {self.name} makes one")
        return max(versions)

    def current(self) -> int | None:
        """The promoted version, or None.

        Raises:
            ArtifactError: the file that says so is damaged.
        """
        try:
            return int((self.folder / CURRENT).read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ArtifactError.in_file(self.folder / CURRENT, "holds no version number") from error

    def student_folder(self, version: int) -> Path:
        """Folder of a version.

        Raises:
            NotFoundError: there is no such version.
        """
        if version not in self.versions():
            known = ", ".join(map(str, self.versions())) or "none yet"
            raise NotFoundError(f"task {self.name!r}: no version {version}; there are: {known}")
        return self.folder / "students" / str(version)

    def report(self, version: int | None = None) -> ReportDocument:
        """The report of a version; a notebook shows its page.

        Args:
            version: the promoted one where absent, else the newest.

        Raises:
            NotFoundError: no such version, none yet, or it has no report.
            ArtifactError: it is damaged.
        """
        if version is None:
            version = self.current() or self.newest()
        path = self.student_folder(version) / "report.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise NotFoundError(f"task {self.name!r}: version {version} has no report") from None
        except ValueError as error:
            raise ArtifactError.in_file(path, f"not readable as JSON: {error}") from error
        return ReportDocument(document, page=path.with_name("report.html"))

    def replace(self, *, seed: int = 0, device: str | None = None, progress: bool = True) -> "Replacement":
        """Make a student for the task, as ``pingti replace`` does; see ``pingti.replace``.

        Args:
            seed: every random choice comes from it.
            device: the teacher's torch device; a GPU where there is one, if absent.
            progress: whether to show on standard error how far it is.
        """
        import pingti  # the loop stands above this room; the face loads it

        return pingti.replace(self, seed=seed, device=device, progress=progress)

    @contextlib.contextmanager
    def making(self, busy: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold the task's lock: one process at a time makes a version. A process that dies lets go of it.

        Where another holds it, ``busy`` is called and the lock is waited for.

        Raises:
            ConflictError: another holds it, and ``busy`` is absent.
            NotFoundError: the task was removed or renamed, perhaps while the lock was waited for.
        """

        def refuse() -> None:
            raise ConflictError(
                f"task {self.name!r}: another run, a pingti replace or a retraining, makes a version of it "
                "at this moment; try again when it has ended"
            )

        self.workspace.task(self.name)
        with files.locked(self.folder / "retrain.lock", busy=busy or refuse):
            self.workspace.task(self.name)
            yield

    def record(self, event: str, version: int, *, who: str | None = None, why: str, **details: Any) -> None:
        """Add a line to the history.

        Args:
            event: what was done, such as one of ``promotion.Event``.
            version: to which version.
            who: the person or process; the system's user where absent.
            why: the reason.
            details: further keys of the line.
        """
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
        lines = []
        for number, line in files.read_lines(path):
            try:
                lines.append(json.loads(line))
            except ValueError:
                warnings.warn(f"{path}: line {number} is damaged and left out", stacklevel=2)
        return lines


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
