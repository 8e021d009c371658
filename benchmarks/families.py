"""Fifty tasks read off one student, beside fifty students of their own: scoring, a job, training."""

import itertools
import os
import statistics
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.folded import CLASSES, DEFINITION, Trained, one_pass, wide_student
from benchmarks.harness import Contender
from benchmarks.texts import Texts
from pingti.corpus.reader import Columns
from pingti.files import write_json
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from replacement.family.network import FILTERS
from textcnn import Architecture, Student
from textcnn.network import TextCNN
from textcnn.readout import Readout
from textcnn.train import Recipe, train

TASKS: Final = 50
WANTED: Final = {"rows_per_second": 100_000, "times_own": 10, "training_times_one": 4}
_PARTS: Final = (24, 8)
"""Labels that a student of its own tells apart within its classes: 32, as ``pingti replace`` has it."""


@dataclass(frozen=True, kw_only=True)
class Fifty:
    """The same fifty tasks in two ways."""

    own: list[Student]
    family: list[Student]


def make(trained: Trained, buckets: int) -> Fifty:
    """Of the trained student's shape, with random wide parts: other values cost the same."""
    rng = np.random.default_rng(3)
    own = [wide_student(trained, buckets, _PARTS, rng) for _ in range(TASKS)]
    network = TextCNN(trained.vocabulary.size, TASKS, _of_family(trained, buckets), rng).eval()
    network.add_wide(
        rng.normal(0.0, 0.1, tuple(network.wide.shape)).astype(np.float32), np.zeros(TASKS, np.float32)
    )
    tasks = {str(number): (CLASSES, _readout(number)) for number in range(TASKS)}
    family = Student.reading(network, trained.vocabulary, tasks)
    return Fifty(own=own, family=list(family.values()))


def _of_family(trained: Trained, buckets: int) -> Architecture:
    """The shape of a family's network, as ``pingti replace --family`` has it."""
    shape = trained.student.architecture
    return replace(shape, wide=buckets, filters=FILTERS * shape.filters)


def _readout(label: int) -> Readout:
    """Yes: the label; no: all others."""
    return Readout(groups=(TASKS,), group=0, class_of=tuple(int(column == label) for column in range(TASKS)))


def contenders(fifty: Fifty, texts: Texts) -> Iterator[Contender]:
    """Both ways in one pass over the texts, on one core."""
    array = pa.array(texts.timed)
    what = "score_many, {}"
    yield one_pass("tasks_50_own", fifty.own, array, what.format("students as pingti replace makes them"))
    yield one_pass("tasks_50_family", fifty.family, array, what.format("read off one student of 50 labels"))


def job(fifty: Fifty, texts: Texts, folder: Path, cores: Sequence[int], *, turns: int) -> dict[str, Any]:
    """Parquet to Parquet with fifty tasks, a thread a core, in turns: rows per second.

    Every text is another, so that none is scored for a second one.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        rates = _job(fifty, texts, folder, len(cores), turns)
    finally:
        os.sched_setaffinity(0, before)
    own, family = (statistics.median(rates[way]) for way in ("own", "family"))
    return {
        "rows": len(texts.compared),
        "cores": len(cores),
        "rows_per_second": rates,
        "times_own": family / own,
    }


def _job(fifty: Fifty, texts: Texts, folder: Path, threads: int, turns: int) -> dict[str, list[float]]:
    workspace = Workspace(folder / "families")
    classifiers = {
        way: _classifier(workspace, way, students)
        for way, students in (("own", fifty.own), ("family", fifty.family))
    }
    file = folder / "families.parquet"
    count = len(texts.compared)
    pq.write_table(pa.table({"id": [f"row{n}" for n in range(count)], "text": texts.compared}), file)
    rates: dict[str, list[float]] = {way: [] for way in classifiers}
    numbers = itertools.count()
    for turn in range(turns + 1):
        for way in sorted(classifiers, reverse=turn % 2 == 0):
            out = folder / f"families-{next(numbers)}"
            start = time.perf_counter()
            counts = classify_files([str(file)], Columns(id="id"), classifiers[way], out, threads=threads)
            if counts.completed != count:
                raise RuntimeError(f"families, {way}: {count} rows in, {counts.completed} out")
            if turn:  # the first one warms up
                rates[way].append(count / (time.perf_counter() - start))
    return rates


def _classifier(workspace: Workspace, way: str, students: Sequence[Student]) -> Classifier:
    """Of promoted versions, as workers load them."""
    names = [f"{way}_{number}" for number in range(len(students))]
    for name, student in zip(names, students, strict=True):
        entry = workspace.add_task(name, DEFINITION)
        version = entry.folder / "students" / "1"
        student.metadata.update(
            {"task": name, "version": 1, "thresholds": {"default": 0.5}, "rules": {}, "depends_on": []}
        )
        student.save(version)
        write_json(version / "report.json", {"format": 1, "task": name, "version": 1})
        promotion.promote(entry, 1, who="bench", why="to be timed", force=True)
    return Classifier.load(workspace, pin(workspace, [Choice(task=name) for name in names]))


def training(trained: Trained, *, rows: int, epochs: int, buckets: int, turns: int) -> dict[str, Any]:
    """A family's network in turns with that of one task, on equal rows: seconds of the processor."""
    encoded = trained.vocabulary.encode(trained.texts.timed[:rows])
    architecture = replace(trained.student.architecture, wide=buckets)
    labels = np.array([zlib.crc32(text[:1].encode()) for text in trained.texts.timed[:rows]])
    ways = {
        "own": (_targets(labels, sum(_PARTS)), _PARTS, architecture),
        "family": (_targets(labels, TASKS), None, _of_family(trained, buckets)),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(turns):
        for way, (targets, subclasses, shape) in ways.items():
            start = time.process_time()
            train(
                encoded, targets, size=trained.vocabulary.size, architecture=shape,
                rng=np.random.default_rng(turn), subclasses=subclasses, recipe=Recipe(epochs=epochs),
            )  # fmt: skip
            seconds[way].append(time.process_time() - start)
    own, family = (statistics.median(seconds[way]) for way in ("own", "family"))
    return {"rows": rows, "epochs": epochs, "seconds": seconds, "times_one": family / own}


def _targets(labels: NDArray[np.int64], count: int) -> NDArray[np.float32]:
    """(rows, count): probabilities as of a teacher that is fairly sure."""
    targets = np.full((len(labels), count), 0.1 / (count - 1), np.float32)
    targets[np.arange(len(labels)), labels % count] = 0.9
    return targets
