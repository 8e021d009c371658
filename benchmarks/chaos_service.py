"""The service that a chaos schedule runs against, as its user and its operator see it, and the faults."""

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import kombu
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from benchmarks.chaos_jobs import Expected, Wrong
from queue_worker.celery_app import QUEUES, lists_of

_READY_SECONDS = 90.0
_LEASE_SECONDS = 6.0
_PAUSE_SECONDS = 60.0
_ZOO = (
    b"",
    b"5",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"\x00\xff\xfe",
    b"{" * 5000,
    b'{"body": 5, "headers": 7}',
)

# The workers of a schedule classify slowly, so that faults find them at work, and abort over one text.
_SITE = """
import os, time
if os.environ.get("CHAOS_MARK"):
    try:
        from pingti.inference.classifier import Classifier
        real = Classifier.classify
    except Exception:  # Python would go on without this, and no text would be poison
        import traceback
        traceback.print_exc()
        os._exit(70)
    def slow(self, rows):
        if any("[crash]" in text for text in rows.column("text").to_pylist()):
            os.abort()
        time.sleep(0.08)
        return real(self, rows)
    Classifier.classify = slow
"""
_SETTINGS = {
    "PINGTI_SHARD_ROWS": "25",
    "PINGTI_SMALL_BYTES": "8192",
    "PINGTI_CONCURRENCY": "2",
    "PINGTI_LEASE_SECONDS": str(_LEASE_SECONDS),
    "PINGTI_HEARTBEAT_SECONDS": "1",
    "PINGTI_REAP_SECONDS": "0.3",
    "PINGTI_MAX_ATTEMPTS": "40",
    "PINGTI_RETRY_SECONDS": "0.2",
    "OMP_NUM_THREADS": "1",
}
_PARTS = {
    "valkey-server": "valkey",
    "worker --queue classify": "worker",
    "worker --queue retrain": "retrain",
    "queue_worker.scheduler": "scheduler",
    "api.cli.up": "api",
}


class Service:
    """``pingti up`` in a process, its parts found by what they run, its door by HTTP."""

    def __init__(self, home: Path, mark: str, log: Path, broker_url: str | None = None) -> None:
        self.home, self.mark, self.log, self.broker_url = home, mark, log, broker_url
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        site = log.parent / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_SITE)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PINGTI_")}
        root = str(Path(__file__).resolve().parents[1])
        paths = [str(site), root, *filter(None, [kept.get("PYTHONPATH")])]
        self.environment = {**kept, **_SETTINGS, "PYTHONPATH": os.pathsep.join(paths), "CHAOS_MARK": mark}
        if broker_url is not None:
            self.environment["PINGTI_BROKER_URL"] = broker_url
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        self.up: subprocess.Popen[bytes] | None = None
        self.others: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        port = str(self.port)
        self.up = self._run("up", "--home", str(self.home), "--port", port, "--workers", "2")

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "api.cli.main", *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pids(self, part: str) -> list[int]:
        """Processes of a part that are children of ``pingti up``."""
        assert self.up is not None
        pids = []
        for pid, arguments in _marked(self.mark).items():
            name = next((name for word, name in _PARTS.items() if word in arguments), None)
            if name == part and "guard.py" not in arguments and _parent(pid) == self.up.pid:
                pids.append(pid)
        return sorted(pids)

    def deaths(self) -> int:
        """How many parts have ended so far, as ``pingti up`` tells."""
        return self.log.read_bytes().count(b" ended with code ")

    def ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if self.client.get("/readyz").status_code == 200:
                    return
            time.sleep(0.1)
        raise Wrong(f"the service was not ready within {_READY_SECONDS:g} s")

    def ask(self, method: str, path: str, **choices: Any) -> httpx.Response:
        """Try again as a careful client does: where nobody answers, or the server says that it cannot now."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            try:
                answer = self.client.request(method, path, **choices)
                if answer.status_code < 500:
                    return answer
                outcome = f"{answer.status_code} {answer.text[:200]}"
            except httpx.TransportError as error:
                outcome = repr(error)
            if time.monotonic() > deadline:
                raise Wrong(f"{method} {path} got no answer in {_READY_SECONDS:g} s: {outcome}")
            time.sleep(0.2)

    def submit(self, job: Expected) -> None:
        body = {"inputs": [str(job.path)], "tasks": ["sport"], "id": "key", "priority": job.priority}
        answer = self.ask("POST", "/v1/jobs", json=body, headers={"Idempotency-Key": job.path.name})
        if answer.status_code not in (200, 202):
            raise Wrong(f"{job.path.name} was not accepted: {answer.status_code} {answer.text}")
        job.id = answer.json()["id"]

    def stop(self) -> None:
        """SIGTERM, as an operator would; nothing may be left."""
        assert self.up is not None
        for other in self.others:
            other.terminate()
        self.up.terminate()
        for process in (self.up, *self.others):
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                raise Wrong("SIGTERM did not end it within a minute") from None
        deadline = time.monotonic() + 5
        while (left := _marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            raise Wrong(f"processes are left: {left}")

    def destroy(self) -> None:
        """Whatever happened: end all that was started."""
        self.client.close()
        for pid in _marked(self.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in (self.up, *self.others):
            if process is not None:
                process.wait()


def _marked(mark: str) -> dict[int, str]:
    """Processes that have the schedule's mark in their environment, with their command lines."""
    processes = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"CHAOS_MARK={mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                arguments = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z" and int(folder.name) != os.getpid():
                    processes[int(folder.name)] = arguments
    return processes


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


# -- faults

Later = list[tuple[float, Callable[[], None]]]
"""What a fault has to do afterwards, with the seconds after which it is due."""


class Faults:
    """Each method is a fault; it returns what is to follow."""

    def __init__(self, service: Service, jobs: list[Expected], rng: random.Random) -> None:
        self.service, self.jobs, self.rng = service, jobs, rng

    def _signal(self, part: str, number: signal.Signals) -> int | None:
        pids = self.service.pids(part)
        if not pids:  # it is just being started again
            return None
        pid = self.rng.choice(pids)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        return pid

    def kill_worker(self) -> Later:
        self._signal("worker", signal.SIGKILL)
        return []

    def kill_valkey(self) -> Later:
        self._signal("valkey", signal.SIGKILL)
        return []

    def kill_scheduler(self) -> Later:
        self._signal("scheduler", signal.SIGKILL)
        return []

    def kill_api(self) -> Later:
        self._signal("api", signal.SIGKILL)
        return []

    def kill_everything(self) -> Later:
        up = self.service.up
        assert up is not None
        up.kill()
        up.wait()
        return [(0.5, self.service.start)]

    def term_worker(self) -> Later:
        self._signal("worker", signal.SIGTERM)
        return []

    def term_valkey(self) -> Later:
        self._signal("valkey", signal.SIGTERM)
        return []

    def pause_worker(self) -> Later:
        pid = self._signal("worker", signal.SIGSTOP)

        def wake() -> None:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return [(_LEASE_SECONDS + 1.5, wake)]

    def second_scheduler(self) -> Later:
        """A second beat, and a second worker of what it publishes."""
        url = self._variable("PINGTI_REDIS_URL")
        if url is not None:
            home = str(self.service.home)
            other = self.service._run("scheduler", "--home", home, "--redis-url", url)
            self.service.others.append(other)
        return []

    def _variable(self, name: str) -> str | None:
        """A setting of the running workers."""
        for pid in self.service.pids("worker"):
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    if line.startswith(name.encode() + b"="):
                        return line.partition(b"=")[2].decode()
        return None

    def pause_broker(self) -> Later:
        """The server says nothing for a minute, and goes on."""
        pid = self._signal("valkey", signal.SIGSTOP)

        def wake() -> None:
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

        return [(_PAUSE_SECONDS, wake)]

    def soft_shutdown(self) -> Later:
        """A worker is asked to end within seconds, whatever it is at."""
        self._signal("worker", signal.SIGQUIT)
        return []

    def bad_messages(self) -> Later:
        """Bytes that are no messages, in all queues."""
        if self.service.broker_url is not None:
            with kombu.Connection(self.service.broker_url) as connection, connection.Producer() as producer:
                for number, animal in enumerate(_ZOO * 10):
                    name = QUEUES[number % len(QUEUES)]
                    producer.publish(animal, routing_key=name, exchange="", content_type="application/json")
            return []
        url = self._variable("PINGTI_REDIS_URL")
        if url is None:
            return []
        names = [name for queue in QUEUES for name in lists_of(queue)]
        with suppress(redis.RedisError), redis.Redis.from_url(url, socket_timeout=5) as client:
            for number, animal in enumerate(_ZOO * 10):
                client.lpush(names[number % len(names)], animal)
        return []

    def revoke_retraining(self) -> Later:
        """A retraining is asked for, and cancelled a moment later; it must be over then."""
        run = self.service.ask("POST", "/v1/tasks/sport/retrain").json()["id"]
        path = f"/v1/tasks/{run.replace('/', '/runs/')}/cancel"

        def cancel() -> None:
            answer = self.service.ask("POST", path)
            if answer.status_code == 200 and answer.json()["state"] != "cancelled":
                raise Wrong(f"retraining {run} is {answer.json()['state']} after it was cancelled")
            if answer.status_code not in (200, 409):  # 409: it had ended before
                raise Wrong(f"retraining {run} was not cancelled: {answer.status_code} {answer.text}")

        return [(self.rng.uniform(0.0, 3.0), cancel)]

    def full_disk(self) -> Later:
        stuffing = self.service.home / "stuffing"
        with suppress(OSError), stuffing.open("wb") as file:
            while True:
                file.write(b"\0" * (1 << 16))
                file.flush()
        return [(2.0, lambda: stuffing.unlink(missing_ok=True))]

    def replace_input(self) -> Later:
        job = next(job for job in self.jobs if job.path.name == "replaced.parquet")
        new = job.path.with_suffix(".new")
        pq.write_table(pa.table({"key": ["another"], "text": ["goal"]}), new)
        new.replace(job.path)
        return []

    def truncate_input(self) -> Later:
        job = next(job for job in self.jobs if job.path.name == "truncated.parquet")
        os.truncate(job.path, job.path.stat().st_size // 2)
        return []
