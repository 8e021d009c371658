"""Who is asked where a job's students are not sure: teachers, in a process of their own that may use torch.

Only workers of the queues ``teach`` and ``retrain`` have what that process needs. To import torch and to load
a teacher takes seconds, so it outlives the shard that had it started, and ends

- when a shard asks other teachers: it holds those of one shard, however many tasks a workspace has;
- when nobody has asked for ``IDLE_SECONDS``, and before a retraining, which needs its memory;
- when it has answered about ``_MOST_TEXTS``: what it keeps of its answers in memory grows with them;
- when it answers badly, or the shard that waits for an answer must end: the next one starts another;
- with the process that had it started, even if that is killed.
"""

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from pingti.errors import UnavailableError
from pingti.inference.classifier import Second
from pingti.inference.pins import Pin
from queue_worker.processes.line_process import LineProcess
from queue_worker.settings import Settings
from queue_worker.telemetry.logs import Quoting

IDLE_SECONDS = 300.0
"""Shards of a job, and jobs that come every few minutes, find the teacher loaded; the gigabyte that it may
take is free again five minutes after the last of them. No setting: a worker without room for a teacher can do
none of its shards."""
_MOST_TEXTS = 250_000
_MODULE = ("-P", "-m", "replacement.second.process")

_log = logging.getLogger(__name__)


class TeacherProcess:
    """Keeps one process that asks teachers, started when the first of them is asked.

    On Linux it also dies when the thread ends that asks: in a worker's pool, the main thread does.

    Args:
        settings: where the workspace is; the process gets them as variables.
        command: the program; that of ``replacement.second.process`` where absent.
        idle_seconds: after which it is ended, if nobody asks.
    """

    def __init__(
        self, settings: Settings, *, command: Sequence[str] = (), idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._settings, self._idle_seconds = settings, idle_seconds
        self._command = tuple(command) or (sys.executable, *_MODULE, "--home", str(settings.home))
        self._lock = threading.Lock()  # held as long as a shard may ask
        self._process: LineProcess | None = None
        self._loaded: set[tuple[str, int]] = set()  # tasks and versions whose teachers it may have loaded
        self._texts = 0  # that it was asked about
        self._shards = 0
        self._idle: threading.Timer | None = None

    @contextmanager
    def asked_for(self, pins: Iterable[Pin], check: Callable[[], None]) -> Iterator[Second]:
        """Let one shard ask the teachers of its pins.

        Args:
            pins: those whose teachers are asked.
            check: called while an answer is waited for; what it raises ends the waiting, and the process.

        Yields:
            As ``pingti.inference.classifier.Second``: gives the classes of n texts by the teacher of a pin's
            version, None where nobody answers. It raises UnavailableError where the teacher cannot be had,
            and the pin does not allow to go on without it.
        """
        wanted = {(pin.task, pin.version) for pin in pins}
        with self._lock:
            self._stop_waiting()
            self._shards += 1
            if not self._loaded <= wanted or self._texts >= _MOST_TEXTS:
                self._end()
            try:
                yield lambda pin, texts: self._ask(pin, list(texts), check)
            finally:
                if self._process is not None:
                    self._idle = threading.Timer(self._idle_seconds, self._end_if_idle, [self._shards])
                    self._idle.daemon = True
                    self._idle.start()

    def end(self) -> None:
        """End the process, if there is one; waits for the shard that may ask it."""
        with self._lock:
            self._stop_waiting()
            self._end()

    @property
    def pid(self) -> int | None:
        """The process's id; None where there is none."""
        process = self._process
        return None if process is None else process.pid

    def _end_if_idle(self, shards: int) -> None:
        with self._lock:
            if self._shards == shards:
                self._end()

    def _stop_waiting(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end(self) -> None:
        process, self._process = self._process, None
        self._loaded, self._texts = set(), 0
        if process is not None:
            process.end()

    def _ask(self, pin: Pin, texts: list[str], check: Callable[[], None]) -> list[str | None]:
        question = {"pin": asdict(pin), "texts": texts, "shard": self._shards}
        answer = self._answer(pin, question, check)
        if "fault" in answer:  # killed once, it says nothing of the teacher
            _log.warning("teacher's process %s task=%s; started again", answer["fault"], pin.task)
            answer = self._answer(pin, question, check)
        if "labels" in answer:
            labels: list[str | None] = answer["labels"]
            return labels
        reason = answer.get("error") or f"its process {answer['fault']}, twice"
        if pin.on_no_second == "student":
            _log.warning("student answers alone task=%s reason=%s", pin.task, Quoting(reason))
            return [None] * len(texts)
        raise UnavailableError(f"the teacher of task {pin.task!r} cannot be had: {reason}")

    def _answer(self, pin: Pin, question: dict[str, Any], check: Callable[[], None]) -> dict[str, Any]:
        """The process's answer, or ``fault``, why it gave none that can be used; it is gone then."""
        if self._process is not None and not self._process.alive:  # killed between two shards
            self._end()
        if self._process is None:
            self._process = LineProcess(self._command, environment=self._settings.environment())
            _log.info("teacher's process starts pid=%d task=%s", self._process.pid, pin.task)
        self._loaded.add((pin.task, pin.version))
        self._texts += len(question["texts"])
        try:
            answer = self._process.ask(question, check)
        except BaseException:  # it is still at the question of a shard that must end
            self._end()
            raise
        if answer is not None and _is_usable(answer, len(question["texts"])):
            return answer
        code = self._process.fault()
        self._end()
        return {"fault": "gave no answer that fits" if code is None else f"ended with code {code}"}


def _is_usable(answer: dict[str, Any], texts: int) -> bool:
    labels = answer.get("labels")
    if isinstance(labels, list):
        return len(labels) == texts
    return isinstance(answer.get("error"), str)
