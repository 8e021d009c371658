"""``make bench-teacher``: how well fine-tuned teachers decide, and how fast a teacher scores texts.

How well: see ``benchmarks.teacher_quality``. How fast is measured beside the pipeline of transformers.
The pipeline is used as it is mostly written: ``pipeline("text-classification", batch_size=32)`` on texts in
the order in which they come, float32. Both have the same threads and cut texts at the same length, and take
turns in one process. On a CPU seconds are those of the processor, which other work on the machine moves
little. Every precision is also compared with float32: how many decisions are equal, and the largest
difference of a probability. Writes ``benchmarks/results/teacher.json``.
"""

import argparse
import gzip
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from transformers import pipeline

from benchmarks import harness, teacher_quality, texts
from benchmarks.fidelity import data as fidelity_data
from benchmarks.harness import LeftOut
from pingti import files
from teacher.bert import Teacher
from teacher.finetune import Recipe, fine_tune
from teacher.folders import quiet

RESULTS: Final = Path(__file__).parent / "results" / "teacher.json"
MODELS: Final = Path(__file__).parent / "results" / "workspace" / "models"
_BATCH: Final = 32
_SEED_ROWS: Final = 600
_MAX_LENGTH: Final = 64
Run = Callable[[], NDArray[np.float32]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2000, help="texts in a turn")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(harness.cores()))
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    console = Console(width=110, highlight=False)
    document: dict[str, Any] = {
        "format": 1,
        "machine": {
            **harness.machine(),
            "device": torch.cuda.get_device_name() if arguments.device != "cpu" else "cpu",
            "threads": arguments.threads,
        },
        "versions": harness.versions(),
        "settings": {"rows": arguments.rows, "turns": arguments.turns, "max_length": _MAX_LENGTH},
        "rows": [],
        "speeds": [],
        "left_out": {},
    }
    for data in teacher_quality.DATA_SETS:
        try:
            document["rows"].append(teacher_quality.measure(data, arguments.device))
        except LeftOut as error:
            document["left_out"][f"{data.name}, {data.labelled} rows"] = str(error)
            console.print(f"left out: {data.name}: {error}")
        else:
            console.print(f"[dim]{document['rows'][-1]}[/dim]")
    console.print(teacher_quality.table(document["rows"]))
    for name, prepare in (("weibo", _weibo), ("bbc", _bbc)):
        try:
            model, rows = prepare(arguments.rows)
        except LeftOut as error:
            document["left_out"][name] = str(error)
            console.print(f"left out: {name}: {error}")
            continue
        results = _measure(name, model, rows, arguments.turns, arguments.device, console)
        document["speeds"] += results
        console.print(_table(name, rows, results))
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    files.write_json(RESULTS, document)
    console.print(f"written: {RESULTS}")


# ---- data and models ----------------------------------------------------------------------------------


def _weibo(count: int) -> tuple[Path, list[str]]:
    """Chinese titles and a teacher of four layers, both beside the repository."""
    model = fidelity_data.SHARED / "models" / "weibo-teacher-zh"
    file = fidelity_data.SHARED / "data" / "weibo_hot" / "weibo_hot.jsonl.gz"
    if not (model.is_dir() and file.is_file()):
        raise LeftOut(f"{model} or {file}: not there")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line)["text"] for line in lines]
    return model, _some(rows, count)


def _bbc(count: int) -> tuple[Path, list[str]]:
    """English sentences of the demo, of very unequal length, and MiniLM fine-tuned on a few of them."""
    rows = list(texts.demo_rows())
    order = np.random.default_rng(0).permutation(len(rows))
    seed = [rows[row] for row in order[:_SEED_ROWS].tolist()]
    return _fine_tuned("teacher-bbc", seed), _some([text for text, _ in rows], count)


def _fine_tuned(name: str, seed: list[tuple[str, str]]) -> Path:
    folder = MODELS / name
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        fine_tune(
            str(fidelity_data.minilm()),
            [text for text, _ in seed],
            [label for _, label in seed],
            classes=sorted({label for _, label in seed}),
            out=folder,
            rng=np.random.default_rng(0),
            recipe=Recipe(max_length=_MAX_LENGTH),
        )
    return folder


def _some(rows: list[str], count: int) -> list[str]:
    """``count`` different texts in random order."""
    different = list(dict.fromkeys(rows))
    order = np.random.default_rng(1).permutation(len(different))
    return [different[row] for row in order[:count].tolist()]


# ---- measuring ----------------------------------------------------------------------------------------


def _measure(
    name: str, model: Path, rows: list[str], turns: int, device: str, console: Console
) -> list[dict[str, Any]]:
    runs: dict[str, Run] = {"pipeline": _pipeline(model, rows, device)}
    for precision in ("float32", "bfloat16") if device != "cpu" else ("float32", "int8"):
        teacher = Teacher.load(str(model), max_length=_MAX_LENGTH, precision=precision, device=device)
        runs[precision] = lambda teacher=teacher: teacher.score(rows).probabilities  # type: ignore[misc]
    answers = {contender: run() for contender, run in runs.items()}  # also warms up
    seconds: dict[str, list[float]] = {contender: [] for contender in runs}
    clock = time.perf_counter if device != "cpu" else time.process_time
    for turn in range(turns):
        console.print(f"[dim]{name}: turn {turn + 1} of {turns}[/dim]")
        order = list(runs)[turn % len(runs) :] + list(runs)[: turn % len(runs)]
        for contender in order:
            start = clock()
            runs[contender]()
            seconds[contender].append(clock() - start)
    exact = answers["float32"]
    # A turn's ratio is taken within the turn: what else the machine does weighs on both.
    return [
        {
            "data": name,
            "contender": contender,
            "rows": len(rows),
            "texts_per_second": round(len(rows) / statistics.median(seconds[contender]), 1),
            "times_pipeline": round(_median_ratio(seconds["pipeline"], seconds[contender]), 2),
            "equal_decisions": round(float((answers[contender].argmax(1) == exact.argmax(1)).mean()), 5),
            "largest_difference": None if contender == "pipeline" else _difference(answers[contender], exact),
        }
        for contender in runs
    ]


def _median_ratio(first: list[float], second: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def _difference(answers: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    return round(float(np.abs(answers - exact).max()), 6)


def _pipeline(model: Path, rows: list[str], device: str) -> Run:
    """As users write it. Its probabilities lack the teacher's temperature: only decisions are compared."""
    with quiet():
        classify = pipeline(
            "text-classification",
            model=str(model),
            tokenizer=str(model),
            batch_size=_BATCH,
            device=device,
            dtype=torch.float32,
        )
    labels = Teacher.load(str(model), max_length=_MAX_LENGTH, device="cpu").labels

    def run() -> NDArray[np.float32]:
        scores = np.zeros((len(rows), len(labels)), np.float32)
        for row, answer in enumerate(classify(rows, truncation=True, max_length=_MAX_LENGTH)):
            scores[row, labels.index(answer["label"])] = answer["score"]
        return scores

    return run


def _table(name: str, rows: list[str], results: list[dict[str, Any]]) -> Table:
    length = statistics.median(map(len, rows))
    table = Table(
        box=None, pad_edge=False, title=f"{name}: {len(rows):,} texts of {length:.0f} characters (median)"
    )
    table.add_column("")
    for heading in ("texts/s", "x pipeline", "decisions as float32", "largest difference"):
        table.add_column(heading, justify="right")
    for row in results:
        difference = row["largest_difference"]
        table.add_row(
            row["contender"],
            f"{row['texts_per_second']:,.0f}",
            f"{row['times_pipeline']:.2f}",
            f"{row['equal_decisions']:.2%}",
            "" if difference is None else f"{difference:.4f}",
        )
    return table


if __name__ == "__main__":
    main()
