"""How a job is waited for: one look after the other, and what a person sees meanwhile."""

import sys
import time
from collections.abc import Callable
from typing import Any, Self

from pingti.calls.answers import JobFailedError
from pingti.errors import UnavailableError
from pingti.rest_models import JobOut

ENDED = ("completed", "failed", "cancelled")
"""Statuses in which a job stays."""
FIRST_LOOK_SECONDS = 0.1
"""From one look to the next, at first."""

_LONGEST_LOOK_SECONDS = 2.0
_AWAY_SECONDS = 60.0  # that a service may be away while somebody waits for a job


class Watch:
    """Looks at a job, one after the other, until it is completed; what sleeps between them is the caller.

    ``job`` is what the last look saw.
    """

    job: JobOut

    def __init__(
        self,
        look: Callable[[str], JobOut],
        id: str,
        *,
        timeout: float | None = None,
        progress: bool | Callable[[JobOut], None] | None = None,
    ) -> None:
        """Nothing is looked at yet.

        Args:
            look: answers a job by its id, as ``Client.job`` does.
            id: as of ``Client.wait``.
            timeout: as of ``Client.wait``.
            progress: as of ``Client.wait``.
        """
        self._look, self._id, self._timeout = look, id, timeout
        self._progress = _ProgressShown(progress)
        self._began = time.monotonic()
        self._heard: float | None = None
        self._pause = FIRST_LOOK_SECONDS

    def __enter__(self) -> Self:
        self._show = self._progress.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.__exit__()

    def look(self) -> float | None:
        """Look once.

        Returns:
            In how many seconds to look again; None: the job is completed.

        Raises:
            JobFailedError: the job failed or was cancelled.
            UnavailableError: the time is over, or the service stayed away for a minute.
        """
        try:
            self.job = self._look(self._id)
            self._heard = time.monotonic()
        except UnavailableError:
            if self._heard is None or time.monotonic() - self._heard > _AWAY_SECONDS:
                raise
        else:
            self._show(self.job)
            if self.job.status == "completed":
                return None
            if self.job.status in ENDED:
                raise JobFailedError(self.job)
        if self._timeout is not None and time.monotonic() - self._began > self._timeout:
            raise UnavailableError(f"job {self._id} is {self.job.status} after {self._timeout:g} s")
        pause, self._pause = self._pause, min(self._pause * 1.5, _LONGEST_LOOK_SECONDS)
        return pause


class _ProgressShown:
    """A progress bar, or the caller's own function, for the time of a ``with`` block."""

    def __init__(self, progress: bool | Callable[[JobOut], None] | None) -> None:
        self._own = progress if callable(progress) else None
        self._wanted = sys.stderr.isatty() if progress is None else bool(progress)
        self._bar: Any = None

    def __enter__(self) -> Callable[[JobOut], None]:
        if self._own is not None:
            return self._own
        if not self._wanted:
            return lambda job: None
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task("queued", total=0)
        return self._look

    def _look(self, job: JobOut) -> None:
        counts = job.counts
        self._bar.update(
            self._task, description=job.status, total=counts.total, completed=counts.completed + counts.failed
        )

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
