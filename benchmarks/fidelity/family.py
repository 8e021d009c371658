"""One run of ``pingti replace --family`` for all tasks of a data set that answer yes or no."""

import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.fidelity import loops, methods
from benchmarks.fidelity.data import Part
from benchmarks.fidelity.loops import Classifier, Effort
from pingti.workspace.families import members_of
from pingti.workspace.registry import Workspace
from replacement.family.loop import replace_family
from textcnn import Student, score_many

Row = dict[str, Any]


def run(part: Part, seed: int, workspace: Path, effort: Effort) -> list[tuple[Row, Row]]:
    """A row of the results, and what else there is to say about it, for each task of the family.

    Each row has the teacher rows and the seconds of the whole run: what the teacher answers serves all tasks.
    """
    started = time.monotonic()
    home = Workspace(workspace)
    budget, gate_rows = loops.rows_of(part, effort.share)
    family = f"{part.name}_{seed}_{round(1000 * effort.share)}"
    tasks = {
        f"{part.name}_{task.slug}_family_{seed}_{round(1000 * effort.share)}": task
        for task in part.tasks
        if task.labels
    }
    for name, task in tasks.items():
        text = loops.definition(
            part, task, f"{name}.jsonl", gate_rows, effort.rounds, effort.epochs, budget=budget, family=family
        )
        loops.added(home, name, text, part, task, effort.share)
    entries = members_of(home, family)
    outcomes = replace_family(entries, seed=seed)
    folders = {entry.name: entry.student_folder(outcomes[entry.name].version) for entry in entries}
    students = {name: Student.load(folder) for name, folder in folders.items()}
    scores = score_many(list(students.values()), pa.array(part.holdout, pa.large_string()))
    measured = []
    for (name, student), own in zip(students.items(), scores, strict=True):
        report = outcomes[name].report
        classifier = Classifier(
            scores=own,
            threshold=student.metadata["thresholds"]["default"],
            asked=report["teacher"]["rows_asked"],
            rounds=loops.rounds_of(report),
        )
        measured.append(
            methods.measured(part, tasks[name], classifier, method="family", share=effort.share, seed=seed)
        )
    for folder in folders.values():
        (folder / "student.safetensors").unlink()  # the reports stay, to be looked at
    seconds = round(time.monotonic() - started, 1)
    return [(row, {**more, "seconds": seconds}) for row, more in measured]
