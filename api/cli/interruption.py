"""Ctrl-C ends a command with one sentence and exit code 130."""

from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 130


class Interruption(Exception):
    """Somebody pressed Ctrl-C; the message says what becomes of the work."""


@contextmanager
def interruptible(goes_on: str) -> Iterator[None]:
    """Say what becomes of work when Ctrl-C ends it.

    Args:
        goes_on: how the work is gone on with.

    Raises:
        Interruption: in the place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise Interruption(f"interrupted; {goes_on}") from None
