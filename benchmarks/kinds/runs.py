"""One run of the product's loop, and all kinds of students that it trains on the same rows."""

import copy
import dataclasses
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.fidelity import data, loops
from benchmarks.fidelity.data import Part, Task
from benchmarks.fidelity.loops import Effort
from benchmarks.kinds.searched import WISHES, Found, searched
from pingti.workspace.registry import Workspace
from replacement.evaluation.metrics import decide, measure
from replacement.evaluation.speed import Speeds, measure_speeds
from replacement.kinds import ladder, training
from replacement.kinds.ladder import Candidate
from replacement.training import loop

KINDS: Final = {
    "default": "the rounds' TextCNN",
    "cascade": "the rounds' TextCNN, and the teacher where it is not sure",
    "transformer": "layers of the teacher",
    "ngram": "one table of n-grams",
    "search_cheap": "the cheapest architecture that the search found",
    "search_good": "the best architecture that it found",
    "similarity": "pooled features, trained to a sentence teacher's vectors",
}
HERE: Final = ("default", "cascade", "transformer", "ngram", *WISHES)
"""Those that the loop trains in one run, and that a search makes of its rows."""
AGREEMENT: Final = 0.97
"""That a cascade is asked for."""
_TIMED: Final = 5000
Row = dict[str, Any]


def run(
    part: Part, task: Task, seed: int, kinds: Sequence[str], workspace: Path, effort: Effort
) -> tuple[list[tuple[Row, Row]], dict[str, str]]:
    """Run the loop once for a task, and measure what it trained on the bench's holdout.

    Args:
        part: has texts and teacher.
        task: of it.
        seed: of the loop.
        kinds: of ``HERE``; the default is measured in any case, as the others are held beside it.
        workspace: where the loop works.
        effort: what a run may take.

    Returns:
        For each kind a row of the results and what else there is to say about it, and why others are missing.
    """
    started = time.monotonic()
    candidates, one_layer, by_search, report = _trained(part, task, seed, kinds, workspace, effort)
    texts = pa.array(part.holdout, pa.large_string())
    speeds = measure_speeds(
        [own.student for own in (*candidates, *by_search, *one_layer)],
        str(part.model),
        texts.slice(0, _TIMED),
        max_length=data.MAX_LENGTH,
    )
    scores = [own.student.score(texts) for own in candidates]
    reference, binary = part.reference(task), bool(task.labels)
    measured = []
    for own, scored, rate in zip(candidates, scores, speeds.students, strict=False):
        kind = "default" if own.student.kind == "textcnn" else own.student.kind
        decided = decide(scored, own.result.threshold if binary else None)
        cost = own.student.cost(1.0)
        more = {"bytes": cost.bytes, "teacher_rows": report["teacher"]["rows_asked"]}
        if kind == "transformer":
            more["one_layer"] = _one_layer(part, task, one_layer[0], texts, speeds.students[-1])
        measured.append(_row(part, task, seed, kind, decided, rate, speeds, more=more))
    for shaped, rate in zip(by_search, speeds.students[len(candidates) :], strict=False):
        decided = decide(shaped.student.score(texts), shaped.threshold)
        more = {"bytes": shaped.student.cost(1.0).bytes, **shaped.more}
        measured.append(_row(part, task, seed, shaped.kind, decided, rate, speeds, more=more))
    if "cascade" in kinds:
        band = report["cascade"]
        unsure = uncertain(scores[0], band["low"], band["high"])
        decided = decide(scores[0], candidates[0].result.threshold if binary else None)
        share = float(unsure.mean())
        rate = 1 / (1 / speeds.students[0] + share / (speeds.teacher or np.inf))
        decided = np.where(unsure, reference, decided)
        more = {"low": band["low"], "high": band["high"], "wanted": AGREEMENT}
        measured.append(_row(part, task, seed, "cascade", decided, rate, speeds, share=share, more=more))
    seconds = round(time.monotonic() - started, 1)
    missing = {rung["kind"]: rung["note"] for rung in report["ladder"] if rung.get("f1") is None}
    return [(row, {**more, "seconds": seconds}) for row, more in measured], missing


def uncertain(scores: NDArray[np.float32], low: float, high: float) -> NDArray[np.bool_]:
    """Which of n rows lie in a cascade's band.

    Args:
        scores: float32 (n, classes).
        low: where the band begins: a score of the second of two classes, or of more classes a margin.
        high: where it ends; it is not in it.
    """
    if scores.shape[1] == 2:
        sure = scores[:, 1]
    else:
        highest = np.sort(scores, axis=1)
        sure = highest[:, -1] - highest[:, -2]
    return (sure >= low) & (sure < high)


def _trained(
    part: Part, task: Task, seed: int, kinds: Sequence[str], workspace: Path, effort: Effort
) -> tuple[list[Candidate], list[Candidate], list[Found], Row]:
    """All students, the rounds' first; a transformer of one layer; those of a search; and the report."""
    home = Workspace(workspace)
    budget, gate_rows = loops.rows_of(part, effort.share)
    name = f"{part.name}_{task.slug}_kinds_{seed}"
    text = loops.definition(
        part,
        task,
        f"{name}.jsonl",
        gate_rows,
        effort.rounds,
        effort.epochs,
        budget=budget,
        kind="auto",
        cascade=AGREEMENT if "cascade" in kinds else None,
    )
    entry = loops.added(home, name, text, part, task, effort.share)
    candidates: list[Candidate] = []
    one_layer: list[Candidate] = []

    def keep_the_first(_: Any, students: Sequence[Candidate], __: Any) -> int:
        candidates.extend(students)
        return 0

    wanted = tuple(kind for kind in ladder.KINDS if kind in kinds)
    with (
        mock.patch.object(ladder, "KINDS", wanted),
        loops.exchanged(ladder, "choose", keep_the_first),
        _also_of_one_layer(one_layer),
    ):
        outcome = loop.replace(entry, seed=seed)
    by_search = searched(entry, seed) if set(WISHES) & set(kinds) else []
    for file in entry.student_folder(outcome.version).glob("student.*"):
        file.unlink()  # the reports stay, to be looked at
    return candidates, one_layer, [own for own in by_search if own.kind in kinds], outcome.report


def _also_of_one_layer(trained: list[Candidate]) -> AbstractContextManager[Any]:
    """Have the ladder train a transformer of one layer beside each, on the same rows.

    Args:
        trained: it is put there, and stands on no rung.
    """
    train = training.TRAINERS["transformer"]

    def train_both(setup: Any, asked: Any, rounds: Any) -> Any:
        shallow = copy.copy(setup.entry)
        definition, section = setup.definition, setup.definition.student
        one = section.model_copy(update={"transformer": section.transformer.model_copy(update={"layers": 1})})
        shallow.definition = definition.model_copy(update={"student": one})
        student = train(dataclasses.replace(setup, entry=shallow), asked, rounds)
        trained.append(ladder._candidate(setup, asked, rounds, student))
        return train(setup, asked, rounds)

    return mock.patch.dict(training.TRAINERS, {"transformer": train_both})


def _one_layer(part: Part, task: Task, own: Candidate, texts: pa.Array, rate: float) -> Row:
    decided = decide(own.student.score(texts), own.result.threshold if task.labels else None)
    reached = measure(part.reference(task), decided, len(part.names(task)))
    return {
        "f1_teacher": round(reached.f1, 5),
        "texts_per_second": round(rate, 1),
        "agreement": round(reached.accuracy, 5),
    }


def _row(
    part: Part,
    task: Task,
    seed: int,
    kind: str,
    decided: NDArray[np.int64],
    rate: float,
    speeds: Speeds,
    *,
    share: float = 0.0,
    more: Row,
) -> tuple[Row, Row]:
    reached = measure(part.reference(task), decided, len(part.names(task)))
    key = {"data": part.name, "task": task.name, "seed": seed, "kind": kind}
    return {
        **key,
        "f1_teacher": round(reached.f1, 5),
        "texts_per_second": round(rate, 1),
        "ratio_to_default": round(rate / speeds.students[0], 4),
        "teacher_share": round(share, 5),
        "agreement": round(reached.accuracy, 5),
    }, {
        **key,
        "precision_teacher": round(reached.precision, 5),
        "recall_teacher": round(reached.recall, 5),
        "holdout_rows": reached.rows,
        "teacher_texts_per_second": round(speeds.teacher or 0.0, 2),
        **more,
    }
