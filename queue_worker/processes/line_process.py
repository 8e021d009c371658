"""A process that answers each line of JSON on its standard input by one on its standard output.

For work that needs what this process must not load (torch), or that may kill the process which does it. Its
standard error goes where this process's goes, unless the caller says otherwise. It dies with this process
(see ``launcher.guarded``), and ends by itself where its standard input does.
"""

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from queue_worker.processes.launcher import guarded

_LOOK_SECONDS = 0.2
_END_SECONDS = 5.0  # that a process which answers no more has to be gone


class LineProcess:
    """A process that is asked by lines; it is started at once. For one thread at a time.

    On Linux it also dies when the thread ends that has made this object.

    Args:
        command: the program, its path absolute.
        environment: variables beside this process's own.
        log: whether its standard error goes where this process's goes; else nowhere.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, log: bool = True
    ) -> None:
        self._process = subprocess.Popen(
            guarded(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if log else subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        # A process that is still starting reads nothing: writing must not keep the caller from its check.
        os.set_blocking(_pipe(self._process.stdin).fileno(), False)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, question: Mapping[str, Any], check: Callable[[], None]) -> dict[str, Any] | None:
        """Ask, and wait for the answer.

        After an error of ``check`` and after None the process is good for nothing more: end it.

        Args:
            question: values that JSON has.
            check: called again and again meanwhile; what it raises ends the waiting.

        Returns:
            The answer; None where the process has ended, or said what is no object of JSON.
        """
        if not self._write(json.dumps(question).encode() + b"\n", check):
            return None
        output = _pipe(self._process.stdout)
        _wait_for(output, selectors.EVENT_READ, check)
        line = output.readline()  # whole lines are written at once
        if not line.endswith(b"\n"):
            return None
        try:
            answer = json.loads(line)
        except ValueError:
            return None
        return answer if isinstance(answer, dict) else None

    def end(self, *, after_seconds: float = 0.0) -> int | None:
        """End it; may be called again.

        Args:
            after_seconds: that it has to end by itself.

        Returns:
            The code that it ended with by itself; None where it had to be ended.
        """
        code = self._process.poll()
        if code is None and after_seconds:
            with suppress(subprocess.TimeoutExpired):
                code = self._process.wait(after_seconds)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a session of its own, the guard's child with it
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                _pipe(pipe).close()
        return code

    def fault(self) -> int | None:
        """As ``end``, of a process that gave no answer: it may be about to end."""
        return self.end(after_seconds=_END_SECONDS)

    def _write(self, data: bytes, check: Callable[[], None]) -> bool:
        """Whether the process took all of it."""
        stream, rest = _pipe(self._process.stdin), memoryview(data)
        while rest:
            _wait_for(stream, selectors.EVENT_WRITE, check)
            try:
                rest = rest[os.write(stream.fileno(), rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                return False
        return True


def _wait_for(stream: IO[bytes], event: int, check: Callable[[], None]) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(stream, event)
        while not selector.select(_LOOK_SECONDS):
            check()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
