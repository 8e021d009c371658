"""``make bench-queue``: jobs through the queue beside the same work in one process, on this machine.

Real parts: an embedded Valkey, a scheduler, one worker process with as many threads as cores. The two ways
take turns, and medians are compared. Then how long jobs wait. Prints tables and writes
``benchmarks/results/queue.json``.
``--quick`` is a small load, to see that everything runs.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.harness import LeftOut, cores
from benchmarks.texts import load_texts
from benchmarks.waiting import SHARDS_OF_A_FILE, Room, measure_waiting
from pingti.corpus.reader import Columns
from pingti.inference.classifier import Classifier
from pingti.inference.files import classify_files
from pingti.inference.pins import Choice, pin
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import connect
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.submission import JobRequest, submit
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from textcnn import Architecture, Student, Vocabulary

RESULTS: Final = Path(__file__).parent / "results" / "queue.json"
_TASKS: Final = 10
_TARGETS: Final = {
    "1 task": 0.85,
    "1 task, one row group": 0.85,
    "10 tasks": 0.92,
    "jobs accepted/s": 400,
    "jobs finished/s": 150,
}
_DEFINITION: Final = """\
classes = ["no", "yes"]
[corpus]
files = ["../nothing.jsonl"]
[teacher]
model = "nowhere"
"""


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much is measured."""

    rows: int = 800_000
    turns: int = 5
    jobs: int = 10_000
    rows_of_a_job: int = 10
    clients: int = 4
    """Threads that submit small jobs."""
    group: int = 50_000
    """Rows of a row group, where the file has several."""


QUICK: Final = Load(rows=40_000, turns=2, jobs=200, group=10_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small load")
    parser.add_argument(
        "--out", type=Path, help=f"JSON file to write (default {RESULTS.name}; none if quick)"
    )
    arguments = parser.parse_args()
    console = Console(width=110, highlight=False)
    load = QUICK if arguments.quick else Load()

    def say(line: str) -> None:
        console.print(f"[dim]{line}[/dim]")

    with tempfile.TemporaryDirectory() as folder:
        try:
            document = run(load, Path(folder), say)
        except LeftOut as error:
            parser.error(str(error))
    _show(console, document)
    out = arguments.out or (None if arguments.quick else RESULTS)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        console.print(f"written: {out}")


def run(load: Load, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    say("texts and students")
    texts = load_texts(load.rows)
    rng = np.random.default_rng(0)
    titles = [texts.timed[row] for row in rng.integers(0, len(texts.timed), load.rows).tolist()]
    home = folder / "workspace"
    workspace = make_workspace(home, texts.timed)
    table = pa.table({"id": [f"t{number}" for number in range(load.rows)], "text": titles})
    pq.write_table(table, home / "groups.parquet", row_group_size=load.group)
    pq.write_table(table, home / "one.parquet", row_group_size=load.rows)
    threads = len(cores())
    rates: dict[str, dict[str, list[float]]] = {}
    with _service(Settings(home=home, concurrency=threads)) as (settings, store):
        for name, tasks, file in (
            ("1 task", 1, "groups.parquet"),
            ("1 task, one row group", 1, "one.parquet"),
            (f"{_TASKS} tasks", _TASKS, "groups.parquet"),
        ):
            say(f"{load.rows} titles, {name}")
            chosen = [f"task_{number}" for number in range(tasks)]
            plain = Classifier.load(workspace, pin(workspace, [Choice(task=task) for task in chosen]))
            request = JobRequest(inputs=(file,), tasks=tuple(chosen), id="id")
            turns: dict[str, list[float]] = {"plain": [], "queue": []}
            for turn in range(load.turns + 1):
                for way in ("plain", "queue") if turn % 2 else ("queue", "plain"):
                    start = time.perf_counter()
                    if way == "plain":
                        out = folder / f"plain-{tasks}-{file}-{turn}"
                        classify_files([str(home / file)], Columns(id="id"), plain, out, threads=threads)
                    else:
                        _completed(store, submit(request, settings, store), load.rows)
                    if turn:  # the first one warms up
                        turns[way].append(load.rows / (time.perf_counter() - start))
            rates[name] = turns
        say(f"{load.jobs} jobs of {load.rows_of_a_job} rows")
        jobs = _small_jobs(load, settings, store, titles)
    tasks = tuple(f"task_{number}" for number in range(_TASKS))
    rows = load.rows // SHARDS_OF_A_FILE
    with _service(Settings(home=home, concurrency=threads, shard_rows=rows)) as (settings, store):
        room = Room(settings=settings, store=store, file=home / "groups.parquet", tasks=tasks, titles=titles)
        waiting = measure_waiting(room, say)
    return {
        "load": asdict(load),
        "machine": {"cores": threads, "cpu": _processor()},
        "rates": rates,
        "jobs": jobs,
        "waiting": waiting,
        "wanted": _TARGETS,
        "ratios": {
            name: statistics.median(turns["queue"]) / statistics.median(turns["plain"])
            for name, turns in rates.items()
        },
    }


def make_workspace(home: Path, texts: list[str]) -> Workspace:
    """Ten tasks with students of their own; how they decide does not matter here."""
    from textcnn.network import TextCNN

    rng = np.random.default_rng(0)
    workspace = Workspace(home)
    vocabulary = Vocabulary.build(pa.array(texts[:100_000]))
    for number in range(_TASKS):
        entry = workspace.add_task(f"task_{number}", _DEFINITION)
        network = TextCNN(vocabulary.size, 2, Architecture(), rng)
        metadata = {"thresholds": {"default": 0.5}, "rules": {}, "depends_on": []}
        student = Student.from_network(network, vocabulary, ["no", "yes"], metadata)
        student.save(entry.folder / "students" / "1")
        promotion.promote(entry, 1, who="bench", why="made for the bench", force=True)
    return workspace


@contextmanager
def _service(settings: Settings) -> Iterator[tuple[Settings, JobStore]]:
    with Processes() as processes:
        settings = processes.start_valkey(settings)
        processes.start_scheduler(settings, log=settings.home / "scheduler.log")
        processes.start_worker(settings, log=settings.home / "worker.log")
        with connect(settings) as client:
            yield settings, JobStore(client)


def _completed(store: JobStore, job: Job, rows: int) -> None:
    while not (job := store.get(job.id)).status.final:
        time.sleep(0.03)
    if job.status is not JobStatus.COMPLETED or job.counts.completed != rows:
        raise SystemExit(f"job {job.id} is {job.status}: {job.counts}, {job.error}")


def _small_jobs(load: Load, settings: Settings, store: JobStore, titles: list[str]) -> dict[str, float]:
    """Each job has a file of its own. Accepted: until the last submission answers; jobs run meanwhile."""
    folder = settings.home / "small"
    folder.mkdir()
    requests = []
    for number in range(load.jobs):
        first = number * load.rows_of_a_job % len(titles)
        some = titles[first : first + load.rows_of_a_job]
        pq.write_table(
            pa.table({"id": [str(row) for row in range(len(some))], "text": some}),
            folder / f"{number}.parquet",
        )
        requests.append(JobRequest(inputs=(f"small/{number}.parquet",), tasks=("task_0",), id="id"))
    before = store.statistics.totals().jobs_ended.get("completed", 0)
    start = time.perf_counter()
    with ThreadPoolExecutor(load.clients) as pool:
        submitted = list(pool.map(lambda request: submit(request, settings, store), requests))
    accepted = time.perf_counter() - start
    while store.statistics.totals().jobs_ended.get("completed", 0) - before < load.jobs:
        time.sleep(0.05)
    finished = time.perf_counter() - start
    for job in submitted[:: max(1, load.jobs // 50)]:
        _completed(store, job, len(titles[: load.rows_of_a_job]))
    return {"accepted/s": load.jobs / accepted, "finished/s": load.jobs / finished}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _show(console: Console, document: dict[str, Any]) -> None:
    load, machine = document["load"], document["machine"]
    table = Table(title=f"the queue, {machine['cores']} cores, {machine['cpu']}")
    for column in ("what", "in one process", "through the queue", "share", "wanted"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for name, turns in document["rates"].items():
        plain, queue = (statistics.median(turns[way]) for way in ("plain", "queue"))
        share = document["ratios"][name]
        table.add_row(
            f"{load['rows']:,} titles, {name}",
            f"{plain:,.0f} rows/s",
            f"{queue:,.0f} rows/s",
            f"{share:.0%}",
            f"{_TARGETS[name]:.0%}",
        )
    for verb in ("accepted", "finished"):
        rate = document["jobs"][f"{verb}/s"]
        table.add_row(
            f"{load['jobs']:,} jobs of {load['rows_of_a_job']} rows, {verb}",
            "",
            f"{rate:,.0f} jobs/s",
            "",
            f"{_TARGETS[f'jobs {verb}/s']} jobs/s",
        )
    console.print(table)
    console.print(_waiting_table(document["waiting"]))
    console.print(f"load average at the end: {os.getloadavg()[0]:.1f}")


def _waiting_table(waiting: dict[str, dict[str, float]]) -> Table:
    urgent, turns, aged = (waiting[name] for name in ("urgent", "turns", "aged"))
    table = Table(title="waiting")
    for column in ("what", "measured", "wanted"):
        table.add_column(column, justify="left" if column == "what" else "right")
    table.add_row(
        f"an urgent job begins while {urgent['shards_waiting_at_the_end']:,.0f} shards wait, longest",
        f"{urgent['longest_wait_seconds']:.2f} s",
        f"a shard's {urgent['shard_seconds']:.2f} s",
    )
    table.add_row(
        "the most that a long job has done when the small one of fifty ends",
        f"{turns['most_done_of_a_long_job']:.0%}",
        "below 10%",
    )
    table.add_row(
        f"a job of priority 9 begins among {aged['urgent_jobs']:.0f} urgent ones",
        f"{aged['wait_seconds']:.1f} s",
        f"some {aged['seconds_to_rise']:.1f} s",
    )
    return table


if __name__ == "__main__":
    main()
