"""``pingti`` and ``python -m pingti``: the command line, where no other file hides a part of it."""

import sys
from importlib import import_module

from pingti import rooms
from pingti.errors import UnavailableError


def main() -> None:
    """Run the command line, or say in one sentence which other file hides a part of it (exit code 6)."""
    try:
        rooms.require()
    except UnavailableError as error:
        sys.stderr.write(f"pingti: {error}\n")
        raise SystemExit(error.exit_code) from None
    import_module("api.cli.main").main()


if __name__ == "__main__":
    main()
