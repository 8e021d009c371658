"""What a Celery worker of this service does besides its tasks: checks at its start, signs of life, its end.

Connected to Celery's signals when ``queue_worker.tasks`` is imported, so that it holds for ``pingti worker``
and for ``celery -A queue_worker.celery_app worker`` alike.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import pyarrow as pa
import redis
from celery import Celery, signals
from celery.exceptions import WorkerLostError
from celery.worker import state

from pingti.errors import PingtiError
from queue_worker.celery_app import (
    CLASSIFY,
    CONTROL,
    HAVE_TEACHERS,
    QUEUES,
    RETRAIN,
    TEACH,
    connect,
    shorten_pauses,
)
from queue_worker.jobs.reaper import end_leases
from queue_worker.jobs.statistics import memory_bytes
from queue_worker.jobs.store import JobStore
from queue_worker.processes.server_check import impatient_client, refuse_unfit_server
from queue_worker.processes.workplace import refuse_other_workspace

_log = logging.getLogger(__name__)
_PRESENCE_SECONDS = 3.0
_CONTROL_THREADS = 8  # of which callbacks take six
Rate = Callable[[Celery], float]

_stops: list[Callable[[], None]] = []
_exits: list[Callable[[], None]] = []
_rates: list[Rate] = []
_queues: list[str] = []
_hostname: list[str] = []


def on_stop(call: Callable[[], None]) -> None:
    """Have something called when this worker is asked to stop, while its tasks still run."""
    _stops.append(call)


def on_exit(call: Callable[[], None]) -> None:
    """Have something called when a process of this worker's pool ends."""
    _exits.append(call)


def report_rate(rate: Rate) -> None:
    """Name the function that says how many rows a second a classifying worker does."""
    _rates.append(rate)


def name_of(hostname: str) -> str:
    """A worker's name in the store: ``queue@host-...``, whatever its Celery name is."""
    if hostname.partition("@")[0] in QUEUES:
        return hostname
    queue = _queues[0] if _queues else CLASSIFY
    return f"{queue}@{socket.gethostname()}-{hostname.replace('@', '.')}"


@contextmanager
def stop_on_sigterm(stop: threading.Event) -> Iterator[None]:
    """Within the block SIGTERM sets ``stop``: for a pool's process, whose worker sends it when it stops."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@signals.celeryd_init.connect
def _check(instance: Any = None, **_: Any) -> None:
    """Refuse to start where jobs would fail or be lost."""
    settings = instance.app.settings
    try:
        refuse_unfit_server(settings)
        refuse_other_workspace(settings)
    except PingtiError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


@signals.worker_init.connect
def _fit(sender: Any = None, **_: Any) -> None:
    """Have the pool that the queues need, whatever the command: Celery's takes ``-P prefork`` for our own."""
    queues = set(sender.app.amqp.queues.consume_from)
    if RETRAIN in queues:  # before a retraining and after it, it may as well ask a teacher for a job
        queues.add(TEACH)
    sender.app.amqp.queues.select(queues)  # not also those that it publishes to, once it has to connect again
    if not queues.isdisjoint(HAVE_TEACHERS):
        # One process, which may be killed to end a retraining. With it stays the teacher that it keeps.
        sender.pool_cls, sender.concurrency, sender.max_tasks_per_child = "prefork", 1, None
    elif queues == {CONTROL}:
        sender.concurrency = _CONTROL_THREADS


@signals.worker_process_init.connect
def _start_process(**_: Any) -> None:
    pa.set_cpu_count(1)  # the teacher's process computes, this one waits for it


@signals.task_failure.connect
def _free(sender: Any = None, exception: Any = None, **_: Any) -> None:
    """The pool's process was killed over a task: others need not wait until its lease has run out."""
    if not isinstance(exception, WorkerLostError):
        return
    application = sender.app
    with suppress(redis.RedisError), impatient_client(application.settings) as client:
        end_leases(JobStore(client), name_of(_hostname[0]))


@signals.worker_process_shutdown.connect
def _end_process(**_: Any) -> None:
    for call in _exits:
        call()


@signals.worker_ready.connect
def _start(sender: Any = None, **_: Any) -> None:
    application = sender.app
    _hostname[:] = [sender.hostname]
    _queues[:] = [name for name in QUEUES if name in application.amqp.queues.consume_from]
    pa.set_cpu_count(1)  # the threads are the parallel part
    threading.Thread(target=_tell, args=(sender,), name="presence", daemon=True).start()
    if set(_queues).isdisjoint(HAVE_TEACHERS):
        shorten_pauses()


def _tell(consumer: Any) -> None:
    application, name = consumer.app, name_of(consumer.hostname)
    store = JobStore(connect(application.settings))
    while True:
        try:
            load: dict[str, float] = {
                "threads": consumer.controller.concurrency,
                "busy": len(state.active_requests),
                "memory_bytes": memory_bytes(),
            }
            if CLASSIFY in _queues:
                load["rows_per_second"] = _rates[0](application)
            store.statistics.present(name, load)
        except redis.RedisError as error:
            _log.warning("presence not told reason=%s", error)
        time.sleep(_PRESENCE_SECONDS)


@signals.worker_init.connect
def _hand_back_in_time(sender: Any = None, **_: Any) -> None:
    """Celery tells of a soft shutdown (SIGQUIT) when its time is over: have running work told before."""
    wait = sender.wait_for_soft_shutdown

    def stop_and_wait() -> None:
        _stop()
        wait()

    sender.wait_for_soft_shutdown = stop_and_wait


@signals.task_revoked.connect
def _lose(request: Any = None, terminated: bool = False, expired: bool = False, **_: Any) -> None:
    """A message that was revoked, or has expired, is one that is lost: the next of its unit has its id."""
    if terminated:
        return
    state.revoked.discard(request.id)
    if not expired:
        _log.warning("message revoked id=%s: unless cancelled, its work is published again", request.id)


@signals.worker_shutting_down.connect
def _stop(**_: Any) -> None:
    for call in _stops:
        call()
    # A retraining takes hours: it is handed back, and goes on elsewhere.
    if not set(_queues).isdisjoint(HAVE_TEACHERS):
        for request in list(state.active_requests):
            if request.worker_pid and request.worker_pid != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(request.worker_pid, signal.SIGTERM)
