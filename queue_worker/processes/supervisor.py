"""Keep a service's parts running: what ends by itself is started again, after pauses that grow.

The parts find each other again by themselves: clients wait out a restart of the server, leases bring back
what a worker held, and the server keeps its port, password and append-only file.
"""

import logging
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, sleep

from pingti.errors import PingtiError
from queue_worker.processes.launcher import Processes

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
STEADY_SECONDS = 60.0
"""A part that has run so long counts as healthy: its next end is followed by the first pause again."""

Start = Callable[[], subprocess.Popen[bytes]]


def next_pause(pause: float, lived: float) -> float:
    """Seconds before the next start of a part that lived so long after a start that followed ``pause``."""
    if lived >= STEADY_SECONDS or pause == 0.0:
        return FIRST_PAUSE
    return min(2 * pause, LONGEST_PAUSE)


@dataclass(kw_only=True)
class _Part:
    name: str
    start: Start
    process: subprocess.Popen[bytes] | None
    begun: float
    pause: float = 0.0
    due: float = 0.0  # when it is to be started, while there is no process


class Supervisor:
    """Watches over parts that it starts by means of ``Processes``, which ends them."""

    def __init__(self, processes: Processes, *, say: Callable[[str], None] = _log.warning) -> None:
        """``say`` gets a sentence about each end and each start that fails."""
        self._processes, self._say = processes, say
        self._parts: list[_Part] = []

    def add(self, name: str, start: Start) -> None:
        """Start a part now, and again whenever it ends. An error of the first start is the caller's."""
        self._parts.append(_Part(name=name, start=start, process=start(), begun=monotonic()))

    def look(self) -> None:
        """Note which parts have ended, and start those that are due."""
        for part in self._parts:
            if part.process is not None and part.process.poll() is not None:
                code, pid = part.process.returncode, part.process.pid
                self._processes.stop(part.process)  # forgets it
                part.process = None
                self._put_off(part, f"the {part.name} (process {pid}) ended with code {code}")
            if part.process is None and monotonic() >= part.due:
                part.begun = monotonic()
                try:
                    part.process = part.start()
                except (PingtiError, OSError) as error:
                    self._put_off(part, f"the {part.name} does not start: {error}")

    def run(self) -> None:
        """Look again and again, until an exception (KeyboardInterrupt, SystemExit) ends it."""
        while True:
            self.look()
            sleep(_LOOK_SECONDS)

    def _put_off(self, part: _Part, what: str) -> None:
        part.pause = next_pause(part.pause, monotonic() - part.begun)
        part.due = monotonic() + part.pause
        self._say(f"{what}; next start in {part.pause:g} s")
