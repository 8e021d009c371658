"""Ask a task's teacher about rows that its student has decided: ``python -m replacement.measure_drift``.

A process of its own, since it needs torch, and of the lowest priority. It reads JSON lines
``{"texts": [...]}`` and answers each with ``{"rows", "agreed"}``; a last line ``{"error"}`` says why it could
not. As on the holdout, rows count that a model was asked about (no rule decided them, and what the task
depends on held), at the threshold of the scene "default".
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pingti.corpus.rules import matches
from pingti.errors import PingtiError
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Choice, pin
from pingti.workspace.registry import TaskEntry, Workspace
from replacement.training.teacher_labels import Gold
from textcnn import Student


class Agreeing:
    """Counts how often a version and its teacher agree. Errors as in ``Gold`` and ``pin``."""

    def __init__(self, entry: TaskEntry, version: int) -> None:
        self._entry = entry
        pins = pin(entry.workspace, [Choice(task=entry.name, version=version)])
        self._classifier = Classifier.load(entry.workspace, pins)
        metadata = Student.read_metadata(entry.student_folder(version))
        self._negative: list[str] = metadata.get("rules", {}).get("negative", [])
        self._gold = Gold.of_version(entry, version)

    def count(self, texts: list[str]) -> tuple[int, int]:
        """Of n ``texts``, those that a model was asked about, and those decided as the teacher does."""
        given = pa.array(texts, pa.large_string())
        rows = pa.record_batch({"id": pa.nulls(len(texts), pa.string()), "text": given})
        labels: list[str | None] = self._classifier.classify(rows).column(self._entry.name).to_pylist()
        ruled = matches(given, self._negative)
        asked = [row for row, label in enumerate(labels) if label is not None and not ruled[row]]
        if not asked:
            return 0, 0
        decided = self._gold.ask([texts[row] for row in asked], "teacher: rows of jobs").decided
        classes = np.array(self._gold.classes, dtype=object)
        same = classes[decided] == np.array([labels[row] for row in asked], dtype=object)
        return len(asked), int(same.sum())


def main(arguments: Sequence[str] | None = None) -> int:
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
        agreeing = Agreeing(Workspace(options.home).task(options.task), options.version)
        for line in sys.stdin:
            rows, agreed = agreeing.count(json.loads(line)["texts"])
            tell({"rows": rows, "agreed": agreed})
    except PingtiError as error:
        tell({"error": str(error)})
    except ModuleNotFoundError as error:
        tell({"error": f"{error.name} is missing: install 'pingti[teacher]'"})
    return 0


if __name__ == "__main__":
    sys.exit(main())
