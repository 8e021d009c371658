"""A broker of one process: messages of the store in ten lists, taken as Celery's workers take them."""

from collections import deque
from collections.abc import Sequence

from queue_worker.jobs.models import Claim, Message
from queue_worker.jobs.store import JobStore

WORKER = "classify@here-1"


class Messages:
    """What the store publishes. The most urgent level first; within one, the oldest first."""

    def __init__(self) -> None:
        self.levels: list[deque[Message]] = [deque() for _ in range(10)]

    def __call__(self, messages: Sequence[Message]) -> None:
        for message in messages:
            self.levels[message.level].append(message)

    def __len__(self) -> int:
        return sum(map(len, self.levels))

    def pop(self) -> Message | None:
        return next((level.popleft() for level in self.levels if level), None)

    def clear(self) -> None:
        for level in self.levels:
            level.clear()

    def oldest(self) -> list[str]:
        """As of ``celery_app.oldest_published``."""
        levels = [str(level[0].published) if level else "" for level in self.levels]
        return [*levels, *[""] * 20]

    def take(self, store: JobStore, seconds: float = 60) -> Claim | None:
        """Claim what the next message is about that is still to be done; None where none is left."""
        while (message := self.pop()) is not None:
            for claim in store.claim(message.id, message.unit, worker=WORKER, lease_seconds=seconds):
                return claim
        return None
