"""What a shard costs beside its rows, in the worker and in Valkey, measured for ``make bench-scale``.

The same rows go through a real service (embedded Valkey, scheduler, one worker) in many shards and in few.
Processor time is compared, so that other programs on the machine do no harm.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from benchmarks.queue import make_workspace
from benchmarks.texts import load_texts
from queue_worker.celery_app import connect
from queue_worker.jobs.models import JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.submission import JobRequest, submit
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings

ROWS: Final = 50_000
SMALL, LARGE = 250, 12_500
_TASKS: Final = 10
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SYNCS: Final = 200
_IDLE_SECONDS: Final = 15.0
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one shard, whatever its rows."""

    worker_seconds: float
    """Processor time of the worker's process: claim, reading, writing, telling, Celery."""
    valkey_seconds: float
    """Processor time of Valkey."""
    valkey_commands: float
    row_seconds: float
    """Processor time of the worker for a row of ten tasks."""
    sync_seconds: float
    """Median of writing and syncing 200 bytes on this disk."""
    turns: int


def measure(say: Callable[[str], None], *, turns: int = 2) -> Costs:
    """Run it; about a minute."""
    texts = load_texts(50_000).timed
    rng = np.random.default_rng(0)
    titles = [texts[row] for row in rng.integers(0, len(texts), ROWS).tolist()]
    with tempfile.TemporaryDirectory() as folder, Processes() as processes:
        home = Path(folder) / "workspace"
        make_workspace(home, texts)
        for size in (SMALL, LARGE):
            table = pa.table({"id": [str(row) for row in range(ROWS)], "text": titles})
            pq.write_table(table, home / f"{size}.parquet", row_group_size=size)
        settings = processes.start_valkey(Settings(home=home, concurrency=1))
        processes.start_scheduler(settings, log=home / "scheduler.log")
        samples: dict[int, list[tuple[float, float, float]]] = {SMALL: [], LARGE: []}
        with connect(settings) as client:
            for size in (SMALL, LARGE):
                own = settings.model_copy(update={"shard_rows": size, "shard_seconds": 600.0})
                worker = processes.start_worker(own, log=home / "worker.log")
                idle = _idle(client, worker.pid)
                for turn in range(turns + 1):
                    say(f"{ROWS} rows in {ROWS // size} shards, turn {turn} of {turns}")
                    spent = _spent(client, own, worker.pid, size, idle)
                    if turn:  # the first one warms up
                        samples[size].append(spent)
                processes.stop(worker)
        sync = _sync_seconds(home)
    worker_s, valkey_s, commands = (
        statistics.median(small[part] - large[part] for small, large in zip(*samples.values(), strict=True))
        / (ROWS // SMALL - ROWS // LARGE)
        for part in range(3)
    )
    whole = statistics.median(spent[0] for spent in samples[LARGE])
    return Costs(
        worker_seconds=worker_s,
        valkey_seconds=valkey_s,
        valkey_commands=commands,
        row_seconds=(whole - worker_s * (ROWS // LARGE)) / ROWS,
        sync_seconds=sync,
        turns=turns,
    )


def _idle(client: redis.Redis, worker: int) -> tuple[float, ...]:
    """What a service without work spends in a second, with somebody who looks."""
    before = (_process_seconds(worker), *_valkey(client))
    start = time.monotonic()
    while time.monotonic() < start + _IDLE_SECONDS:
        client.hgetall("pingti:job:none")
        time.sleep(_LOOK_SECONDS)
    after = (_process_seconds(worker), *_valkey(client))
    return tuple(
        (late - early) / (time.monotonic() - start) for early, late in zip(before, after, strict=True)
    )


def _spent(
    client: redis.Redis, settings: Settings, worker: int, size: int, idle: tuple[float, ...]
) -> tuple[float, float, float]:
    """Processor seconds of the worker and of Valkey, and Valkey's commands, of one job; above those idle."""
    store = JobStore(client)
    before = (_process_seconds(worker), *_valkey(client))
    start = time.monotonic()
    request = JobRequest(
        inputs=(f"{size}.parquet",), tasks=tuple(f"task_{number}" for number in range(_TASKS)), id="id"
    )
    job = submit(request, settings, store)
    while not (job := store.get(job.id)).status.final:
        time.sleep(_LOOK_SECONDS)
    if job.status is not JobStatus.COMPLETED or job.shards_done != ROWS // size:
        raise SystemExit(f"job {job.id} is {job.status} with {job.shards_done} shards: {job.error}")
    after = (_process_seconds(worker), *_valkey(client))
    seconds = time.monotonic() - start
    own, valkey, commands = (
        late - early - part * seconds for early, late, part in zip(before, after, idle, strict=True)
    )
    return own, valkey, commands


def _process_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _valkey(client: redis.Redis) -> tuple[float, float]:
    cpu, stats = client.info("cpu"), client.info("stats")
    return cpu["used_cpu_user"] + cpu["used_cpu_sys"], float(stats["total_commands_processed"])


def _sync_seconds(folder: Path) -> float:
    """What a small write takes until it is on the disk."""
    waits = []
    with (folder / "synced").open("wb", buffering=0) as file:
        for _ in range(_SYNCS):
            start = time.perf_counter()
            file.write(b"x" * 200)
            os.fdatasync(file.fileno())
            waits.append(time.perf_counter() - start)
    return statistics.median(waits)
