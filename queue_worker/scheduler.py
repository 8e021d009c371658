"""The scheduler process: beat, and the worker of what beat publishes. ``python -m queue_worker.scheduler``.

It is Celery's beat beside a worker of the queue ``control``: the reaper, nightly retraining, callbacks,
retention. ``celery -A queue_worker.celery_app beat`` and ``... worker -Q control`` do the same in two
processes. One is enough; several do no harm, since the periodic tasks are idempotent.
"""

import sys
from typing import Any

import redis
from celery.beat import Scheduler

from queue_worker.celery_app import CONTROL, lists_of, uses_amqp
from queue_worker.processes.server_check import impatient_client
from queue_worker.worker import serve


class Beat(Scheduler):  # type: ignore[misc]  # celery has no types
    """Celery's beat, which adds nothing to what nobody takes: Valkey's lists keep messages that have expired.

    RabbitMQ drops those by itself.
    """

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Publish what is due, unless as many messages wait as there are periodic tasks."""
        if not self._is_full():
            super().apply_entry(entry, producer=producer)

    def _is_full(self) -> bool:
        settings = self.app.settings
        if uses_amqp(settings):
            return False
        with impatient_client(settings) as client:
            try:
                return int(client.llen(lists_of(CONTROL)[0])) >= len(self.schedule)
            except redis.RedisError:  # publishing says it
                return False


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    return serve(CONTROL, beat=True)


if __name__ == "__main__":
    sys.exit(main())
