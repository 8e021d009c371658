"""A worker process: ``python -m queue_worker.worker --queue classify`` (or ``retrain``).

Settings come from ``PINGTI_*`` variables, logs go to standard error, one line an event. The classify
worker runs units in threads of one process: the kernel releases the interpreter's lock, and the students
are loaded once (``Runner``). SIGTERM lets running units finish. The retrain worker starts a process for
each retraining; it may be absent.
"""

import argparse
import logging
import os
import queue
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import redis
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from pingti.errors import PingtiError
from queue_worker.celery_app import (
    CLASSIFY,
    QUEUES,
    RETRAIN,
    WORK,
    configure_logging,
    connect,
    make_celery,
    publish_tickets,
    shorten_pauses,
)
from queue_worker.classifying.runner import Runner
from queue_worker.jobs.store import JobStore
from queue_worker.processes.server_check import refuse_unfit_server
from queue_worker.processes.workplace import refuse_other_workspace
from queue_worker.retraining.runner import serve
from queue_worker.settings import Settings

_log = logging.getLogger(__name__)
_PRESENCE_SECONDS = 3.0


def make_worker(settings: Settings) -> tuple[Celery, Runner]:
    """The Celery application with its task, for a process that consumes, and what its threads run."""
    app = make_celery(settings)
    wanted: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()

    def publish() -> None:
        while True:
            try:
                publish_tickets(app, *wanted.get())
            except Exception as error:  # the reaper publishes what is missing
                _log.warning("tickets not published reason=%s", " ".join(str(error).split()))

    # By a thread of its own: who has made work for others goes on with it meanwhile.
    threading.Thread(target=publish, name="tickets", daemon=True).start()
    runner = Runner(settings, JobStore(connect(settings)), lambda *ticket: wanted.put(ticket))

    def work() -> None:
        try:
            runner.run()
        except Exception as error:  # the ticket is spent; what it was for comes back by lease and reaper
            _log.error("ticket failed reason=%s", " ".join(str(error).split()))

    app.task(work, name=WORK, shared=False)
    return app, runner


def _tell_presence(settings: Settings, name: str, runner: Runner) -> Callable[..., None]:
    store = JobStore(connect(settings))

    def tell() -> None:
        while True:
            try:
                store.statistics.present(name, runner.load())
            except redis.RedisError as error:
                _log.warning("presence not told reason=%s", error)
            time.sleep(_PRESENCE_SECONDS)

    def start(**_: Any) -> None:
        threading.Thread(target=tell, name="presence", daemon=True).start()

    return start


def main(arguments: Sequence[str] | None = None) -> int:
    """Work until SIGTERM; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m queue_worker.worker", description="A worker process.")
    parser.add_argument("--queue", choices=QUEUES, default=CLASSIFY)
    parser.add_argument("--name", help="told to the store as a sign of life; default: queue, host, process")
    options = parser.parse_args(arguments)
    kind = options.queue
    configure_logging()
    try:
        settings = Settings.of_environment()
        refuse_unfit_server(settings)
        if kind == RETRAIN:  # which looks at the workspace, too
            return serve(settings, options.name)
        refuse_other_workspace(settings)
        app, runner = make_worker(settings)
    except PingtiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    # Celery warns a worker that runs as root, as in containers, of pickled messages. We take none.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    concurrency = settings.concurrency
    pa.set_cpu_count(1)  # the threads are the parallel part
    name = options.name or f"{kind}@{socket.gethostname()}-{os.getpid()}"

    # With a receiver of its own, Celery leaves logging alone. Signals hold weak references: keep these.
    keep = [lambda **_: None, _tell_presence(settings, name, runner), lambda **_: runner.stopping.set()]
    signals.setup_logging.connect(keep[0])
    signals.worker_ready.connect(keep[1])
    signals.worker_shutting_down.connect(keep[2])
    worker = app.Worker(
        hostname=name,
        pool_cls="threads",
        concurrency=concurrency,
        queues=[kind],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    shorten_pauses()
    _log.info("worker starts name=%s threads=%d", name, concurrency)
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
