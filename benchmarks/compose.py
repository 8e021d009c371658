"""``make bench-compose``: titles x ten tasks by workers of docker-compose.yml beside the same in one process.

The image is built and brought up as a project of its own: Valkey, API, scheduler, and as many workers of one
thread as there are cores. A job over REST and ``classify_files`` in this process (a thread a core) take turns
on the same file, and medians are compared; the last job's rows are held against this process's. Needs
`docker compose`. Writes ``benchmarks/results/compose.json``.
"""

import argparse
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import cores, machine
from benchmarks.queue import make_workspace
from benchmarks.texts import load_texts
from deploy.compose_project import (
    Compose,
    Failed,
    add_tasks,
    bring_up,
    compare,
    free_port,
    removed_at_the_end,
    say,
)
from pingti import Classifier, Client
from pingti.corpus.reader import Columns
from pingti.inference.files import classify_files
from pingti.inference.pins import Choice, pin

RESULTS: Final = Path(__file__).parent / "results" / "compose.json"
_TARGET: Final = 0.85
_FILE: Final = "titles.parquet"
_GROUP: Final = 50_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compose", description=__doc__)
    parser.add_argument("--rows", type=int, default=800_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--no-build", action="store_true", help="take the image that is there")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="pingti-compose-") as folder:
            document = run(Path(folder), arguments.rows, arguments.turns, build=not arguments.no_build)
    except Failed as error:
        sys.stderr.write(f"FAILED: {error}\n")
        return 1
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    plain, jobs = (statistics.median(document["rows_per_second"][way]) for way in ("plain", "compose"))
    say(f"in one process {plain:,.0f} rows/s, through containers {jobs:,.0f}: {document['ratio']:.1%}")
    say(f"wanted: {_TARGET:.0%}; written: {arguments.out}")
    return 0


def run(folder: Path, rows: int, turns: int, *, build: bool) -> dict[str, Any]:
    """Bring the project up, and let both ways take turns.

    Args:
        folder: an empty one.
        rows: of the file.
        turns: of each way that count; one before them warms up.
        build: whether the image is built first.
    """
    texts = load_texts(rows)
    drawn = np.random.default_rng(0).integers(0, len(texts.timed), rows)
    table = pa.table({"id": np.arange(rows), "text": [texts.timed[row] for row in drawn.tolist()]})
    home = folder / "workspace"
    workspace = make_workspace(home, texts.timed)
    pq.write_table(table, home / "tasks" / _FILE, row_group_size=_GROUP)  # travels with the tasks
    tasks = workspace.task_names()
    threads, port, key = len(cores()), free_port(), secrets.token_urlsafe(32)
    compose = Compose(
        project=f"pingti-bench-{os.getpid()}",
        variables={
            "PINGTI_API_KEY": key,
            "PINGTI_PUBLISH": f"127.0.0.1:{port}",
            "PINGTI_CONCURRENCY": "1",
        },
    )
    rates: dict[str, list[float]] = {"plain": [], "compose": []}
    with removed_at_the_end(compose):
        bring_up(compose, threads, flower=False, build=build)
        add_tasks(compose, home)
        plain = Classifier.load(workspace, pin(workspace, [Choice(task=task) for task in tasks]))
        with Client(f"http://127.0.0.1:{port}", key) as client:
            for turn in range(turns + 1):
                for way in ("plain", "compose") if turn % 2 else ("compose", "plain"):
                    out = folder / f"out-{turn}"
                    start = time.perf_counter()
                    if way == "plain":
                        file = str(home / "tasks" / _FILE)
                        classify_files([file], Columns(id="id"), plain, out, threads=threads)
                    else:
                        last = _job(client, tasks, rows)
                    if turn:
                        rates[way].append(rows / (time.perf_counter() - start))
                        say(f"turn {turn}, {way}: {rates[way][-1]:,.0f} rows/s")
            compare(client.results(last), pq.read_table(out), tasks)
    medians = {way: statistics.median(turns_of_it) for way, turns_of_it in rates.items()}
    return {
        "format": 1,
        "machine": machine(),
        "load": {"rows": rows, "tasks": len(tasks), "turns": turns, "workers": threads},
        "rows_per_second": {way: [round(rate, 1) for rate in every] for way, every in rates.items()},
        "ratio": round(medians["compose"] / medians["plain"], 4),
    }


def _job(client: Client, tasks: list[str], rows: int) -> str:
    job = client.submit(f"tasks/{_FILE}", tasks, id="id", upload=False)
    while (now := client.job(job.id)).status in ("queued", "running", "finalizing"):
        time.sleep(0.05)
    if now.status != "completed" or now.counts.completed != rows:
        raise Failed(f"job {job.id} is {now.status} with {now.counts.completed} of {rows} rows: {now.error}")
    return job.id


if __name__ == "__main__":
    sys.exit(main())
