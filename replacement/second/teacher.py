"""The teacher as the second of a cascade: it answers for the texts of which a student is not sure."""

import dataclasses
import threading
from dataclasses import dataclass
from pathlib import Path

from pingti.annotation import labels
from pingti.errors import ConflictError
from pingti.inference.pins import Pin
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.progress import Progress, quiet
from replacement.training.teacher_labels import TeacherLabels, load_teacher_of_version
from replacement.training.teacher_model import teacher_owner

_Stamps = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Loaded:
    teacher: TeacherLabels
    stamps: _Stamps
    """Of the files that say how it is asked and read."""


class TeacherSecond:
    """Asks the teachers that versions were made with; each is loaded at its first text. Safe for threads.

    Versions of one model share it. What a teacher was loaded by is looked at again at every call: a
    definition that was changed since, and labels that people gave, hold from the next text on.

    Args:
        workspace: where the tasks are.
        progress: told how far asking is.
    """

    def __init__(self, workspace: Workspace, progress: Progress = quiet) -> None:
        self._workspace, self._progress = workspace, progress
        self._teachers: dict[tuple[str, int], _Loaded] = {}
        self._lock = threading.Lock()

    def __call__(self, pin: Pin, texts: list[str]) -> list[str | None]:
        """The classes of n texts, by the teacher of a pin's version; None where it gives no answer.

        Raises:
            ConflictError: the teacher is another by now, or it cannot be asked about new texts.
            UnavailableError: the teacher cannot be had.
        """
        with self._lock:  # one model at a time: it takes all cores that it may take
            teacher = self._teacher(pin)
            answers = teacher.ask(texts, "teacher: rows of which the student is not sure")
        answered = answers.answered.tolist()
        return [
            teacher.classes[number] if known else None
            for number, known in zip(answers.decided.tolist(), answered, strict=True)
        ]

    def load(self, pin: Pin) -> None:
        """Load the teacher of a pin's version now; errors as of a call."""
        with self._lock:
            self._teacher(pin)

    def begin(self) -> None:
        """Begin what counts as a run of its own: a budget of tokens or money is whole again.

        Models, which cost seconds to load, stay; endpoints are opened anew.
        """
        with self._lock:
            self._teachers = {
                key: loaded for key, loaded in self._teachers.items() if loaded.teacher.opened.asked is None
            }

    def _teacher(self, pin: Pin) -> TeacherLabels:
        key, entry = (pin.task, pin.version), self._workspace.task(pin.task)
        stamps = _stamps(entry, pin.version)
        if key not in self._teachers or self._teachers[key].stamps != stamps:
            self._teachers[key] = _Loaded(teacher=self._load(entry, pin.version), stamps=stamps)
        return self._teachers[key].teacher

    def _load(self, entry: TaskEntry, version: int) -> TeacherLabels:
        teacher = load_teacher_of_version(entry, version, progress=self._progress, of_jobs=True)
        if teacher.stored_alone:
            raise ConflictError(
                f"task {entry.name!r}: its teacher is stored answers alone, which say nothing of new texts: "
                "nobody can be asked about rows of jobs, neither by its cascade nor about drift, whose "
                "attempts watch.sample = 0 ends"
            )
        twin = next(
            (loaded.teacher for loaded in self._teachers.values() if _is_one_model(loaded.teacher, teacher)),
            None,
        )
        return teacher if twin is None else dataclasses.replace(teacher, opened=twin.opened)


def _is_one_model(one: TeacherLabels, other: TeacherLabels) -> bool:
    """Whether two teachers are the same model, read in the same way, without stored answers before it."""
    stored = one.opened.stored, other.opened.stored
    return one.description is not None and one.description == other.description and stored == (None, None)


def _stamps(entry: TaskEntry, version: int) -> _Stamps:
    """What tells whether a teacher would be loaded otherwise by now."""
    return tuple(
        _stamp(path)
        for path in (
            entry.path,
            teacher_owner(entry).path,
            entry.folder / labels.FILE,
            entry.student_folder(version) / "report.json",
        )
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Tells a file from a later one; None where there is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
