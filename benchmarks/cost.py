"""``python -m benchmarks.cost``: the formula of ``textcnn.cost`` beside measured times of several shapes.

Random students of several shapes score the same texts in turns, short ones and pairs of them joined, on one
thread, in processor time. The eight numbers of the machine are fitted to all shapes but one, and predict that
one; so each shape is predicted by numbers that have not seen it. Prints a table and writes
``benchmarks/results/cost.json``.
"""

import os

# Before numpy is imported: one thread everywhere.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.texts import load_texts
from textcnn import Architecture, Student, Vocabulary
from textcnn.cost import Terms, counts_of, nanoseconds_of
from textcnn.fold import Folded, aligned, fold_head, padded, rows

RESULTS: Final = Path(__file__).parent / "results" / "cost.json"
DEFAULT: Final = "filters 128, widths 1 2 3, wide, 2 classes"
APART: Final = 1.15
"""Ratio of two times from which on their order is asked for."""
_WIDE: Final = 1 << 17


def shapes() -> dict[str, tuple[Architecture, int]]:
    """What is timed, by name: architectures, and how many classes they decide between."""
    asked: list[tuple[int, tuple[int, ...], int, int]] = [
        (32, (1, 2, 3), _WIDE, 2),
        (64, (1, 2, 3), _WIDE, 2),
        (128, (1, 2, 3), _WIDE, 2),
        (256, (1, 2, 3), _WIDE, 2),
        (128, (1, 2, 3), 0, 2),
        (128, (2, 3, 4), 0, 2),
        (128, (1,), 0, 2),
        (256, (1, 2), 0, 2),
        (128, (1, 2, 3), _WIDE, 9),
        (64, (1, 2, 3), 0, 32),
    ]
    named = {}
    for filters, widths, wide, classes in asked:
        about = f"filters {filters}, widths {' '.join(map(str, widths))}"
        shape = Architecture(filters=filters, widths=widths, wide=wide)
        named[f"{about}{', wide' if wide else ''}, {classes} classes"] = (shape, classes)
    bags = {f"n-grams, {classes} classes": (Architecture.of_ngrams(_WIDE), classes) for classes in (2, 4, 9)}
    return named | bags


def made_student(
    architecture: Architecture, classes: int, vocabulary: Vocabulary, rng: np.random.Generator
) -> Student:
    """A student of random numbers: what it takes does not depend on them."""
    filters, count = padded(architecture.filters), rows(classes)
    seen = filters * len(architecture.widths)
    table = aligned(vocabulary.size * architecture.positions * filters)
    table[:] = rng.integers(-8000, 8000, len(table))
    head = fold_head(
        rng.normal(size=(classes, len(architecture.widths) * architecture.filters)),
        np.zeros(classes, np.float32),
        rng.normal(size=(architecture.wide, classes)),
        architecture.filters,
    )
    folded = Folded(
        table=table, step=np.full(seen, 1e-4, np.float32), bias=np.zeros(seen, np.float32), **head
    )
    assert folded.head.shape == (count, seen)
    return Student(folded, vocabulary, [f"class {n}" for n in range(classes)], architecture)


def fitted(counts: NDArray[np.float64], nanoseconds: NDArray[np.float64]) -> Terms:
    """The machine's numbers, none below 0, that fit shapes best in relative error.

    Args:
        counts: float64 (shapes, terms).
        nanoseconds: float64 (shapes,), measured for a text.
    """
    scaled = counts / nanoseconds[:, None]
    size = np.maximum(np.abs(scaled).max(axis=0), 1e-12)
    matrix, solution = scaled / size, np.zeros(counts.shape[1])
    # Coordinate descent: eight numbers, a convex problem.
    squares = np.maximum((matrix**2).sum(axis=0), 1e-12)
    for _ in range(20_000):
        for term in range(len(solution)):
            left = 1.0 - matrix @ solution
            solution[term] = max(0.0, solution[term] + matrix[:, term] @ left / squares[term])
    return Terms(**dict(zip(asdict(_NOTHING), (solution / size).tolist(), strict=True)))


_NOTHING: Final = Terms(text=0, byte=0, token=0, load=0, feature=0, product=0, ngram=0, logit=0)


def measured(students: dict[str, Student], texts: pa.Array, turns: int) -> dict[str, list[float]]:
    """Nanoseconds of processor time for a text, one figure a turn; shapes take turns."""
    times: dict[str, list[float]] = {name: [] for name in students}
    for student in students.values():
        student.score(texts.slice(0, 64))
    for _ in range(turns):
        for name, student in students.items():
            start = time.process_time_ns()
            student.score(texts)
            times[name].append((time.process_time_ns() - start) / len(texts))
    return times


def ranked_alike(measured: Sequence[float], predicted: Sequence[float], apart: float) -> tuple[int, int]:
    """Pairs of shapes that the formula orders as measured, and all pairs that are ``apart`` or more.

    Args:
        measured: of each shape.
        predicted: of each shape.
        apart: ratio of two measured times from which on their order is asked for.
    """
    pairs = [
        (predicted[a] < predicted[b]) == (measured[a] < measured[b])
        for a in range(len(measured))
        for b in range(a)
        if max(measured[a] / measured[b], measured[b] / measured[a]) >= apart
    ]
    return int(sum(pairs)), len(pairs)


def run(count: int, turns: int) -> dict[str, Any]:
    """Time all shapes on texts and on pairs of them, fit, predict each shape by the others."""
    titles = load_texts(count).timed[:count]
    joined = [f"{one} {other}" for one, other in zip(titles[::2], titles[1::2], strict=False)]
    vocabulary, rng, asked = Vocabulary.build(pa.array(titles)), np.random.default_rng(0), shapes()
    students = {name: made_student(*shape, vocabulary, rng) for name, shape in asked.items()}
    rows: list[dict[str, Any]] = []
    counts: list[Terms] = []
    for what, texts in (("titles", pa.array(titles)), ("pairs of titles", pa.array(joined))):
        encoded = vocabulary.encode(texts)
        tokens, text_bytes = len(encoded.ids) / len(texts), texts.nbytes / len(texts)
        times = measured(students, texts, turns)
        for name, (architecture, classes) in asked.items():
            counted = counts_of(architecture, columns=classes, tokens=tokens, text_bytes=text_bytes)
            counts.append(counted)
            ratio = statistics.median(a / b for a, b in zip(times[DEFAULT], times[name], strict=True))
            took = statistics.median(times[name])
            rows.append({"texts": what, "shape": name, "nanoseconds": took, "ratio_to_default": ratio})
    matrix = np.array([astuple(own) for own in counts])
    took_all = np.array([row["nanoseconds"] for row in rows])
    for row, own in zip(rows, counts, strict=True):
        others = np.array([other["shape"] != row["shape"] for other in rows])
        row["predicted"] = nanoseconds_of(own, fitted(matrix[others], took_all[others]))
    for row in rows:
        default = next(o for o in rows if (o["shape"], o["texts"]) == (DEFAULT, row["texts"]))
        row["predicted_ratio"] = default["predicted"] / row["predicted"]
    right, pairs = ranked_alike(took_all.tolist(), [row["predicted"] for row in rows], APART)
    return {
        "turns": turns,
        "machine": asdict(fitted(matrix, took_all)),
        "pairs_ordered_alike": right,
        "pairs": pairs,
        "rows": rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    document = run(arguments.texts, arguments.turns)
    table = Table("texts", "shape", "ns a text", "predicted", "times the default's speed", "predicted")
    for row in document["rows"]:
        figures = (row["nanoseconds"], row["predicted"], row["ratio_to_default"], row["predicted_ratio"])
        table.add_row(
            row["texts"],
            row["shape"],
            *(f"{value:.0f}" if value > 50 else f"{value:.2f}" for value in figures),
        )
    console = Console(width=120, highlight=False)
    console.print(table)
    console.print(f"nanoseconds: {document['machine']}")
    console.print(f"ordered alike: {document['pairs_ordered_alike']} of {document['pairs']} pairs")
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
