"""Run a command that dies with its parent: ``python -I -S die_with_parent.py PARENT_PID COMMAND...``.

A parent that is killed with -9 cannot end its children; the children must notice by themselves. On Linux
this script asks the kernel for a SIGKILL at the parent's death and then becomes the command, so that no
extra process remains. Elsewhere (or with ``PINGTI_GUARD=watch``) it stays, watches its own parent and
ends the command. It uses the standard library only and starts in some 20 ms.

Linux counts the *thread* that started a child as its parent: see ``processes.Processes``.
"""

import os
import signal
import subprocess
import sys
import time
from types import FrameType

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_WATCH_SECONDS = 0.2


def main(argv: list[str]) -> int:
    """Become the command, or watch over it."""
    parent, command = int(argv[0]), argv[1:]
    if sys.platform == "linux" and os.environ.get("PINGTI_GUARD") != "watch":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            return 70
        if os.getppid() != parent:  # it died before the kernel was asked
            return 70
        os.execv(command[0], command)
    return _watch(parent, command)


def _watch(parent: int, command: list[str]) -> int:
    # close_fds=False: a lock that the parent handed down must live as long as the command.
    child = subprocess.Popen(command, close_fds=False)

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    signal.signal(signal.SIGTERM, forward)
    while child.poll() is None:
        if os.getppid() != parent:
            child.kill()
            child.wait()
            return 70
        time.sleep(_WATCH_SECONDS)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
