"""What a long run tells while it goes on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is; with 0 of 0, a sentence."""


def quiet(what: str, done: int, total: int) -> None:
    """A ``Progress`` that tells nobody."""


def say(progress: Progress, sentence: str) -> None:
    """Tell what is no work and has no length: a note, while it can still be acted upon.

    Args:
        progress: is told.
        sentence: to be shown at once.
    """
    progress(sentence, 0, 0)


def advancing(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    """Count steps, and tell ``progress`` after each how much is done.

    Args:
        progress: is told.
        what: what is being done.
        total: how much there is.

    Returns:
        A function to be called with how much more is done.
    """
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(what, done, total)

    return advance


@contextmanager
def stage(progress: Progress, what: str) -> Iterator[None]:
    """Tell that work without steps goes on, and at its end that it is done.

    Args:
        progress: is told.
        what: what is being done.
    """
    progress(what, 0, 1)
    yield
    progress(what, 1, 1)
