"""A worker process: ``python -m queue_worker.worker --queue classify`` (or ``retrain``).

Settings come from ``PINGTI_*`` variables, logs go to standard error, one line an event. The classify
worker runs units in threads of one process: the kernel releases the interpreter's lock, and the students
are loaded once. SIGTERM lets running units finish. The retrain worker has one thread and starts a
process for each retraining; it may be absent.
"""

import argparse
import logging
import os
import socket
import sys
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import redis
from celery import Celery, signals
from celery.exceptions import SecurityWarning

from pingti.errors import InputError, PingtiError
from queue_worker import retraining, shards
from queue_worker.app import (
    CLASSIFY,
    QUEUES,
    RETRAIN,
    WORK,
    configure_logging,
    connect,
    make_celery,
    publish_tickets,
)
from queue_worker.jobs import FINALIZE, PLAN, Claim, Done, Job
from queue_worker.settings import Settings
from queue_worker.store import JobStore
from replacement.classify import Classifier, Pin
from replacement.registry import Workspace

_log = logging.getLogger(__name__)
_PRESENCE_SECONDS = 3.0


class Stopped(Exception):
    """This attempt at a unit must end: its lease is lost, or its job is being cancelled."""


class Lease:
    """What is known of the lease of one unit: held, lost, or held by a job that is being cancelled."""

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        self.state = "held"

    def check(self) -> None:
        """Raise Stopped once the lease is lost."""
        if self.state == "lost":
            raise Stopped("the lease was lost")

    def check_cancelled(self) -> None:
        """As ``check``; also once the job is being cancelled."""
        if self.state != "held":
            raise Stopped(f"the lease was {self.state}")


class Heartbeat:
    """One thread that renews the leases of all units that this process works on."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.Lock()
        self._leases: set[Lease] = set()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[Lease]:
        lease = Lease(claim)
        with self._lock:
            self._leases.add(lease)
        try:
            yield lease
        finally:
            with self._lock:
                self._leases.discard(lease)

    def _beat(self) -> None:
        while True:
            time.sleep(self._settings.heartbeat_seconds)
            with self._lock:
                leases = list(self._leases)
            for lease in leases:
                try:
                    lease.state = self._store.beat(lease.claim, lease_seconds=self._settings.lease_seconds)
                except redis.RedisError as error:
                    # The server may come back in time; if not, the token decides at the end.
                    _log.warning("lease not renewed job=%s reason=%s", lease.claim.job, error)


class ClassifierCache:
    """The students of the last few jobs, loaded once for all threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._loaded: OrderedDict[tuple[Pin, ...], Classifier] = OrderedDict()

    def get(self, pins: tuple[Pin, ...]) -> Classifier:
        # One lock also while loading: two threads of one job would otherwise load the same students.
        with self._lock:
            classifier = self._loaded.pop(pins, None)
            if classifier is None:
                classifier = Classifier(Workspace(self._settings.home), pins)
            self._loaded[pins] = classifier
            while len(self._loaded) > self._settings.cached_classifiers:
                self._loaded.popitem(last=False)
            return classifier


class Runner:
    """Takes units and works on them; ``publish(count, priority)`` wakes workers for what then waits."""

    def __init__(self, settings: Settings, store: JobStore, publish: Callable[[int, int], None]) -> None:
        self._settings, self._store, self._publish = settings, store, publish
        self._classifiers = ClassifierCache(settings)
        self._heartbeat = Heartbeat(settings, store)

    def run_one(self) -> Claim | None:
        """Work on the most urgent unit; None when none waits. No error of a unit leaves this method."""
        claim = self._store.claim(
            lease_seconds=self._settings.lease_seconds, ageing_ms=self._settings.ageing_ms
        )
        if claim is None:
            return None
        job = claim.snapshot
        with self._heartbeat.holding(claim) as lease:
            waiting = self._attempt(job, claim, lease)
        _log.info(
            "unit %s job=%s unit=%s attempt=%d",
            "lost" if waiting is None else "ended",
            claim.job,
            claim.unit,
            claim.attempt,
        )
        if waiting:
            self._publish(waiting, job.priority)
        return claim

    def _attempt(self, job: Job, claim: Claim, lease: Lease) -> int | None:
        try:
            if claim.unit == PLAN:
                return self._plan(job, claim, lease)
            if claim.unit == FINALIZE:
                shards.finalize(self._settings, job, self._store.finished_shards(job.id), check=lease.check)
                return 0 if self._store.close(claim) else None
            rows = shards.classify_shard(
                self._settings, job, int(claim.unit), self._classifiers.get(job.pins), lease.check
            )
            return self._store.finish_shard(claim, Done(rows=rows))
        except Stopped as stop:
            reason = str(stop)
        except redis.RedisError as error:
            # The store is not to be had: the lease runs out and the reaper gives the unit to another.
            _log.error("unit abandoned job=%s unit=%s reason=%s", claim.job, claim.unit, error)
            return None
        except Exception as error:
            reason = f"unit {claim.unit}: {_sentence(error)}"
            _log.error("unit failed job=%s attempt=%d reason=%s", claim.job, claim.attempt, reason)
            if claim.unit == PLAN and isinstance(error, InputError):
                return self._store.give_up(claim, reason=str(error))  # another attempt would not mend it
        return self._store.release(claim, reason=reason, max_attempts=self._settings.max_attempts)

    def _plan(self, job: Job, claim: Claim, lease: Lease) -> int | None:
        cut = shards.cut_inputs(self._settings, job, claim.token, lease.check_cancelled)
        return self._store.planned(
            claim, shards=cut.shards, total=cut.total, failed=cut.failed, cut_input=cut.folder
        )


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return text if isinstance(error, PingtiError) else f"{type(error).__name__}: {text}"


def make_worker(settings: Settings) -> Celery:
    """The Celery application with its tasks, for a process that consumes."""
    app = make_celery(settings)
    runner = Runner(
        settings, JobStore(connect(settings)), lambda count, priority: publish_tickets(app, count, priority)
    )

    def work() -> None:
        try:
            while runner.run_one() is not None:
                pass
        except Exception as error:  # the ticket is spent; what it was for comes back by lease and reaper
            _log.error("ticket failed reason=%s", _sentence(error))

    app.task(work, name=WORK, shared=False)
    return app


def _tell_presence(settings: Settings, name: str) -> Callable[..., None]:
    store = JobStore(connect(settings))

    def tell() -> None:
        while True:
            try:
                store.present(name)
            except redis.RedisError as error:
                _log.warning("presence not told reason=%s", error)
            time.sleep(_PRESENCE_SECONDS)

    def start(**_: Any) -> None:
        threading.Thread(target=tell, name="presence", daemon=True).start()

    return start


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m queue_worker.worker", description="A worker process.")
    parser.add_argument("--queue", choices=QUEUES, default=CLASSIFY)
    parser.add_argument("--name", help="told to the store as a sign of life; default: queue, host, process")
    options = parser.parse_args(arguments)
    queue = options.queue
    configure_logging()
    settings = Settings()
    try:
        if queue == RETRAIN:
            return retraining.serve(settings, options.name)
        app = make_worker(settings)
    except PingtiError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    # Celery warns a worker that runs as root, as in containers, of pickled messages. We take none.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    concurrency = settings.concurrency
    pa.set_cpu_count(1)  # the threads are the parallel part
    name = options.name or f"{queue}@{socket.gethostname()}-{os.getpid()}"

    # With a receiver of its own, Celery leaves logging alone. Signals hold weak references: keep these.
    keep = [lambda **_: None, _tell_presence(settings, name)]
    signals.setup_logging.connect(keep[0])
    signals.worker_ready.connect(keep[1])
    worker = app.Worker(
        hostname=name,
        pool_cls="threads",
        concurrency=concurrency,
        queues=[queue],
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    _log.info("worker starts name=%s threads=%d", name, concurrency)
    worker.start()
    return int(worker.exitcode or 0)


if __name__ == "__main__":
    sys.exit(main())
