"""The service that a chaos schedule runs against, as its user and its operator see it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from benchmarks.chaos.jobs import Expected, Wrong
from benchmarks.chaos.rabbitmq import NAMES, SERVER, RabbitMQ, free_port, rabbitmq_in
from benchmarks.chaos.store import Store

_READY_SECONDS = 90.0
LEASE_SECONDS = 6.0

# The workers of a schedule classify slowly, so that faults find them at work, and abort over one text. A
# retraining lasts until it is cancelled.
_SITE = """
import os, sys, time
if os.environ.get("CHAOS_MARK"):
    if "replacement.retrain" in sys.orig_argv:
        time.sleep(600)
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
    "PINGTI_LEASE_SECONDS": str(LEASE_SECONDS),
    "PINGTI_HEARTBEAT_SECONDS": "1",
    "PINGTI_REAP_SECONDS": "0.3",
    "PINGTI_MAX_ATTEMPTS": "40",
    "PINGTI_RETRY_SECONDS": "0.2",
    "PINGTI_PRIVATE_NETWORKS": "127.0.0.0/8",  # where the teacher is
    "OMP_NUM_THREADS": "1",
}
_PARTS = {
    "valkey-server": "valkey",
    "worker --queue classify": "worker",
    "worker --queue retrain": "retrain",
    "worker --queue teach": "teach",
    "queue_worker.scheduler": "scheduler",
    "api.cli.up": "api",
}


class Service:
    """``pingti up`` in a process, its parts found by what they run, its door by HTTP."""

    def __init__(self, home: Path, mark: str, log: Path) -> None:
        self.home, self.mark, self.log = home, mark, log
        self.port = free_port()
        site = log.parent / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(_SITE)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PINGTI_")}
        root = str(Path(__file__).resolve().parents[2])
        paths = [str(site), root, *filter(None, [kept.get("PYTHONPATH")])]
        self.environment = {**kept, **_SETTINGS, "PYTHONPATH": os.pathsep.join(paths), "CHAOS_MARK": mark}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10)
        self.up: subprocess.Popen[bytes] | None = None
        self.others: list[subprocess.Popen[bytes]] = []
        self.rabbitmq: RabbitMQ | None = None
        self.store: Store | None = None
        self._rabbitmq: list[subprocess.Popen[bytes]] = []  # its name server, and itself

    def use_store(self, store: Store, jobs: list[Expected]) -> None:
        """Have inputs, students, parts and results in a store; before the service is started."""
        self.store = store
        self.environment.update(store.environment)
        for job in jobs:
            job.address = store.put(job.path)

    def add_rabbitmq(self) -> None:
        """Have the messages go through a RabbitMQ, which is started; before the service is."""
        self.rabbitmq = rabbitmq_in(self.log.parent / "rabbitmq")
        self.environment["PINGTI_BROKER_URL"] = self.rabbitmq.url
        self._rabbitmq = [self._start_erlang(NAMES)]
        _until(self.rabbitmq.names_listen, "RabbitMQ's name server")
        self.start_rabbitmq()

    def start_rabbitmq(self) -> None:
        """Start it, as it was."""
        assert self.rabbitmq is not None
        self._rabbitmq.append(self._start_erlang(SERVER))
        _until(self.rabbitmq.listens, "RabbitMQ")

    def kill_rabbitmq(self) -> None:
        """SIGKILL."""
        server = self._rabbitmq.pop()
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()

    def _start_erlang(self, program: Path) -> subprocess.Popen[bytes]:
        assert self.rabbitmq is not None
        kept = {name: value for name, value in self.environment.items() if name != "CHAOS_MARK"}
        with (self.log.parent / "rabbitmq.log").open("ab") as log:
            return subprocess.Popen(
                [str(program)],
                env={**kept, **self.rabbitmq.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def broker_pids(self) -> list[int]:
        """The processes that keep the messages."""
        if self.rabbitmq is None:
            return self.pids("valkey")
        group = self._rabbitmq[-1].pid
        return [pid for pid in _processes() if _group(pid) == group]

    def worker_environment(self) -> dict[str, str] | None:
        """That of a worker that runs, by which others find the server; None where none does."""
        for pid in self.pids("worker"):
            with suppress(OSError):
                pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
                variables = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
                if "PINGTI_REDIS_URL" in variables:
                    return variables
        return None

    def run_beside(self, environment: dict[str, str], part: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a part besides those of ``pingti up``: ``scheduler``, or Celery's ``beat``."""
        command = ["-m", "api.cli.main", part, *arguments]
        if part == "beat":
            command = ["-m", "celery", "-A", "queue_worker.celery_app", "beat", *arguments]
        return self._start(command, environment)

    def start(self) -> None:
        port = str(self.port)
        self.up = self._run("up", "--home", str(self.home), "--port", port, "--workers", "2")

    def _run(self, *arguments: str) -> subprocess.Popen[bytes]:
        return self._start(["-m", "api.cli.main", *arguments], self.environment)

    def _start(self, arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def pids(self, part: str) -> list[int]:
        """Processes of a part that are children of ``pingti up``."""
        assert self.up is not None
        pids = []
        for pid, arguments in marked(self.mark).items():
            name = next((name for word, name in _PARTS.items() if word in arguments), None)
            if name == part and "guard.py" not in arguments and _parent(pid) == self.up.pid:
                pids.append(pid)
        return sorted(pids)

    def teachers(self) -> list[int]:
        """Processes that ask a teacher for a shard."""
        return [pid for pid, arguments in marked(self.mark).items() if "replacement.second" in arguments]

    def waiting_for_teachers(self) -> list[int]:
        """Processes in which a shard waits for those."""
        known = marked(self.mark)
        return [parent for parent in map(_parent, self.teachers()) if parent in known]

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

    def ask_once(self, method: str, path: str) -> httpx.Response | None:
        """Ask, and wait for nobody: None where nobody answers, or the server says that it cannot now."""
        try:
            answer = self.client.request(method, path)
        except httpx.TransportError:
            return None
        return None if answer.status_code >= 500 else answer

    def submit(self, job: Expected) -> None:
        body = {
            "inputs": [job.address or str(job.path)],
            "tasks": [job.task],
            "id": "key",
            "priority": job.priority,
        }
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
        while (left := marked(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if left:
            raise Wrong(f"processes are left: {left}")

    def destroy(self) -> None:
        """Whatever happened: end all that was started."""
        self.client.close()
        if self.store is not None:
            self.store.end()
        for pid in marked(self.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in self._rabbitmq:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        for process in (self.up, *self.others, *self._rabbitmq):
            if process is not None:
                process.wait()


def marked(mark: str) -> dict[int, str]:
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


def _processes() -> list[int]:
    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]


def _parent(pid: int) -> int:
    return _status(pid, 1)


def _group(pid: int) -> int:
    return _status(pid, 2)


def _status(pid: int, place: int) -> int:
    """A number of ``/proc/PID/stat``, counted from the state; 0 where the process has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[place])
    except OSError:
        return 0


def _until(look: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not look():
        if time.monotonic() > deadline:
            raise Wrong(f"{what} does not listen within {_READY_SECONDS:g} s")
        time.sleep(0.1)
