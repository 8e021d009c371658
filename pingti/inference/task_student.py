"""The student of a label task as its jobs use it: rules, threshold and dependencies applied to texts."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pingti.corpus.rules import matches
from pingti.errors import NotFoundError
from pingti.frames.tables import rows_of
from pingti.frames.texts import text_array
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.students import AnyStudent
from pingti.workspace.definition import RulesSection
from pingti.workspace.registry import Workspace


def load(task: str, workspace: Workspace | Path | str | None = None) -> "TaskStudent":
    """Load the promoted student of a label task.

    Examples:
        >>> import pingti
        >>> student = pingti.load("sport")
        >>> student.classes
        ('no', 'yes')
        >>> student.predict(["the goal match team coach", "the bread garden", None]).tolist()
        ['yes', 'no', None]
        >>> student.predict("the goal match team coach").tolist()  # a plain string is one text
        ['yes']

    Args:
        task: "task", or "task@name" for an operating point of it, with "#version" behind either for another
            version than the promoted one.
        workspace: where it is; PINGTI_HOME if absent, else the folder "workspace".

    Returns:
        The student.

    Raises:
        NotFoundError: no such workspace, task or version.
        ConflictError: no version is promoted, or it has no such operating point.
        ArtifactError: a student is damaged.
    """
    if not isinstance(workspace, Workspace):
        workspace = Workspace.open(workspace)
    return TaskStudent(Classifier.of(workspace, [task]), workspace)


class TaskStudent:
    """A task's student with its rules, its threshold and the tasks that it depends on.

    Safe to use from several threads. ``classifier`` is what it decides by, whose last pin is the task's.
    """

    def __init__(self, classifier: Classifier, workspace: Workspace) -> None:
        self.classifier = classifier
        self._workspace = workspace

    @classmethod
    def of_version(cls, workspace: Workspace, task: str, version: int) -> Self:
        """Load a version of a task, promoted or not; errors as of ``load``."""
        return cls(Classifier.of(workspace, [f"{task}#{version}"]), workspace)

    def __repr__(self) -> str:
        pin = self.pin
        return f"<student of {pin.task!r}, version {pin.version}: {', '.join(self.classes)}>"

    @property
    def pin(self) -> Pin:
        """Task, version, operating point and threshold."""
        return next(pin for pin in self.classifier.pins if not pin.hidden)

    @property
    def student(self) -> AnyStudent:
        """The network behind it, which knows nothing of rules."""
        pins = self.classifier.pins
        return self.classifier.students[pins.index(self.pin)]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the columns of ``predict_proba``."""
        return self.student.classes

    def predict(self, texts: Any, *, text: str | None = None) -> NDArray[np.object_]:
        """Decide on n texts, as a job would.

        Args:
            texts: a string, a list, a Series, an Arrow array, ...; or a frame.
            text: of a frame, the column of the texts.

        Returns:
            object (n,): the class of each text; None where there is no text, where a rule drops it, or where
            it is not of the class of another task that this one depends on.

        Raises:
            InputError: texts that are no strings, or a frame without its column.
        """
        decided: NDArray[np.object_] = self._decided(_rows(texts, text)).to_numpy(zero_copy_only=False)
        return decided

    def sure(self, texts: Any, *, text: str | None = None) -> NDArray[np.object_]:
        """Whether the student is sure of its decisions on n texts; ``predict`` asks no teacher about them.

        A job, and ``pingti classify``, ask the teacher about the others, where the version has a cascade.
        Where a transformer of the version answers those, as of ``predict``, all decisions are sure.

        Args:
            texts: as of ``predict``.
            text: as of ``predict``.

        Returns:
            object (n,): True or False, None where ``predict`` has None. A version without a cascade is always
            sure.

        Raises:
            InputError: as of ``predict``.
        """
        rows = _rows(texts, text)
        decided = self.classifier.classify(rows)
        asked = decided.column(1).is_valid().to_pylist()
        name = f"{self.pin.name}_by"
        by = decided.column(name).to_pylist() if self.pin.second is not None else ["student"] * len(asked)
        sure = [who != "unsure" if known else None for who, known in zip(by, asked, strict=True)]
        return np.array(sure, dtype=object)

    def predict_proba(self, texts: Any, *, text: str | None = None) -> NDArray[np.float32]:
        """The class probabilities of n texts. ``predict`` decides by the threshold, not by the highest.

        Examples:
            >>> import pingti
            >>> frame = {"number": [7, 8], "post": ["the goal match team coach", None]}
            >>> probabilities = pingti.load("sport").predict_proba(frame, text="post")
            >>> (probabilities[:, 1] > 0.9).tolist(), probabilities[1].tolist()
            ([True, False], [nan, nan])

        Args:
            texts: as of ``predict``.
            text: as of ``predict``.

        Returns:
            The student's, also where a transformer of the version decides instead:
            float32 (n, classes), in the order of ``classes``; 1 for the first class where a rule says so, and
            NaN where ``predict`` has None.

        Raises:
            InputError: as of ``predict``.
        """
        rows = _rows(texts, text)
        student, values = self.student, rows.column("text")
        probabilities = student.score(values)
        rules = RulesSection.model_validate(student.metadata.get("rules", {}))
        probabilities[matches(values, rules.negative)] = np.eye(1, len(student.classes), dtype=np.float32)
        absent = self._decided(rows).is_null().to_numpy(zero_copy_only=False)
        probabilities[absent] = np.nan
        return probabilities

    def save_pretrained(self, folder: Path | str, *, name: str | None = None) -> None:
        """Write the network with a model card made from the version's report.

        Args:
            folder: made where it is not there.
            name: as of ``Student.save_pretrained``.

        Raises:
            ArtifactError: the report is damaged.
        """
        self.student.save_pretrained(folder, report=self._report(), name=name)

    def push_to_hub(self, name: str, *, private: bool = True, revision: str | None = None) -> str:
        """Put the network and its card on the Hugging Face hub; as ``Student.push_to_hub``.

        Args:
            name: a repository such as "team/sport"; made where it is not there.
            private: of a repository that is made, whether others do not see it.
            revision: the branch; main where absent.

        Returns:
            The commit's address.
        """
        return self.student.push_to_hub(name, report=self._report(), private=private, revision=revision)

    def _report(self) -> Mapping[str, Any] | None:
        """The report of the version; None where it has none."""
        pin = self.pin
        with contextlib.suppress(NotFoundError):
            return self._workspace.task(pin.task).report(pin.version)
        return None

    def _decided(self, rows: Any) -> Any:
        return self.classifier.classify(rows).column(1)


def _rows(texts: Any, text: str | None) -> Any:
    """Rows of texts; a frame's column must have been named."""
    return rows_of(texts, text=text) if text is not None else rows_of(text_array(texts))
