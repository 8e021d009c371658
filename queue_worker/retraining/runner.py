"""The task ``pingti.retrain``: one retraining, by a process of its own that may use torch.

This process imports no torch: a child that dies with it does the work (``replacement.retrain``), tells how
far it is on standard output, and may be killed at any moment; the next attempt goes on where it was.
"""

import contextlib
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import IO, TypeVar

import redis

from pingti.errors import PingtiError
from pingti.workspace.registry import Workspace
from queue_worker.jobs.commands import Publish
from queue_worker.jobs.reaper import RUN_ATTEMPTS
from queue_worker.processes.launcher import guarded
from queue_worker.retraining.runs import Progress, Run, RunClaim, RunState, RunStore
from queue_worker.settings import Settings
from queue_worker.telemetry.logs import Quoting

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0

T = TypeVar("T")
Command = Callable[[Run], Sequence[str]]


def retrain_command(settings: Settings, run: Run) -> list[str]:
    """What a run starts."""
    arguments = ["--home", str(settings.home), "--task", run.task, "--run", run.id, "--who", run.who]
    return [sys.executable, "-P", "-m", "replacement.retrain", *arguments]


class RetrainWorker:
    """Works on runs; ``command`` gives the process that a run starts."""

    def __init__(
        self,
        settings: Settings,
        client: redis.Redis,
        *,
        command: Command | None = None,
        publish: Publish | None = None,
    ) -> None:
        self._settings = settings
        self._store = RunStore(client, publish)
        self.stop = threading.Event()
        """Set it, and the run at hand is handed back at once."""
        self._command = command or (lambda run: retrain_command(settings, run))
        self._parent = os.getppid()

    def run(self, id: str, *, worker: str = "") -> Run | None:
        """Work on a run, and return it as it is then; None where it has ended, or another worker has it."""
        claim = self._store.claim(id, worker=worker, lease_seconds=self._settings.lease_seconds)
        if claim is None:
            return None
        _log.info("retraining starts run=%s attempt=%d", id, claim.run.attempts)
        try:
            self._work(claim)
        except PingtiError as error:  # the task is gone
            self._finish(claim, RunState.FAILED, None, str(error))
        run = self._patiently(lambda: self._store.get(id))
        reason = Quoting(run.reason)
        _log.info("retraining %s run=%s version=%s reason=%s", run.state, run.id, run.version, reason)
        return run

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
        events: queue.SimpleQueue[dict[str, object] | None] = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(process.stdout, path, events), daemon=True)
        reader.start()
        try:
            ended = self._follow(claim, process, events)
        finally:
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
            if os.getppid() != self._parent:  # this pool's worker was killed
                return None
            if self.stop.is_set():
                self._patiently(
                    lambda: self._store.release(
                        claim, reason="the worker was stopped", max_attempts=RUN_ATTEMPTS, counted=False
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
        self._patiently(lambda: self._store.release(claim, reason=reason, max_attempts=RUN_ATTEMPTS))

    def _finish(self, claim: RunClaim, state: RunState, version: int | None, reason: str) -> None:
        self._patiently(lambda: self._store.finish(claim, state, version=version, reason=reason))

    def _patiently(self, call: Callable[[], T]) -> T:
        """Call until the server answers: what took hours is not thrown away because it restarts."""
        while True:
            try:
                return call()
            except redis.RedisError as error:
                if self.stop.is_set():
                    raise
                _log.warning("the server does not answer: %s", " ".join(str(error).split()))
                self.stop.wait(_LOOK_SECONDS)


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
