"""How often a version decides as its teacher, on rows of jobs.

As on the holdout, rows count that a model was asked about (no rule decided them, and what the task depends on
held), at the operating point "default".
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import pyarrow as pa

from pingti.corpus.rules import matches
from pingti.inference.classifier import Classifier, Second
from pingti.inference.pins import Choice, Pin, pin
from pingti.workspace.registry import TaskEntry
from textcnn import Student


@dataclass(frozen=True, kw_only=True, eq=False)
class DriftMeter:
    """Counts how often a version and its teacher agree."""

    pin: Pin
    """The version's; where no teacher can be had, nothing is counted."""
    classifier: Classifier
    """The version, and the tasks that it depends on."""
    negative: list[str]
    """Patterns (RE2) of the version's rules: such a text is of the first class, no model asked."""

    @classmethod
    def load(cls, entry: TaskEntry, version: int) -> Self:
        """Load a version.

        Args:
            entry: the task.
            version: the version's number.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: the version cannot be asked as it is.
        """
        pins = pin(entry.workspace, [Choice(task=entry.name, version=version)])
        own = next(each for each in pins if each.task == entry.name)
        metadata = Student.read_metadata(entry.student_folder(version))
        return cls(
            pin=dataclasses.replace(own, on_no_second="fail"),
            classifier=Classifier.load(entry.workspace, pins),
            negative=metadata.get("rules", {}).get("negative", []),
        )

    def count(self, texts: list[str], teacher: Second) -> tuple[int, int]:
        """Ask student and teacher about some texts.

        Args:
            texts: n texts.
            teacher: is asked.

        Returns:
            How many of them a model was asked about, and how many of those are decided as the teacher
            decides: by the student, or with a cascade by both.

        Raises:
            UnavailableError: the teacher cannot be had.
        """
        given = pa.array(texts, pa.large_string())
        rows = pa.record_batch({"id": pa.nulls(len(texts), pa.string()), "text": given})
        decided = self.classifier.classify(rows)
        labels = decided.column(self.pin.task).to_pylist()
        by = (
            f"{self.pin.task}_by"  # where a teacher is the second, it answers what the student is not sure of
        )
        decided_by = decided.column(by).to_pylist() if by in decided.schema.names else [None] * len(texts)
        ruled = matches(given, self.negative)
        asked = [row for row, label in enumerate(labels) if label is not None and not ruled[row]]
        if not asked:
            return 0, 0
        answers = dict(zip(asked, teacher(self.pin, [texts[row] for row in asked]), strict=True))
        answered = [row for row in asked if answers[row] is not None]
        return len(answered), sum(
            answers[row] == labels[row] or decided_by[row] == "unsure" for row in answered
        )
