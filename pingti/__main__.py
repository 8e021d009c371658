"""``pingti`` and ``python -m pingti``: the command line, where no other file hides a part of it."""

import signal
import sys
from importlib import import_module

from pingti import rooms
from pingti.errors import UnavailableError

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, or say in one sentence which other file hides a part of it (exit code 6)."""
    try:
        rooms.require()
    except UnavailableError as error:
        sys.stderr.write(f"pingti: {error}\n")
        raise SystemExit(error.exit_code) from None
    try:
        import_module("api.cli.main").main()
    except KeyboardInterrupt:  # while the command line is imported
        _leave_alone()
        sys.stderr.write("pingti: interrupted\n")
        raise SystemExit(_INTERRUPTED) from None
    except SystemExit as left:
        if left.code == _INTERRUPTED:
            _leave_alone()
        raise


def _leave_alone() -> None:
    """What has said its last sentence ends; a second Ctrl-C would only add a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
