"""A function of AWS Lambda, as far as this machine can show it: ``python -m benchmarks.serverless``.

A student of the default shape is exported (``pingti export --format lambda``) and its zip unpacked into an
empty folder. Fresh processes with one core and an address space of 1 GB, whose Python path is the standard
library and that folder, load it and answer:

- cold start: from the process's start to its first answer, with the files in the system's cache, and (as far
  as the system gives them up) without
- warm: 10,000 events of one text each, and 200 of 100 texts; wall-clock and processor time of each event
- what a million texts cost, by AWS Lambda's list prices

Lambda's own part of a cold start (fetching the zip, starting its sandbox) is not in it, and a function of
1 GB gets 0.58 of a core (1,769 MB are one, as its manual says), where the processes here have a whole one.

The prices are AWS Lambda's list prices (x86, first tier, unchanged since the time of arXiv 2103.10673, whose
distilled BERT takes about $2 for a million): $0.0000166667 a GB-second, billed by the millisecond, and $0.20
a million requests. Results go to ``benchmarks/results/serverless.json``.
"""

import argparse
import contextlib
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness
from benchmarks.folded import make_student
from benchmarks.texts import load_texts
from pingti.exporting import aws_lambda
from pingti.files import write_json
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.definition import StudentSection
from pingti.workspace.registry import Workspace
from textcnn import Student

RESULTS = Path(__file__).parent / "results" / "serverless.json"
GB_SECOND, MILLION_REQUESTS = 0.0000166667, 0.20
_ADDRESS_SPACE = 1 << 30
_DEFINITION = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["x.jsonl"]\n[teacher]\nmodel = "none"\n'
_FUNCTION = """
import json, os, resource, sys, time
os.sched_setaffinity(0, {int(sys.argv[3])})
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[4]),) * 2)
begun = float(sys.argv[2])
sys.path.insert(0, sys.argv[1])
loading = time.perf_counter()
from lambda_function import lambda_handler
loaded = time.perf_counter()
events = json.load(sys.stdin)
asked = time.perf_counter()
lambda_handler(events[0], None)
answered = time.perf_counter()
wall, work = [], []
for event in events[1:]:
    worked, start = time.process_time(), time.perf_counter()
    lambda_handler(event, None)
    wall.append(time.perf_counter() - start)
    work.append(time.process_time() - worked)
print(json.dumps({
    "interpreter": loading - begun, "load": loaded - loading, "first": answered - asked,
    "cold_start": loaded - begun + answered - asked, "wall": wall, "work": work,
    "resident": 1024 * int(open("/proc/self/status").read().partition("VmHWM:")[2].split()[0]),
}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serverless", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer turns; nothing is written")
    quick = parser.parse_args().quick
    core = harness.cores()[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        texts, sizes = export(folder, rows=2_000 if quick else 20_000)
        function = folder / "function"
        starts = 3 if quick else 15
        cached = [run(function, core, [event(texts[:1])]) for _ in range(starts)]
        evicted = [run(function, core, [event(texts[:1])], evict=True) for _ in range(starts)]
        single = [event([text]) for text in texts[: 1_000 if quick else 10_000]]
        batches = [event(texts[first : first + 100]) for first in range(0, 2_000 if quick else 20_000, 100)]
        one, hundred = run(function, core, single), run(function, core, batches)
    document = {
        "format": 1,
        "machine": harness.machine(),
        "load": round(os.getloadavg()[0], 2),
        "versions": harness.versions(),
        "unpacked_mb": round(sizes.unpacked / 2**20, 1),
        "zipped_mb": round(sizes.zipped / 2**20, 1),
        "cold_start_s": cold(cached),
        "cold_start_files_not_cached_s": cold(evicted),
        "one_text": warm(one, 1),
        "100_texts": warm(hundred, 100),
        "resident_mb": round(max(one["resident"], hundred["resident"]) / 2**20, 1),
    }
    print(json.dumps(document, indent=2))  # noqa: T201
    if not quick:
        write_json(RESULTS, document)


def export(folder: Path, *, rows: int) -> tuple[list[str], aws_lambda.Sizes]:
    """Train a student of the default shape, export it, unpack the zip to ``folder / "function"``."""
    texts = load_texts(rows)
    architecture = StudentSection().architecture()
    trained = make_student(texts, architecture, rows=min(rows, 5_000), epochs=1)
    student = trained.student
    workspace = Workspace(folder / "workspace")
    entry = workspace.add_task("label", _DEFINITION)
    about = {"task": "label", "version": 1, "thresholds": {"default": 0.5}, "rules": {}, "depends_on": []}
    Student(student.folded, student.vocabulary, student.classes, architecture, about).save(
        entry.folder / "students" / "1"
    )
    promotion.promote(entry, 1, who="bench", why="bench", force=True)
    pins = pin(workspace, [Choice(task="label")])
    sizes = aws_lambda.write(workspace, pins, folder / "function.zip")
    with zipfile.ZipFile(folder / "function.zip") as packed:
        packed.extractall(folder / "function")
    return texts.timed, sizes


def event(texts: Sequence[str]) -> dict[str, Any]:
    """As a function URL sends it."""
    body = json.dumps({"texts": list(texts)})
    return {"version": "2.0", "requestContext": {"http": {"method": "POST"}}, "body": body}


def run(function: Path, core: int, events: list[Any], *, evict: bool = False) -> dict[str, Any]:
    """A fresh process that answers events; seconds of each."""
    if evict:
        forget(function)
    command = [sys.executable, "-I", "-S", "-c", _FUNCTION, str(function)]
    command += [str(time.perf_counter()), str(core), str(_ADDRESS_SPACE)]
    ended = subprocess.run(command, input=json.dumps(events), capture_output=True, text=True, check=True)
    document: dict[str, Any] = json.loads(ended.stdout)
    return document


def forget(folder: Path) -> None:
    """Ask the system to read a folder's files from the disk the next time."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file, contextlib.suppress(OSError):
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def cold(starts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Medians of the parts of a cold start, and the longest."""
    parts = {
        name: round(statistics.median(start[name] for start in starts), 3)
        for name in ("interpreter", "load", "first", "cold_start")
    }
    return {**parts, "longest": round(max(start["cold_start"] for start in starts), 3)}


def warm(ran: dict[str, Any], texts: int) -> dict[str, Any]:
    """Milliseconds of the events after the first, and what a million texts cost."""
    billed = sum(math.ceil(1000 * seconds) for seconds in ran["wall"]) / 1000 / (len(ran["wall"]) * texts)
    compute, requests = billed * 1e6 * GB_SECOND, MILLION_REQUESTS / texts
    return {
        "wall_ms": quantiles(ran["wall"]),
        "processor_ms": quantiles(ran["work"]),
        "dollars_a_million_texts": {
            "compute_1_gb": round(compute, 4),
            "requests": round(requests, 4),
            "both": round(compute + requests, 4),
        },
    }


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    levels = np.percentile(np.array(seconds) * 1000, [50, 99, 100])
    return {name: round(float(level), 3) for name, level in zip(("p50", "p99", "max"), levels, strict=True)}


if __name__ == "__main__":
    main()
