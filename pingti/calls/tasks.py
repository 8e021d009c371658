"""What the client asks of label tasks: definitions, versions, labels, retrainings."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from pingti.calls.asking import Asking, given, task_path
from pingti.calls.labels import in_requests, label_records
from pingti.errors import InputError
from pingti.rest_models import RunListOut, RunOut, TaskListOut, TaskOut
from pingti.task_models import (
    DefinitionOut,
    EventOut,
    HistoryOut,
    LabelledOut,
    ReviewOut,
    ReviewRowOut,
    VersionListOut,
    VersionOut,
)


class TaskCalls(Asking):
    """The part of a client that is about label tasks."""

    def tasks(self) -> tuple[TaskOut, ...]:
        """All label tasks of the service, by name."""
        return self._read(TaskListOut, self._ask("GET", "/v1/tasks")).items

    def task(self, name: str) -> TaskOut:
        """One label task.

        Raises:
            NotFoundError: there is none of that name.
        """
        return self._read(TaskOut, self._ask("GET", task_path(name)))

    # -- definitions

    def definition(self, task: str) -> DefinitionOut:
        """A task's definition: the file (``toml``), and what it says with all defaults (``definition``).

        Raises:
            NotFoundError: there is no such task.
        """
        return self._read(DefinitionOut, self._ask("GET", f"{task_path(task)}/definition"))

    def define(self, task: str, definition: str | Path | Mapping[str, Any]) -> TaskOut:
        """Make a task, or change its definition; an admin's work.

        Args:
            task: its name.
            definition: TOML, the path of a file of it, or the same as a mapping. Paths in it are the
                server's, in folders that its settings allow.

        Raises:
            InputError: all that is wrong with it, each with its key in ``faults``.
        """
        return self._read(TaskOut, self._put(task, definition, {}))

    def check_definition(self, task: str, definition: str | Path | Mapping[str, Any]) -> None:
        """Look at all that a definition names, as ``define`` does, and store nothing.

        Args:
            task: its name.
            definition: as for ``define``.

        Raises:
            InputError: all that is wrong with it, each with its key in ``faults``.
        """
        self._put(task, definition, {"validate_only": "true"})

    def _put(
        self, task: str, definition: str | Path | Mapping[str, Any], query: Mapping[str, str]
    ) -> httpx.Response:
        if isinstance(definition, Mapping):
            text, kind = json.dumps(dict(definition), default=str), "application/json"  # times are strings
        else:
            text, kind = _toml_of(definition), "application/toml"
        return self._ask(
            "PUT",
            f"{task_path(task)}/definition",
            content=text.encode(),
            params=query,
            headers={"Content-Type": kind},
        )

    def delete_task(self, name: str) -> None:
        """Remove a task with its students, history and labels, for good; an admin's work.

        Raises:
            NotFoundError: there is none of that name.
            ConflictError: jobs, a retraining or other tasks need it; they are named.
        """
        self._ask("DELETE", task_path(name))

    # -- versions

    def versions(self, task: str) -> tuple[VersionOut, ...]:
        """A task's students with their figures, newest first.

        Raises:
            NotFoundError: there is no such task.
        """
        return self._read(VersionListOut, self._ask("GET", f"{task_path(task)}/versions")).items

    def report(self, task: str, version: int | None = None) -> dict[str, Any]:
        """What report.json of a version says.

        Args:
            task: its name.
            version: the promoted one where absent, else the newest.

        Raises:
            NotFoundError: there is no such task or version, or none yet.
        """
        if version is None:
            known = self.task(task)
            version = known.current or max(known.versions, default=1)
        document: dict[str, Any] = self._ask("GET", f"{task_path(task)}/versions/{version}/report").json()
        return document

    def history(self, task: str) -> tuple[EventOut, ...]:
        """What was promoted, refused, rolled back or defined, by whom and why; newest first.

        Raises:
            NotFoundError: there is no such task.
        """
        return self._read(HistoryOut, self._ask("GET", f"{task_path(task)}/history")).items

    def promote(
        self, task: str, version: int | None = None, *, why: str | None = None, force: bool = False
    ) -> TaskOut:
        """Make a version the one that jobs get from now on.

        Args:
            task: its name.
            version: the newest where absent.
            why: kept in the history.
            force: even if it fell short of its gate.

        Raises:
            NotFoundError: there is no such task or version.
            GateError: it fell short of its gate.
        """
        body = given(version=version, why=why) | {"force": force}
        return self._read(TaskOut, self._ask("POST", f"{task_path(task)}/promote", json=body))

    def roll_back(
        self, task: str, version: int | None = None, *, why: str | None = None, force: bool = False
    ) -> TaskOut:
        """Promote an earlier version again.

        Args:
            task: its name.
            version: the one promoted before the present one where absent.
            why: kept in the history.
            force: even if it was never promoted and fell short of its gate.

        Raises:
            NotFoundError: there is no such task or version.
            ConflictError: none was promoted before.
        """
        body = given(version=version, why=why) | {"force": force}
        return self._read(TaskOut, self._ask("POST", f"{task_path(task)}/rollback", json=body))

    # -- labels by people

    def review(self, task: str) -> Iterator[ReviewRowOut]:
        """Rows that a person should label, the least clear first; those that have a label are left out.

        Raises:
            NotFoundError: there is no such task.
        """
        seen: set[tuple[str | None, str]] = set()
        cursor: int | None = 0
        while cursor is not None:
            query = {"cursor": cursor, "limit": 100}
            page = self._read(ReviewOut, self._ask("GET", f"{task_path(task)}/review", params=query))
            for row in page.items:
                if (row.id, row.text) not in seen:
                    seen.add((row.id, row.text))
                    yield row
            cursor = page.next_cursor

    def label(
        self, task: str, labels: Any, *, text: str = "text", id: str | None = None, label: str = "label"
    ) -> LabelledOut:
        """Give people's labels, which outrank the teacher's from the next training on.

        Args:
            task: its name.
            labels: a frame of pandas, polars or datasets, an Arrow table; or mappings with the keys "label"
                and "text" or "id".
            text: of a frame, the column of the texts.
            id: of a frame, the column of the corpus's ids, in the place of the texts.
            label: of a frame, the column of the labels.

        Returns:
            How many are new, and what could not be used.

        Raises:
            InputError: a label that is no class, or a row without text and id; then none is sent.
            NotFoundError: there is no such task.
        """
        records = label_records(labels, self.task(task).classes, text=text, id=id, label=label)
        added, unchanged = 0, 0
        bad: list[str] = []
        for part in in_requests(records):
            answer = self._ask("POST", f"{task_path(task)}/labels", json={"labels": part})
            done = self._read(LabelledOut, answer)
            added, unchanged = added + done.added, unchanged + done.unchanged
            bad += done.bad
        return LabelledOut(added=added, unchanged=unchanged, bad=tuple(bad))

    # -- retrainings

    def retrain(self, task: str) -> RunOut:
        """Ask for a retraining at once; one that waits already is answered as it is.

        Raises:
            NotFoundError: there is no such task.
        """
        return self._read(RunOut, self._ask("POST", f"{task_path(task)}/retrain"))

    def runs(self, task: str) -> tuple[RunOut, ...]:
        """The last hundred retrainings of a task, newest first.

        Raises:
            NotFoundError: there is no such task.
        """
        return self._read(RunListOut, self._ask("GET", f"{task_path(task)}/runs")).items

    def cancel_run(self, id: str) -> RunOut:
        """Cancel a retraining; its process is ended at once.

        Args:
            id: of the retraining, "TASK/NAME".

        Raises:
            InputError: no id is written so.
            NotFoundError: there is none of that id.
            ConflictError: it has ended.
        """
        task, _, name = id.partition("/")
        if not task or not name:
            raise InputError(f"{id!r} is no retraining's id, TASK/NAME; pingti retrain list TASK names them")
        path = f"{task_path(task)}/runs/{quote(name, safe='', errors='replace')}/cancel"
        return self._read(RunOut, self._ask("POST", path))


def _toml_of(definition: str | Path) -> str:
    """The text of a definition; of a path, what the file holds."""
    if isinstance(definition, str) and ("\n" in definition or "=" in definition):
        return definition
    try:
        return Path(definition).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{definition}: not readable: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{definition}: not UTF-8 at byte {error.start}") from error
