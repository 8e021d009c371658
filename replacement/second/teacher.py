"""The teacher as the second of a cascade: it answers for the texts of which a student is not sure."""

import threading

from pingti.errors import ConflictError
from pingti.inference.pins import Pin
from pingti.workspace.registry import Workspace
from replacement.progress import Progress, quiet
from replacement.training.teacher_labels import TeacherLabels, load_teacher_of_version


class TeacherSecond:
    """Asks the teachers that versions were made with; each is loaded at its first text. Safe for threads.

    Args:
        workspace: where the tasks are.
        progress: told how far asking is.
    """

    def __init__(self, workspace: Workspace, progress: Progress = quiet) -> None:
        self._workspace, self._progress = workspace, progress
        self._teachers: dict[tuple[str, int], TeacherLabels] = {}
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
        decided = answers.probabilities.argmax(axis=1).tolist()
        return [
            teacher.classes[number] if known else None
            for number, known in zip(decided, answered, strict=True)
        ]

    def load(self, pin: Pin) -> None:
        """Load the teacher of a pin's version now; errors as of a call."""
        with self._lock:
            self._teacher(pin)

    def _teacher(self, pin: Pin) -> TeacherLabels:
        key = pin.task, pin.version
        if key not in self._teachers:
            entry = self._workspace.task(pin.task)
            teacher = load_teacher_of_version(entry, pin.version, progress=self._progress, of_jobs=True)
            if teacher.stored_alone:
                raise ConflictError(
                    f"task {pin.task!r}: its teacher is stored answers alone, which say nothing of new "
                    "texts: its cascade has nobody to ask"
                )
            self._teachers[key] = teacher
        return self._teachers[key]
