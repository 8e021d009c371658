"""A retrain worker whose retrainings do nothing, for as long as it takes."""

import functools
import sys
from pathlib import Path

from queue_worker.settings import Settings
from tests.support.brokers import gone, until


def slow_worker(settings: Settings) -> list[str]:
    """The command of a worker whose retrainings run the workspace's slow.py, which is written."""
    (settings.home / "slow.py").write_text(
        "import os, sys, time; print(os.getpid(), file=sys.stderr, flush=True); time.sleep(600)"
    )
    code = (
        "import sys\nfrom queue_worker import worker\nfrom queue_worker.retraining import runner\n"
        "def command(settings, run): return [sys.executable, str(settings.home / 'slow.py')]\n"
        "runner.retrain_command = command\n"
        "sys.exit(worker.serve('retrain'))"
    )
    return [sys.executable, "-c", code]


def log_of(settings: Settings) -> Path:
    """What the retrainings of the task ``sport`` say."""
    return settings.home / "tasks" / "sport" / "retrain.log"


def child_of_the_first_run(settings: Settings) -> int:
    """Wait until the first retraining's process runs: its id."""
    log = log_of(settings)
    until(lambda: log.exists() and log.read_text().count("\n") == 2, "it has begun")
    return int(log.read_text().split()[-1])


def until_gone(pid: int) -> None:
    """Wait until a process has ended."""
    until(functools.partial(gone, pid), "its process ends")
