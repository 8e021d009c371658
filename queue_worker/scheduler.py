"""The scheduler process: beat, and the worker of what beat publishes. ``python -m queue_worker.scheduler``.

It is Celery's beat beside a worker of the queue ``control``: the reaper, nightly retraining, callbacks,
retention. ``celery -A queue_worker.celery_app beat`` and ``... worker -Q control`` do the same in two
processes. One is enough; several do no harm, since the periodic tasks are idempotent.
"""

import sys

from queue_worker.celery_app import CONTROL
from queue_worker.worker import serve


def main() -> int:
    """Run until SIGTERM or SIGINT."""
    return serve(CONTROL, beat=True)


if __name__ == "__main__":
    sys.exit(main())
