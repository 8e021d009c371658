"""The Celery tasks, by whose names operators see the work. Arguments are ids and numbers.

Each asks the store for what it is about, and ends at once where there is nothing left to do: any of these
messages may be lost, late or doubled.
"""

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from celery import Celery, shared_task

from queue_worker.celery_app import (
    CALLBACK_TASK,
    CALLBACKS_TASK,
    CLASSIFY_TASK,
    DRIFT_TASK,
    EXPIRE_TASK,
    FINALIZE_TASK,
    HAVE_TEACHERS,
    LOWEST_PRIORITY,
    NIGHTS_TASK,
    PLAN_TASK,
    REAP_TASK,
    RETRAIN_TASK,
    connect,
    send,
)
from queue_worker.classifying.runner import AttemptError, Runner
from queue_worker.classifying.teachers import TeacherProcess
from queue_worker.jobs.callbacks import Callbacks
from queue_worker.jobs.models import FINALIZE, PLAN
from queue_worker.jobs.publishing import publisher
from queue_worker.jobs.reaper import reap as reap_once
from queue_worker.jobs.store import JobStore
from queue_worker.processes import lifecycle
from queue_worker.processes.health import tell_scheduler
from queue_worker.retention import expire as expire_old
from queue_worker.retraining.drift_monitor import DriftMonitor
from queue_worker.retraining.nights import Nights
from queue_worker.retraining.runner import RetrainWorker
from queue_worker.settings import Settings


@dataclass(kw_only=True)
class Resources:
    """What the tasks of this process work with, made when the first of them runs."""

    settings: Settings
    store: JobStore
    runner: Runner
    teachers: TeacherProcess
    """Asked by shards and about drift, one process for both."""
    callbacks: Callbacks


@lru_cache(maxsize=1)
def _make_resources(settings: Settings) -> Resources:
    store = JobStore(connect(settings), publisher(settings))
    teachers = TeacherProcess(settings)
    runner = Runner(settings, store, teachers)
    lifecycle.on_stop(runner.stopping.set)
    lifecycle.on_exit(teachers.end)
    callbacks = Callbacks(settings, store)
    return Resources(settings=settings, store=store, runner=runner, teachers=teachers, callbacks=callbacks)


_lock = threading.Lock()


def resources(application: Celery) -> Resources:
    """Those of this process."""
    with _lock:
        return _make_resources(application.settings)


lifecycle.report_rate(lambda application: resources(application).runner.rows_per_second())


@shared_task(name=PLAN_TASK, bind=True, throws=(AttemptError,))
def plan(self: Any, job: str) -> None:
    """Fix a job's shards and publish the first ones; a small job is done whole."""
    resources(self.app).runner.run(job, PLAN, worker=lifecycle.name_of(self.request.hostname))


@shared_task(name=CLASSIFY_TASK, bind=True, throws=(AttemptError,))
def classify(self: Any, job: str, shard: int) -> None:
    """Classify a shard, write its part, mark it finished; the job's next shard is published by that.

    Of the queue teach, whose workers have the teacher: one whose students ask it where they are not sure.
    """
    runner, worker = resources(self.app).runner, lifecycle.name_of(self.request.hostname)
    if (self.request.delivery_info or {}).get("routing_key") not in HAVE_TEACHERS:
        runner.run(job, str(shard), worker=worker)
        return
    runner.stopping.clear()  # of a shard before, which somebody has revoked
    with lifecycle.stop_on_sigterm(runner.stopping):
        runner.run(job, str(shard), worker=worker, has_teacher=True)


@shared_task(name=FINALIZE_TASK, bind=True, throws=(AttemptError,))
def finalize(self: Any, job: str) -> None:
    """Write a job's manifest and end it; a callback is due then."""
    resources(self.app).runner.run(job, FINALIZE, worker=lifecycle.name_of(self.request.hostname))


@shared_task(name=RETRAIN_TASK, bind=True)
def retrain(self: Any, run: str) -> None:
    """Do a retraining, in a process that may use torch. Revoked with terminate, it ends at once."""
    settings = self.app.settings
    resources(self.app).teachers.end()  # a retraining loads its own, and needs the memory
    worker = RetrainWorker(settings, connect(settings), publish=publisher(settings))
    with lifecycle.stop_on_sigterm(worker.stop):
        worker.run(run, worker=lifecycle.name_of(self.request.hostname))


@shared_task(name=DRIFT_TASK, bind=True)
def measure_drift(self: Any, job: str) -> None:
    """Ask the teacher about rows of a finished job, and of those that have ended with it."""
    stop = threading.Event()
    room = resources(self.app)
    with lifecycle.stop_on_sigterm(stop):
        DriftMonitor(room.settings, room.store.client, stop=stop, teachers=room.teachers).measure()


@shared_task(name=CALLBACK_TASK, bind=True)
def callback(self: Any, job: str) -> None:
    """Make one attempt at a signed callback."""
    resources(self.app).callbacks.attempt(job)


@shared_task(name=REAP_TASK, bind=True)
def reap(self: Any) -> None:
    """Publish again what a dead worker held, and what has lost its message."""
    room = resources(self.app)
    reap_once(self.app, room.store)
    tell_scheduler(room.store.client)


@shared_task(name=NIGHTS_TASK, bind=True)
def schedule_retraining(self: Any) -> None:
    """Make the retrainings of nights that are due, and have drift measured where jobs have ended."""
    room = resources(self.app)
    Nights(room.settings, room.store.client, publish=publisher(room.settings)).tick()
    job = DriftMonitor(room.settings, room.store.client).due()
    if job is not None:
        send(self.app, DRIFT_TASK, job, level=LOWEST_PRIORITY)


@shared_task(name=CALLBACKS_TASK, bind=True)
def send_due_callbacks(self: Any) -> None:
    """Publish an attempt at each callback that is due."""
    for job in resources(self.app).callbacks.take_due():
        send(self.app, CALLBACK_TASK, job)


@shared_task(name=EXPIRE_TASK, bind=True)
def expire(self: Any) -> None:
    """Delete what is older than the retention."""
    room = resources(self.app)
    expire_old(room.settings, room.store)
