"""The workspace on disk: label tasks, the versions of their students, and which version is promoted.

tasks/<name>.toml                  the definition, its owner's to edit
tasks/<name>/teacher/              the model that was fine-tuned for the task
tasks/<name>/students/<version>/   student.json, student.safetensors, report.json, report.html
tasks/<name>/current               the promoted version
tasks/<name>/history.jsonl         who promoted or refused what, when and why
tasks/<name>/review.jsonl          boundary rows for a person
tasks/<name>/labels.jsonl          what people said about them
teachers/<fingerprint>/            cached scores and [CLS] vectors
jobs/<id>/                         part files, errors.jsonl
valkey/                            the embedded server's append-only file
"""

import datetime
import functools
import getpass
import json
import re
from pathlib import Path
from typing import Any

from pingti import files
from pingti.errors import ArtifactError, ConflictError, DefinitionError, NotFoundError
from replacement import definition


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
        if not definition.NAME.fullmatch(name):
            raise DefinitionError(f"task {name!r}: not a name; allowed are a-z, 0-9 and _, a letter first")
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
        """A number that no student has yet, finished or not."""
        found = (path.name for path in (self.folder / "students").glob("*"))
        return 1 + max((int(name) for name in found if name.isdecimal()), default=0)

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

    def promote(self, version: int, *, who: str | None = None, why: str) -> None:
        """Make a version the one that jobs get from now on.

        The history is written before the pointer moves: a crash between the two leaves a line too many,
        never a promotion that nobody can explain.

        Raises:
            NotFoundError: there is no such version.
        """
        self._promote("promoted", version, who=who, why=why)

    def _promote(self, event: str, version: int, *, who: str | None, why: str) -> None:
        self.student_folder(version)
        self.record(event, version, who=who, why=why, before=self.current())
        files.write_bytes(self.folder / "current", f"{version}\n".encode())

    def roll_back(self, *, who: str | None = None, why: str) -> int:
        """Promote again the version that was promoted before the present one, and give its number.

        Called again it goes back further, never forward to a version that was rolled back.

        Raises:
            ConflictError: there is none.
        """
        present, there = self.current(), self.versions()
        moves = [line for line in self.history() if line["event"] in ("promoted", "rolled back")]
        promoted: list[int] = []
        for line, after in zip(moves, [*(move["before"] for move in moves[1:]), present], strict=False):
            if line["version"] != after:
                continue  # a crash came before the pointer moved
            if line["event"] == "promoted":
                promoted.append(line["version"])
            else:
                while promoted and promoted[-1] != line["version"]:
                    promoted.pop()
        earlier = [version for version in promoted if version != present and version in there]
        if present is None or not earlier:
            raise ConflictError(f"task {self.name!r}: no version was promoted before the present one")
        self._promote("rolled back", earlier[-1], who=who, why=why)
        return earlier[-1]

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

        Raises:
            ArtifactError: a line of it is damaged.
        """
        path = self.folder / "history.jsonl"
        try:
            # Not splitlines(): a reason may hold U+2028 and the like.
            return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        except FileNotFoundError:
            return []
        except ValueError as error:
            raise ArtifactError(f"{path}: not readable as JSON lines: {error}") from error


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
