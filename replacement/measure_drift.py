"""Ask a task's teacher about rows that its student has decided: ``python -m replacement.measure_drift``.

A process of its own, since it needs torch, and of the lowest priority. It reads JSON lines
``{"texts": [...]}`` and answers each with ``{"rows", "agreed"}``; a last line ``{"error"}`` says why it could
not. As on the holdout, rows count that a model was asked about (no rule decided them, and what the task
depends on held), at the operating point "default".
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pingti.corpus.rules import matches
from pingti.errors import ConflictError, PingtiError
from pingti.extras import install_hint
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.training.teacher_labels import TeacherLabels, load_teacher_of_version
from textcnn import Student


@dataclass(frozen=True, kw_only=True, eq=False)
class DriftMeter:
    """Counts how often a version and its teacher agree."""

    task: str
    classifier: Classifier
    """The version, and the tasks that it depends on."""
    negative: list[str]
    """Patterns (RE2) of the version's rules: such a text is of the first class, no model asked."""
    teacher: TeacherLabels

    def count(self, texts: list[str]) -> tuple[int, int]:
        """Ask student and teacher about some texts.

        Args:
            texts: n texts.

        Returns:
            How many of them a model was asked about, and how many of those are decided as the teacher
            decides: by the student, or with a cascade by both.
        """
        given = pa.array(texts, pa.large_string())
        rows = pa.record_batch({"id": pa.nulls(len(texts), pa.string()), "text": given})
        decided_rows = self.classifier.classify(rows)
        labels: list[str | None] = decided_rows.column(self.task).to_pylist()
        ruled = matches(given, self.negative)
        asked = [row for row, label in enumerate(labels) if label is not None and not ruled[row]]
        if not asked:
            return 0, 0
        answers = self.teacher.ask([texts[row] for row in asked], "teacher: rows of jobs")
        asked = [row for row, answered in zip(asked, answers.answered.tolist(), strict=True) if answered]
        decided = answers.take(answers.answered).decided
        classes = np.array(self.teacher.classes, dtype=object)
        same = classes[decided] == np.array([labels[row] for row in asked], dtype=object)
        if f"{self.task}_by" in decided_rows.schema.names:  # the teacher itself answers there
            unsure = decided_rows.column(f"{self.task}_by").to_pylist()
            same |= np.array([unsure[row] == "unsure" for row in asked], dtype=np.bool_)
        return len(asked), int(same.sum())


def load_drift_meter(entry: TaskEntry, version: int) -> DriftMeter:
    """Load a version and the teacher that it was made with.

    Args:
        entry: the task.
        version: the version's number.

    Raises:
        NotFoundError: there is no such version, or it has no report.
        ConflictError: the teacher is another by now, or the version cannot be asked as it is.
        UnavailableError: the teacher cannot be had.
    """
    pins = pin(entry.workspace, [Choice(task=entry.name, version=version)])
    metadata = Student.read_metadata(entry.student_folder(version))
    teacher = load_teacher_of_version(entry, version, of_jobs=True)
    if teacher.stored_alone:
        raise ConflictError(
            f"task {entry.name!r}: its teacher is stored answers alone, which say nothing of the rows of "
            "a job; watch.sample = 0 ends the attempts to measure drift"
        )
    return DriftMeter(
        task=entry.name,
        classifier=Classifier.load(entry.workspace, pins),
        negative=metadata.get("rules", {}).get("negative", []),
        teacher=teacher,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer the lines of standard input, until it ends.

    Args:
        arguments: of the command line; those of the process where absent.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(
        prog="python -m replacement.measure_drift", description="Student and teacher."
    )
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--version", type=int, required=True)
    options = parser.parse_args(arguments)
    os.nice(19)  # the highest value that there is

    def tell(answer: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    try:
        meter = load_drift_meter(Workspace(options.home).task(options.task), options.version)
        for line in sys.stdin:
            rows, agreed = meter.count(json.loads(line)["texts"])
            tell({"rows": rows, "agreed": agreed})
    except PingtiError as error:
        tell({"error": str(error)})
    except ModuleNotFoundError as error:
        tell({"error": f"{error.name} is missing: {install_hint('teacher')}"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
