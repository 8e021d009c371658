"""Who is asked where a job's students are not sure: teachers, in a process of their own that may use torch.

Only workers of the queues ``teach`` and ``retrain`` have what that process needs. It is started when it is
asked first, and ends with the shard.
"""

import json
import logging
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pingti.errors import UnavailableError
from pingti.inference.pins import Pin
from queue_worker.processes.launcher import guarded
from queue_worker.telemetry.logs import Quoting

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.2
_END_SECONDS = 5.0  # that a process which answers no more has to be gone


class TeacherProcess:
    """Asks the teachers of pins, as ``pingti.inference.classifier.Second`` does. For one thread.

    Args:
        home: the workspace.
        check: called while an answer is waited for; what it raises ends the waiting.
        command: the program; that of ``replacement.second.process`` where absent.
    """

    def __init__(
        self, home: Path, check: Callable[[], None], *, command: Sequence[str] | None = None
    ) -> None:
        self._check = check
        program = (sys.executable, "-P", "-m", "replacement.second.process", "--home", str(home))
        self._command = tuple(command or program)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "TeacherProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __call__(self, pin: Pin, texts: list[str]) -> list[str | None]:
        """The classes of n texts by the teacher of a pin's version; None where nobody answers.

        Raises:
            UnavailableError: the teacher cannot be had, and the pin does not allow to go on without it.
        """
        line = json.dumps({"pin": asdict(pin), "texts": texts}).encode() + b"\n"
        answer = self._ask(line)
        if answer is None:  # killed once, it says nothing of the teacher
            _log.warning("teacher's process ended code=%s task=%s; started again", self._ended(), pin.task)
            answer = self._ask(line)
        if answer is not None and "labels" in answer:
            labels: list[str | None] = answer["labels"]
            return labels
        reason = answer["error"] if answer else f"its process ended twice, with code {self._ended()}"
        if pin.on_no_second == "student":
            _log.warning("student answers alone task=%s reason=%s", pin.task, Quoting(reason))
            return [None] * len(texts)
        raise UnavailableError(f"the teacher of task {pin.task!r} cannot be had: {reason}")

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a session of its own, the guard's child with it
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _ended(self) -> int | None:
        """The code that the process ended with; None where it did not."""
        process = self._process
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        self.close()
        return None if process is None else process.returncode

    def _ask(self, line: bytes) -> dict[str, Any] | None:
        """The process's answer; None where it has ended."""
        if self._process is None:
            self._process = subprocess.Popen(
                guarded(self._command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not selector.select(_LOOK_SECONDS):
                self._check()
        answer = process.stdout.readline()  # whole lines are written at once
        return json.loads(answer) if answer.endswith(b"\n") else None
