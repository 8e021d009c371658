"""The review file: rows on which the teacher itself is unsure, for a person to label."""

import json

import numpy as np
from numpy.typing import NDArray

from pingti import files
from replacement.registry import TaskEntry


def write(
    entry: TaskEntry,
    version: int,
    ids: list[str | None],
    texts: list[str],
    probabilities: NDArray[np.float32],
) -> int:
    """Write n boundary rows into the task's ``review.jsonl``, the least clear first; how many they are.

    ``probabilities`` (n, classes) are the teacher's.
    """
    ordered = np.sort(probabilities, axis=1)
    leads = ordered[:, -1] - ordered[:, -2]
    lines = []
    for row in np.argsort(leads, kind="stable").tolist():
        scores = zip(entry.definition.classes, probabilities[row].tolist(), strict=True)
        line = {
            "id": ids[row],
            "text": texts[row],
            "task": entry.name,
            "version": version,
            "teacher": {name: round(score, 4) for name, score in scores},
            "reason": f"the teacher's lead of {leads[row]:.3f} is below {entry.definition.teacher.margin}",
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    files.write_bytes(entry.folder / "review.jsonl", "".join(lines).encode())
    return len(lines)
