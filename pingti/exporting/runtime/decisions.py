"""Decisions without Arrow and without a workspace, as ``pingti.inference.classifier`` makes them.

Rules are regular expressions of RE2: where a task has some, pyarrow goes along, and they match as they do
everywhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pingti.exporting.runtime import manifest
from textcnn.plain.student import PlainStudent

_SCORE_DIGITS = 6  # as the REST service answers


@dataclass(frozen=True, kw_only=True)
class Task:
    """A label task at one operating point."""

    pin: dict[str, Any]
    """The fields of ``pingti.inference.pins.Pin``."""
    student: PlainStudent

    @property
    def name(self) -> str:
        """The name of its decisions."""
        return str(self.pin["column"] or self.pin["task"])

    def rules(self, kind: str) -> list[str]:
        """The patterns of a kind, "drop" or "negative"."""
        return list(self.student.metadata.get("rules", {}).get(kind, ()))

    def choose(self, probabilities: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Numbers of the classes of n texts and their scores, from float32 (n, classes)."""
        if self.pin["threshold"] is not None:
            scores = probabilities[:, 1]
            return (scores >= self.pin["threshold"]).astype(np.int64), scores
        return probabilities.argmax(axis=1), probabilities.max(axis=1)


class Decisions:
    """The tasks of a folder, loaded.

    Args:
        tasks: in an order in which they can be decided.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load what ``pingti export`` put into a folder.

        Raises:
            ArtifactError: a file of it is missing or damaged.
        """
        students: dict[Path, PlainStudent] = {}
        tasks = []
        for pin in manifest.read(folder)["pins"]:
            where = manifest.student_folder(folder, pin["task"], pin["version"])
            if where not in students:
                students[where] = PlainStudent.load(where)
            tasks.append(Task(pin=pin, student=students[where]))
        if any(task.rules("drop") or task.rules("negative") for task in tasks):
            import pyarrow.compute  # noqa: F401 - now, not when the first text waits
        return cls(tasks)

    def described(self) -> list[dict[str, Any]]:
        """The tasks as the REST service describes those that answered."""
        return [{**task.pin, "column": task.name} for task in self.tasks]

    def decide(self, texts: Sequence[str]) -> list[dict[str, dict[str, Any]]]:
        """Decide on n texts.

        Returns:
            For each text by the name of a task its label and score; both None where the task does not apply.
        """
        scored: dict[int, NDArray[np.float32]] = {}
        decided: dict[str, NDArray[np.int64]] = {}
        results: list[dict[str, dict[str, Any]]] = [{} for _ in texts]
        for task in self.tasks:
            numbers, scores = self._decide(task, texts, scored, decided)
            decided[task.name] = numbers
            if task.pin["hidden"]:
                continue
            classes = task.student.classes
            for result, number, score in zip(results, numbers.tolist(), scores.tolist(), strict=True):
                there = number >= 0
                result[task.name] = {
                    "label": classes[number] if there else None,
                    "score": round(score, _SCORE_DIGITS) if there else None,
                }
        return results

    def _decide(
        self,
        task: Task,
        texts: Sequence[str],
        scored: dict[int, NDArray[np.float32]],
        decided: dict[str, NDArray[np.int64]],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Number of each text's class, -1 where the task does not apply, and its score."""
        applies = ~_matches(texts, task.rules("drop"))
        for dependency in task.student.metadata.get("depends_on", ()):
            name, _, label = dependency.partition("=")
            parent = self._deciding(name)
            applies &= decided[parent.name] == parent.student.classes.index(label)
        negative = _matches(texts, task.rules("negative"))
        numbers = np.where(applies & negative, 0, -1)
        scores = np.full(len(texts), 0.0 if task.pin["threshold"] is not None else 1.0, np.float32)
        rows = np.flatnonzero(applies & ~negative)
        probabilities = scored.get(id(task.student))
        if probabilities is None:  # two operating points of one student ask it once
            probabilities = np.full((len(texts), len(task.student.classes)), np.nan, np.float32)
            scored[id(task.student)] = probabilities
        fresh = rows[np.isnan(probabilities[rows, 0])]
        probabilities[fresh] = task.student.score([texts[row] for row in fresh])
        rows = rows[~np.isnan(probabilities[rows, 0])]
        numbers[rows], scores[rows] = task.choose(probabilities[rows])
        return numbers, scores

    def _deciding(self, name: str) -> Task:
        """By which operating point of a task those decide that depend on it."""
        own = [task for task in self.tasks if task.pin["task"] == name]
        return next((task for task in own if task.pin["scene"] == "default"), own[0])


def _matches(texts: Sequence[str], patterns: Sequence[str]) -> NDArray[np.bool_]:
    """Which of n texts one of the patterns matches, bool (n,)."""
    matched = np.zeros(len(texts), np.bool_)
    if patterns:
        import pyarrow as pa
        import pyarrow.compute as pc

        column = pa.array(texts, pa.large_string())
        for pattern in patterns:
            hit: Any = pc.match_substring_regex(column, pattern)
            matched |= hit.to_numpy(zero_copy_only=False)
    return matched
