"""The retrain worker: takes retrainings one by one, and runs each in a process that may use torch.

``python -m queue_worker.worker --queue retrain`` comes here. This process imports no torch: a child that
dies with it does the work (``replacement.retrain``), tells how far it is on standard output, and may be
killed at any moment; the next attempt goes on where it was. While no run waits, rows of finished jobs are
held against the teacher (``drift_monitor``).
"""

import contextlib
import json
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from types import FrameType
from typing import IO, TypeVar

import redis

from pingti.errors import PingtiError
from pingti.workspace.registry import Workspace
from queue_worker.celery_app import RETRAIN, connect
from queue_worker.jobs.statistics import memory_bytes
from queue_worker.jobs.store import JobStore
from queue_worker.processes.launcher import guarded
from queue_worker.processes.workplace import refuse_other_workspace
from queue_worker.retraining.drift_monitor import DriftMonitor
from queue_worker.retraining.runs import Progress, Run, RunClaim, RunState, RunStore
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0
_PRESENCE_SECONDS = 3.0
_MAX_ATTEMPTS = 3  # of a run whose process is killed
_NICE = 10  # what classifies goes first

T = TypeVar("T")
Command = Callable[[Run], Sequence[str]]


def retrain_command(settings: Settings, run: Run) -> list[str]:
    """What a run starts."""
    arguments = ["--home", str(settings.home), "--task", run.task, "--run", run.id, "--who", run.who]
    return [sys.executable, "-P", "-m", "replacement.retrain", *arguments]


class RetrainWorker:
    """Works on runs until ``stop`` is set; ``command`` gives what a run starts."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        *,
        stop: threading.Event | None = None,
        command: Command | None = None,
    ) -> None:
        self._settings = settings
        self._store = RunStore(client)
        self._stop = stop or threading.Event()
        self._command = command or (lambda run: retrain_command(settings, run))
        self._child: int | None = None  # process of the run at hand

    def run_one(self) -> Run | None:
        """Work on the run that has waited longest, and return it as it is then; None when none waits."""
        claim = self._store.claim(lease_seconds=self._settings.lease_seconds)
        if claim is None:
            return None
        run = claim.run
        _log.info("retraining starts run=%s attempt=%d", run.id, run.attempts)
        try:
            self._work(claim)
        except PingtiError as error:  # the task is gone
            self._finish(claim, RunState.FAILED, None, str(error))
        run = self._patiently(lambda: self._store.get(run.id))
        _log.info("retraining %s run=%s version=%s reason=%s", run.state, run.id, run.version, run.reason)
        return run

    def load(self) -> dict[str, float]:
        """What ``Statistics.present`` is told; the memory of a run's process is in it."""
        child = self._child
        return {"threads": 1, "busy": int(child is not None), "memory_bytes": memory_bytes(child)}

    def _work(self, claim: RunClaim) -> None:
        folder = Workspace(self._settings.home).task(claim.run.task).folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "retrain.log"
        with path.open("ab") as log:
            log.write(f"--- {claim.run.id}, attempt {claim.run.attempts}\n".encode())
            log.flush()
            process = subprocess.Popen(
                guarded(self._command(claim.run)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._settings.environment()},
                start_new_session=True,
            )
        assert process.stdout is not None
        self._child = process.pid
        events: queue.SimpleQueue[dict[str, object] | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(process.stdout, path, events), daemon=True)
        reader.start()
        try:
            ended = self._follow(claim, process, events)
        finally:
            self._child = None
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # a session of its own, the guard's child with it
            process.wait()
            reader.join()
        if ended is not None:
            self._end(claim, process.returncode, ended, path)

    def _follow(
        self,
        claim: RunClaim,
        process: subprocess.Popen[bytes],
        events: "queue.SimpleQueue[dict[str, object] | None]",
    ) -> dict[str, object] | None:
        """Renew the lease till the process ends: its last word, empty when it had none.

        None when there is nothing left to say: the lease was lost, or the run was handed back.
        """
        progress = Progress()
        deadline = monotonic() + self._settings.retrain_seconds
        beaten = 0.0
        while True:
            with contextlib.suppress(queue.Empty):
                event = events.get(timeout=min(0.5, self._settings.heartbeat_seconds))
                if event is None:
                    process.wait()
                    return {}
                if "outcome" in event:
                    # What was told since the last beat, so that the record ends as the run did.
                    with contextlib.suppress(redis.RedisError):
                        self._store.beat(claim, progress, lease_seconds=self._settings.lease_seconds)
                    return event
                progress = progress.model_copy(update=event)
            if self._stop.is_set():
                self._patiently(
                    lambda: self._store.release(
                        claim, reason="the worker was stopped", max_attempts=_MAX_ATTEMPTS, counted=False
                    )
                )
                return None
            if monotonic() > deadline:
                limit = f"it took longer than {self._settings.retrain_seconds:g} s"
                return {"outcome": str(RunState.FAILED), "reason": limit}
            if monotonic() - beaten >= self._settings.heartbeat_seconds:
                beaten = monotonic()
                try:
                    if not self._store.beat(claim, progress, lease_seconds=self._settings.lease_seconds):
                        _log.warning("retraining given up run=%s reason=the lease was lost", claim.run.id)
                        return None
                except redis.RedisError as error:
                    # The server may come back in time; if not, the token decides at the end.
                    _log.warning("lease not renewed run=%s reason=%s", claim.run.id, error)

    def _end(self, claim: RunClaim, code: int, ended: dict[str, object], log: Path) -> None:
        if ended:
            version = ended.get("version")
            self._finish(
                claim,
                RunState(str(ended["outcome"])),
                version if isinstance(version, int) else None,
                str(ended.get("reason", "")),
            )
            return
        # Killed, out of memory, a full disk: nothing says that it would be so again.
        reason = f"its process ended with code {code}; see {log}"
        self._patiently(lambda: self._store.release(claim, reason=reason, max_attempts=_MAX_ATTEMPTS))

    def _finish(self, claim: RunClaim, state: RunState, version: int | None, reason: str) -> None:
        self._patiently(lambda: self._store.finish(claim, state, version=version, reason=reason))

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call until the server answers: what took hours is not thrown away because it restarts."""
        while True:
            try:
                return call()
            except redis.RedisError as error:
                if self._stop.is_set():
                    raise
                _log.warning("the server does not answer: %s", " ".join(str(error).split()))
                self._stop.wait(_LOOK_SECONDS)


def _read(stream: IO[bytes], log: Path, events: "queue.SimpleQueue[dict[str, object] | None]") -> None:
    """Hand the child's lines on, and None at their end; what is no event goes to the log."""
    with stream, log.open("ab") as file:
        for line in stream:
            try:
                event = json.loads(line)
                if not isinstance(event, dict):
                    raise ValueError
            except ValueError:
                file.write(line)
                file.flush()
                continue
            if "what" not in event:  # of the rest the log keeps all
                file.write(line)
                file.flush()
            events.put(event)
    events.put(None)


def serve(settings: Settings, name: str | None = None) -> int:
    """Work until SIGTERM or SIGINT. A run that is under way then is handed back at once.

    Args:
        settings: where the server is, and the workspace.
        name: of the worker; where absent, from queue, host and process.

    Returns:
        The exit code.

    Raises:
        ConflictError: the store is that of another workspace.
        UnavailableError: the file of the workspace's id cannot be read or written.
    """
    stop = threading.Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    refuse_other_workspace(settings, stop)
    client = connect(settings)
    os.nice(_NICE)
    name = name or f"{RETRAIN}@{socket.gethostname()}-{os.getpid()}"
    worker = RetrainWorker(settings, client, stop=stop)
    threading.Thread(target=_tell_presence, args=(settings, name, worker, stop), daemon=True).start()
    monitor = DriftMonitor(settings, client, stop=stop)
    _log.info("worker starts name=%s", name)
    while not stop.is_set():
        try:
            busy = worker.run_one() is not None or monitor.step() > 0
        except Exception as error:  # a server that restarts must not end the worker
            _log.error("retrain worker: %s", " ".join(str(error).split()))
            busy = False
        if not busy:
            stop.wait(_LOOK_SECONDS)
    return 0


def _tell_presence(settings: Settings, name: str, worker: RetrainWorker, stop: threading.Event) -> None:
    store = JobStore(connect(settings))
    while not stop.is_set():
        try:
            store.statistics.present(name, worker.load())
        except redis.RedisError as error:
            _log.warning("presence not told reason=%s", error)
        stop.wait(_PRESENCE_SECONDS)
