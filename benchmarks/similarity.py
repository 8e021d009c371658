"""``make bench-similarity``: how near a similarity student comes to its sentence teacher, and how fast it is.

Texts and teacher are the demo's: sentences of news and MiniLM. 2,000 texts are held out. Pairs of these are
drawn evenly from bins of the teacher's cosine, a tenth wide, as benchmarks of similarity have pairs of every
kind; drawn at random nearly all pairs would be of texts that have nothing in common, and they are measured,
too. Speed is processor time on one core, both in turns.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from rich.console import Console
from scipy.stats import spearmanr

from api.cli.demo.dataset import package_folders
from benchmarks.texts import demo_rows
from replacement.similarity import fit
from teacher.sentences import SentenceTeacher
from textcnn.similarity import SimilarityStudent

RESULTS: Final = Path(__file__).parent / "results" / "similarity.json"
WANTED: Final = {"spearman": 0.80, "times_teacher": 100.0}
_HELD: Final = 2000
_OF_BIN: Final = 400
_RANDOM: Final = 20_000
_TURNS: Final = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.similarity", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=24_000, help="at most so many, drawn evenly")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    console = Console(width=120, highlight=False)
    texts = np.random.default_rng(0).permutation(sorted({text for text, _ in demo_rows()}))
    texts = texts[: arguments.texts].tolist()
    teacher = SentenceTeacher(str(package_folders()[0]), device="cpu")
    console.print(f"MiniLM on {len(texts):,} sentences")
    vectors = teacher.encode(texts)
    held, learned = slice(0, _HELD), slice(_HELD, None)
    rows = []
    for seed in range(arguments.seeds):
        student = fit(pa.array(texts[learned], pa.large_string()), vectors[learned], seed=seed)
        rows.append({"seed": seed, **spearman(student.encode(texts[held]), vectors[held])})
        console.print(rows[-1])
    document: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "texts": len(texts),
        "rows": rows,
        "spearman": statistics.median(row["even"] for row in rows),
        **speed(student, teacher, texts[held]),
    }
    for key, least in WANTED.items():
        console.print(f"{key}: {document[key]:,.3f}, wanted {least:g}: {document[key] >= least}")
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")
    console.print(f"written: {arguments.out}")


def spearman(student: NDArray[np.float32], teacher: NDArray[np.float32]) -> dict[str, float]:
    """Rank correlation of the cosines of two sets of vectors.

    Args:
        student: float32 (n, d), of length 1.
        teacher: float32 (n, w), of length 1, for the same texts.

    Returns:
        Of pairs drawn evenly over the teacher's cosine ("even") and of pairs drawn at random ("random").
    """
    rng = np.random.default_rng(1)
    above = np.triu_indices(len(teacher), 1)
    wanted, given = (teacher @ teacher.T)[above], (student @ student.T)[above]
    bins = np.floor(wanted * 10)
    even = np.concatenate([rng.permutation(np.flatnonzero(bins == own))[:_OF_BIN] for own in np.unique(bins)])
    at_random = rng.permutation(len(wanted))[:_RANDOM]
    pairs = {"even": even, "random": at_random}
    return {name: round(float(spearmanr(given[own], wanted[own])[0]), 4) for name, own in pairs.items()}


def speed(student: SimilarityStudent, teacher: SentenceTeacher, texts: list[str]) -> dict[str, float]:
    """Texts per second of processor time, in turns; medians.

    Args:
        student: is given all texts, many times.
        teacher: is given a part of them.
        texts: n of them.
    """
    import torch

    torch.set_num_threads(1)
    many, few = pa.array(texts * 20, pa.large_string()), texts[:: max(1, len(texts) // 256)]
    student.encode(many.slice(0, 100))
    teacher.encode(few[:8])
    rates: dict[str, list[float]] = {"student": [], "teacher": []}
    for _ in range(_TURNS):
        rates["student"].append(len(many) / _seconds(lambda: student.encode(many)))
        rates["teacher"].append(len(few) / _seconds(lambda: teacher.encode(few)))
    medians = {f"{name}_per_second": round(statistics.median(own), 1) for name, own in rates.items()}
    return {**medians, "times_teacher": medians["student_per_second"] / medians["teacher_per_second"]}


def _seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
