"""A sign of life, now and then, of work that says nothing for a while."""

import threading
import time
from collections.abc import Callable
from types import TracebackType

SILENCE_SECONDS = 14.0
"""So long nothing is shown at most, while work goes on."""


class Heartbeat:
    """Calls a function from a thread of its own, each time when nothing was shown for a while."""

    def __init__(self, beat: Callable[[], None]) -> None:
        """``beat``: shows a line."""
        self._beat = beat
        self._shown = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def rest(self) -> None:
        """Begin the wait anew: something was shown."""
        self._shown = time.monotonic()

    def _watch(self) -> None:
        wait = SILENCE_SECONDS
        while not self._ended.wait(wait):
            if time.monotonic() - self._shown >= SILENCE_SECONDS:
                self._beat()
                self.rest()
            wait = max(0.0, self._shown + SILENCE_SECONDS - time.monotonic())
