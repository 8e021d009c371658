"""A worker process: ``python -m queue_worker.worker --queue classify`` (or ``retrain``).

It is Celery's worker: threads of one process for ``classify``, since the kernel releases the interpreter's
lock and the students are loaded once; a process for each task of ``retrain``, which may be absent. SIGTERM
lets running shards finish; a retraining is handed back. Settings come from ``PINGTI_*`` variables, logs go to
standard error, one line an event.
"""

import argparse
import logging
import os
import socket
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from celery import signals
from celery.beat import EmbeddedService
from celery.exceptions import SecurityWarning

from pingti.errors import PingtiError
from queue_worker.celery_app import CLASSIFY, QUEUES, RETRAIN, configure_logging, make_celery
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)
_NICE = 10  # of what learns: what classifies goes first


def serve(queue: str, name: str | None = None, *, beat: bool = False) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code.

    Args:
        queue: One of ``celery_app.QUEUES``.
        name: Of the worker; none: queue, host, process.
        beat: Whether the periodic tasks are published from here, too.
    """
    configure_logging()
    # Celery warns a worker that runs as root, as in containers, of pickled messages. We take none.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    try:
        application = make_celery(Settings.of_environment())
        application.set_current()
        if queue == RETRAIN:
            os.nice(_NICE)
        keep = [lambda **_: None, lambda **_: _start_beat(application)]  # signals hold weak references
        signals.setup_logging.connect(keep[0])  # with a receiver of its own, Celery leaves logging alone
        if beat:
            signals.worker_ready.connect(keep[1])
        worker = application.Worker(
            hostname=name or f"{queue}@{socket.gethostname()}-{os.getpid()}",
            queues=[queue],
            without_gossip=True,
            without_mingle=True,
            quiet=True,
        )
        _log.info("worker starts name=%s threads=%d", worker.hostname, worker.concurrency)
        worker.start()
    except PingtiError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return int(worker.exitcode or 0)


def _start_beat(application: Any) -> None:
    scheduler = application.conf.beat_scheduler
    service = EmbeddedService(application, thread=True, scheduler_cls=scheduler)  # dies with this process
    service.start()
    _log.info("beat starts")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m queue_worker.worker", description="A worker process.")
    parser.add_argument("--queue", choices=QUEUES, default=CLASSIFY)
    parser.add_argument("--name", help="the worker's; default: queue, host, process")
    options = parser.parse_args(arguments)
    return serve(options.queue, options.name)


if __name__ == "__main__":
    sys.exit(main())
