"""A scheduler process whose clock a test sets."""

import subprocess
import sys
from pathlib import Path

from queue_worker.processes.launcher import Processes
from queue_worker.settings import Settings

SCHEDULER = """
import sys
from datetime import datetime
from pathlib import Path
from queue_worker import scheduler
from queue_worker.retraining import nights

clock = Path(sys.argv[1])
nights.server_time = lambda client: datetime.fromisoformat(clock.read_text())
sys.exit(scheduler.main())
"""


class Clocked:
    """A scheduler process whose clock is a file."""

    def __init__(self, processes: Processes, settings: Settings, folder: Path) -> None:
        self.processes, self.settings, self.clock = processes, settings, folder / "clock"
        self.log = folder / "scheduler.log"

    def set(self, moment: str) -> None:
        new = self.clock.with_suffix(".new")
        new.write_text(f"{moment}+00:00")
        new.replace(self.clock)

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCHEDULER, str(self.clock)]
        return self.processes.start("scheduler", command, settings=self.settings, log=self.log)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        self.processes.stop(process)
