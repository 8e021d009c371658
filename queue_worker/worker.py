"""A worker process: ``python -m queue_worker.worker --queue classify`` (or ``retrain``, ``teach``).

It is Celery's worker: threads of one process for ``classify``, since the kernel releases the interpreter's
lock and the students are loaded once; one process for the tasks of ``retrain`` and ``teach``, which may be
absent. A worker of ``retrain`` takes from ``teach``, too, where no retraining keeps it. SIGTERM
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

import redis
from celery import signals
from celery.beat import EmbeddedService
from celery.exceptions import SecurityWarning

from pingti.errors import PingtiError
from queue_worker.celery_app import (
    CLASSIFY,
    HAVE_TEACHERS,
    QUEUES,
    connect,
    make_celery,
)
from queue_worker.jobs.reaper import end_leases
from queue_worker.jobs.store import JobStore
from queue_worker.settings import Settings
from queue_worker.telemetry import logs, traces

_log = logging.getLogger(__name__)
_NICE = 10  # of what learns, and of teachers: what classifies goes first


def serve(queue: str, name: str | None = None, *, beat: bool = False, replaces: str | None = None) -> int:
    """Work until SIGTERM or SIGINT; returns the exit code.

    Args:
        queue: One of ``celery_app.QUEUES``.
        name: Of the worker; none: queue, host, process.
        beat: Whether the periodic tasks are published from here, too.
        replaces: The name of a worker whose process is known to be gone: what it held is free at once.
    """
    # Celery warns a worker that runs as root, as in containers, of pickled messages. We take none.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    try:
        settings = Settings.of_environment()
        logs.configure(settings.log_format)
        traces.start(f"pingti-{queue}")
        application = make_celery(settings)
        application.set_current()
        if queue in HAVE_TEACHERS:
            os.nice(_NICE)

        # Signals hold weak references: both functions last as long as this one.
        def leave_logging(**_: Any) -> None:
            """With a receiver of its own, Celery leaves logging alone."""

        def begin(**_: Any) -> None:
            if beat:
                _start_beat(application)
            if replaces:
                _take_over(application, replaces)

        signals.setup_logging.connect(leave_logging)
        signals.worker_ready.connect(begin)
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


def _take_over(application: Any, worker: str) -> None:
    try:
        end_leases(JobStore(connect(application.settings)), worker)
    except redis.RedisError as error:  # they end by themselves, later
        _log.warning("leases not ended worker=%s reason=%s", worker, error)


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
    parser.add_argument("--replaces", help="name of a worker whose process is gone: what it held is free")
    options = parser.parse_args(arguments)
    # A thread that scores takes one core; a transformer's tokenizer would start one for each core besides.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return serve(options.queue, options.name, replaces=options.replaces)


if __name__ == "__main__":
    sys.exit(main())
