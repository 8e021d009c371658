"""What a long run tells while it goes on."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


def quiet(what: str, done: int, total: int) -> None:
    """Tell nobody."""


def advancing(progress: Progress, what: str, total: int) -> Callable[[int], None]:
    """What tells ``progress`` how much is done, when it is told how much more is."""
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        progress(what, done, total)

    return advance
