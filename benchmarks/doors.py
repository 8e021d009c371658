"""The REST door under load, on this machine: ``python -m benchmarks.doors`` (make bench-doors).

- POST /v1/classify, 10 texts x 10 tasks, one client after the other: milliseconds in the server.
- 200 clients at once that submit jobs and look at them for a minute: milliseconds of a submission, in the
  server and as its client sees it, and failures.
- A large job alone and beside 200 clients that each submit a small job a minute and look at it as the
  project's own client does, every two seconds: what the worker, of one thread, keeps of its rows per second.
- An upload of 2 GB: how far the server's resident memory rises above idle.

The server, Valkey and a worker are processes of their own; the clients are one process, whose own work is in
what its clients see. Times in the server are from the request's head to the first byte of the answer.
Figures of a shared machine move: they go to ``benchmarks/results/doors.json`` with its load.
"""

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pingti.files import write_json
from pingti.workspace import promotion
from pingti.workspace.registry import Workspace
from queue_worker.jobs.statistics import resident_bytes
from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings
from textcnn import Architecture, Student, Vocabulary
from textcnn.train import Recipe, train

RESULTS = Path(__file__).parent / "results" / "doors.json"
TASKS = [f"task{number}" for number in range(10)]
_LARGE_ROWS = 50_000_000
_TURNS = 3
WORDS = ["goal", "match", "team", "coach", "league", "server", "chip", "film", "market", "garden"]


class Timed:
    """ASGI middleware that tells in a header how long the answer took in the server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, worked = time.perf_counter(), time.thread_time()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                spent = f"{(time.perf_counter() - began) * 1000:.3f}".encode()
                # Of the event loop's thread, others' requests included: on a busy machine it is what stays.
                work = f"{(time.thread_time() - worked) * 1000:.3f}".encode()
                more = [(b"x-milliseconds", spent), (b"x-work-milliseconds", work)]
                message["headers"] = [*message.get("headers", []), *more]
            await send(message)

        await self.app(scope, receive, send_counted)


def serve() -> None:
    """The server process: settings of the environment; prints its address."""
    from api.rest.app import create_app
    from api.rest.server import Server, listen, url

    settings = Settings()
    app = create_app(settings)
    app.add_middleware(Timed)
    with listen(settings) as listener:
        print(url(listener), flush=True)  # noqa: T201
        config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        Server(config).run(sockets=[listener])


@contextmanager
def service(home: Path) -> Any:
    """Valkey, a worker of one thread and the server; gives the server's address and process id."""
    make_tasks(home)
    with Processes() as processes:
        settings = processes.start_valkey(Settings(home=home, port=0, concurrency=1, input_roots=(home,)))
        processes.start_worker(settings, log=home / "worker.log")
        environment = {**os.environ, **settings.environment()}
        command = [sys.executable, "-m", "benchmarks.doors", "--serve"]
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                yield server.stdout.readline().strip(), server.pid
            finally:
                server.terminate()


def make_tasks(home: Path) -> None:
    """Ten tasks of one vocabulary, each with a small student of its own."""
    workspace, rng = Workspace(home), np.random.default_rng(0)
    sentences = [" ".join(rng.choice(WORDS, 8)) for _ in range(400)]
    vocabulary = Vocabulary.build(pa.array(sentences), size=200, buckets=16)
    text = 'classes = ["no", "yes"]\n[corpus]\nfiles = ["../corpus.jsonl"]\n[teacher]\nmodel = "../bert"\n'
    for name in TASKS:
        entry = workspace.add_task(name, text)
        yes = rng.random(len(sentences)).astype(np.float32)
        network = train(
            vocabulary.encode(sentences),
            np.stack([1 - yes, yes], axis=1),
            size=vocabulary.size,
            architecture=Architecture(embedding=64, filters=128, widths=(1, 2, 3)),
            rng=rng,
            recipe=Recipe(epochs=1),
        )
        metadata = {"task": name, "version": 1, "thresholds": {"default": 0.5}, "rules": {}, "depends_on": []}
        Student.from_network(network, vocabulary, ["no", "yes"], metadata).save(
            entry.folder / "students" / "1"
        )
        promotion.promote(entry, 1, who="bench", why="bench", force=True)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Count and quantiles of milliseconds."""
    levels = np.percentile(np.array(values), [50, 99, 100]) if values else np.zeros(3)
    return {
        "count": len(values),
        **{name: round(float(value), 2) for name, value in zip(("p50", "p99", "max"), levels, strict=True)},
    }


def classify(url: str, requests: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    server, work, client = [], [], []
    with httpx.Client(base_url=url) as door:
        for number in range(requests + 50):
            texts = [" ".join(rng.choice(WORDS, 8)) for _ in range(10)]
            began = time.perf_counter()
            answer = door.post("/v1/classify", json={"texts": texts, "tasks": TASKS})
            answer.raise_for_status()
            if number >= 50:
                client.append((time.perf_counter() - began) * 1000)
                server.append(float(answer.headers["x-milliseconds"]))
                work.append(float(answer.headers["x-work-milliseconds"]))
    return {"server_ms": spread(server), "server_cpu_ms": spread(work), "client_ms": spread(client)}


async def crowd(
    url: str, clients: int, seconds: float, *, looks_each: int = 3, pause: float = 1.0
) -> dict[str, Any]:
    """``clients`` that submit a job and look at it ``looks_each`` times, about ``pause`` seconds between."""
    submits: list[tuple[float, float]] = []
    looks: list[float] = []
    failures: dict[str, int] = {}
    async with httpx.AsyncClient(base_url=url, timeout=60) as door:
        sent = await door.post("/v1/files", files={"file": ("a.csv", b"text\n" + b"the match\n" * 100)})
        file = sent.json()["id"]
        (await door.post("/v1/jobs", json={"inputs": [file], "tasks": ["task0"]})).raise_for_status()
    tls = ssl.create_default_context()  # one for all, as making it takes long
    # A pool of its own for each: httpx looks through all connections of a pool at each request.
    doors = [httpx.AsyncClient(base_url=url, timeout=60, verify=tls) for _ in range(clients)]
    until = time.monotonic() + seconds

    async def one(number: int) -> None:
        rng = np.random.default_rng(number)
        await asyncio.sleep(rng.random() * 2 * pause)
        async with doors[number] as door:
            while time.monotonic() < until:
                began = time.perf_counter()
                try:
                    answer = await door.post("/v1/jobs", json={"inputs": [file], "tasks": ["task0"]})
                    answer.raise_for_status()
                    spent = (time.perf_counter() - began) * 1000
                    submits.append((float(answer.headers["x-milliseconds"]), spent))
                    for _ in range(looks_each):
                        await asyncio.sleep((0.5 + rng.random()) * pause)
                        if time.monotonic() >= until:
                            break
                        seen = await door.get(answer.headers["location"])
                        seen.raise_for_status()
                        looks.append(float(seen.headers["x-milliseconds"]))
                except httpx.HTTPError as error:
                    name = type(error).__name__
                    failures[name] = failures.get(name, 0) + 1

    await asyncio.gather(*(one(number) for number in range(clients)))
    return {
        "clients": clients,
        "seconds": seconds,
        "submit_server_ms": spread([server for server, _ in submits]),
        "submit_client_ms": spread([client for _, client in submits]),
        "look_server_ms": spread(looks),
        "failures": failures,
    }


def large_job(url: str, home: Path) -> str:
    """Submit far more rows than the worker gets through while it is watched; gives the job's path."""
    rng = np.random.default_rng(2)
    texts = [" ".join(words) for words in rng.choice(WORDS, (_LARGE_ROWS // 100, 8))]
    first = home / "rows-0.parquet"
    pq.write_table(pa.table({"text": texts}), first, row_group_size=100_000)
    inputs = [str(first)]
    for number in range(1, 100):
        inputs.append(str(home / f"rows-{number}.parquet"))
        Path(inputs[-1]).hardlink_to(first)
    with httpx.Client(base_url=url, timeout=60) as door:
        answer = door.post("/v1/jobs", json={"inputs": inputs, "tasks": TASKS, "priority": 5})
        answer.raise_for_status()
        return answer.headers["location"]


def rows_done(url: str, job: str) -> tuple[float, int]:
    answer = httpx.get(url + job, timeout=60).raise_for_status().json()
    assert answer["status"] in ("queued", "running"), answer["status"]
    return time.monotonic(), answer["counts"]["completed"]


def beside(url: str, home: Path, clients: int, seconds: float) -> dict[str, Any]:
    """The worker's rows per second alone and with the crowd, in turns, as a shared machine's speed moves."""
    job = large_job(url, home)
    while rows_done(url, job)[1] == 0:  # it is being cut
        time.sleep(1)
    alone, among, crowded = [], [], {}
    for _ in range(_TURNS):
        began = rows_done(url, job)
        time.sleep(seconds / _TURNS)
        between = rows_done(url, job)
        crowded = asyncio.run(crowd(url, clients, seconds / _TURNS, looks_each=30, pause=2.0))
        alone.append(rate(began, between))
        among.append(rate(between, rows_done(url, job)))
    httpx.post(f"{url}{job}/cancel").raise_for_status()
    return {
        "rows_per_second": {
            "alone": [round(each) for each in alone],
            "with_clients": [round(each) for each in among],
        },
        "kept": round(sum(among) / sum(alone), 3),
        "last_turn": crowded,
    }


def rate(before: tuple[float, int], after: tuple[float, int]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])


async def upload(url: str, pid: int, size: int) -> dict[str, Any]:
    """Resident memory of the server, looked at every 50 ms."""
    idle = peak = resident_bytes(pid)
    block = b"0123456789abcdef" * 4095 + b"0123456789abcd\n\n"
    boundary = "B"

    async def body() -> AsyncIterator[bytes]:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        yield head.encode() + b"text\n"
        for _ in range(size // len(block)):
            yield block
        yield f"\r\n--{boundary}--\r\n".encode()

    async def watch(done: asyncio.Event) -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident_bytes(pid))
            await asyncio.sleep(0.05)

    done = asyncio.Event()
    watching = asyncio.create_task(watch(done))
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=url, timeout=600) as door:
        content_type = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        answer = await door.post("/v1/files", content=body(), headers=content_type)
        answer.raise_for_status()
        seconds = time.monotonic() - began
        done.set()
        await watching
        stored = answer.json()
        await door.delete(f"/v1/files/{stored['id']}")
    return {
        "bytes": stored["bytes"],
        "seconds": round(seconds, 1),
        "idle_mb": round(idle / 1e6, 1),
        "above_idle_mb": round((peak - idle) / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doors", description="The door under load.")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--requests", type=int, default=3000, help="of classify")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--bytes", type=int, default=2_000_000_000, help="of the upload")
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    document: dict[str, Any] = {"load_before": os.getloadavg()}
    with tempfile.TemporaryDirectory(prefix="pingti-doors-") as folder, service(Path(folder)) as (url, pid):
        document["classify"] = classify(url, chosen.requests)
        print(json.dumps(document["classify"]), flush=True)  # noqa: T201
        document["crowd"] = asyncio.run(crowd(url, chosen.clients, chosen.seconds))
        print(json.dumps(document["crowd"]), flush=True)  # noqa: T201
        document["worker"] = beside(url, Path(folder), chosen.clients, chosen.seconds)
        print(json.dumps(document["worker"]), flush=True)  # noqa: T201
        document["upload"] = asyncio.run(upload(url, pid, chosen.bytes))
        print(json.dumps(document["upload"]), flush=True)  # noqa: T201
    document["load_after"] = os.getloadavg()
    write_json(RESULTS, document)


if __name__ == "__main__":
    main()
