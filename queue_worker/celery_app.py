"""The Celery application, and the one place that names queues, tasks and priorities.

``celery -A queue_worker.celery_app worker|beat|inspect|control|events|report`` work as everywhere; the
settings come from ``PINGTI_*`` variables. What the tasks do is in ``tasks``. Messages carry ids and numbers
only: everything else is read from the store, so that one that is lost or delivered twice does no harm.
"""

import gc
import json
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import redis
from celery import Celery
from kombu.entity import Queue
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from pingti.errors import UnavailableError
from queue_worker.addresses import kombu_url, open_client, watched
from queue_worker.settings import Settings

CLASSIFY = "classify"  # queue: plans, shards and ends of jobs, for pools of threads
RETRAIN = "retrain"  # queue: what learns, for a worker of its own with the extra "teacher"
TEACH = "teach"  # queue: shards whose students ask a teacher; free workers of retrain do them, too
CONTROL = "control"  # queue: short periodic tasks and callbacks, for the scheduler's process
QUEUES = (CLASSIFY, RETRAIN, TEACH, CONTROL)
HAVE_TEACHERS = (RETRAIN, TEACH)
"""Queues whose workers have what asks a teacher."""

PLAN_TASK = "pingti.plan"
CLASSIFY_TASK = "pingti.classify"
FINALIZE_TASK = "pingti.finalize"
RETRAIN_TASK = "pingti.retrain"
DRIFT_TASK = "pingti.measure_drift"
CALLBACK_TASK = "pingti.callback"
REAP_TASK = "pingti.reap"
NIGHTS_TASK = "pingti.schedule_retraining"
CALLBACKS_TASK = "pingti.send_due_callbacks"
EXPIRE_TASK = "pingti.expire"

QUEUE_OF = {
    PLAN_TASK: CLASSIFY,
    CLASSIFY_TASK: CLASSIFY,
    FINALIZE_TASK: CLASSIFY,
    RETRAIN_TASK: RETRAIN,
    DRIFT_TASK: RETRAIN,
    CALLBACK_TASK: CONTROL,
    REAP_TASK: CONTROL,
    NIGHTS_TASK: CONTROL,
    CALLBACKS_TASK: CONTROL,
    EXPIRE_TASK: CONTROL,
}
"""Of each task, the queue that its messages go to; a shard whose students ask a teacher goes to teach."""

PRIORITIES = tuple(range(10))  # 0 runs first; Celery's own default has four steps and merges 4 with 5
DEFAULT_PRIORITY = 5
LOWEST_PRIORITY = 9
PUBLISHED = "published"  # header of a message: when, in ms of the store's clock
_AMQP_PRIORITIES = 10
_LEASED = (CLASSIFY, RETRAIN, TEACH)  # queues of units, which have leases
_SWITCH_SECONDS = 0.0005
_EXPIRE_SECONDS = 3600.0
_SOFT_SECONDS = 10.0  # after SIGQUIT or a second SIGINT: a shard ends or is handed back within five

# The same in every producer and worker. The time-out is long because an expired one runs a task twice:
# lost work comes back through our own leases, within seconds.
REDIS_TRANSPORT = {
    "queue_order_strategy": "round_robin",
    "priority_steps": list(PRIORITIES),
    "sep": ":",
    "visibility_timeout": 3600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
}


def lists_of(queue: str) -> tuple[str, ...]:
    """The lists in Valkey that hold a queue's messages, one a priority level, 0 first."""
    return tuple(f"{queue}:{level}" if level else queue for level in PRIORITIES)


def store_url(settings: Settings) -> str:
    """The address of the server that keeps the jobs.

    Raises:
        UnavailableError: none is set.
    """
    if not settings.redis_url:
        raise UnavailableError("no Valkey is set: give PINGTI_REDIS_URL, or start everything by 'pingti up'")
    return settings.redis_url


def connect(settings: Settings) -> redis.Redis:
    """A client of the store that waits out a restart of the server of up to some ten seconds."""
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.5), retries=12)
    return open_client(
        store_url(settings),
        decode_responses=True,
        retry=retry,
        retry_on_error=[redis.exceptions.BusyLoadingError],
        socket_connect_timeout=5,
        socket_timeout=settings.durable_seconds + 10,  # longer than the longest blocking command
        health_check_interval=30,
    )


def uses_amqp(settings: Settings) -> bool:
    """Whether messages go through RabbitMQ; else they are in Valkey, beside the jobs."""
    return (settings.broker_url or "").startswith(("amqp://", "amqps://"))


def broker_priority(settings: Settings, level: int) -> int:
    """A message's priority as the broker counts: RabbitMQ's most urgent is the highest, ours is 0."""
    return _AMQP_PRIORITIES - level if uses_amqp(settings) else level


def beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """The periodic tasks. All are short, idempotent, and harmless when two beats run."""

    def every(seconds: float, task: str) -> dict[str, Any]:
        options = {"priority": broker_priority(settings, 0), "expires": max(30.0, seconds)}
        return {"task": task, "schedule": seconds, "options": options}

    return {
        "reap": every(settings.reap_seconds, REAP_TASK),
        "schedule retraining": every(max(1.0, settings.reap_seconds), NIGHTS_TASK),
        "send due callbacks": every(1.0, CALLBACKS_TASK),
        "expire": every(_EXPIRE_SECONDS, EXPIRE_TASK),
    }


def _configuration(settings: Settings, seconds: float | None) -> dict[str, Any]:
    make_queue: Any = Queue  # kombu has no types
    configuration = {
        "imports": ["queue_worker.tasks"],
        "task_queues": [make_queue(name, routing_key=name) for name in (CLASSIFY, CONTROL)],
        "task_default_queue": CLASSIFY,
        "task_routes": {task: {"queue": queue} for task, queue in QUEUE_OF.items()},
        "task_default_priority": broker_priority(settings, DEFAULT_PRIORITY),
        "task_create_missing_queues": True,  # retrain, teach: never taken by a worker that is not asked to
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": False,  # the reaper publishes again, and counts the attempts
        "task_send_sent_event": False,
        "task_publish_retry_policy": {
            "max_retries": 5,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 1,
        },
        # Threads: the kernel releases the interpreter's lock, and there is one copy of the students.
        "worker_pool": "queue_worker.threads:Threads",
        "worker_concurrency": settings.concurrency,
        "worker_consumer": "queue_worker.processes.consumer:Consumer",
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": True,
        "worker_send_task_events": True,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_proc_alive_timeout": 60,
        "worker_soft_shutdown_timeout": _SOFT_SECONDS,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "beat_schedule": beat_schedule(settings),
        "beat_scheduler": "queue_worker.scheduler:Beat",  # keeps no file: what was done is in the store
        "beat_max_loop_interval": 1.0,
        "enable_utc": True,
    }
    if uses_amqp(settings):
        return {**configuration, "task_queue_max_priority": _AMQP_PRIORITIES}
    transport = {**REDIS_TRANSPORT, "socket_timeout": seconds}
    server = watched(store_url(settings))
    if server is not None:
        transport["master_name"] = server.master
    # Its server may be full or a replica for a while: a worker connects again till it is not.
    return {**configuration, "broker_channel_error_retry": True, "broker_transport_options": transport}


@lru_cache(maxsize=8)
def make_celery(settings: Settings, *, seconds: float | None = None) -> Celery:
    """The application for these settings; its tasks are imported by workers only.

    Args:
        settings: where the servers are.
        seconds: that an answer of the broker is waited for; without end where absent.

    Raises:
        UnavailableError: no server is set.
    """
    application = Celery(
        "pingti",
        broker=kombu_url(settings.broker_url or store_url(settings)),
        # Puts bad messages aside, as the consumer does.
        amqp=None if uses_amqp(settings) else "queue_worker.processes.channel:Amqp",
        set_as_current=False,
    )
    application.conf.update(_configuration(settings, seconds))
    application.settings = settings
    return application


def __getattr__(name: str) -> Any:
    """``app``, which ``celery -A queue_worker.celery_app`` looks for: of the environment's settings."""
    if name == "app":
        application = make_celery(Settings.of_environment())
        application.set_current()
        return application
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def oldest_published(client: redis.Redis, application: Celery) -> list[str]:
    """For each level of classify, then of retrain, then of teach: when its next message was published.

    In ms of the store's clock; "" where none waits. A message of another origin counts as very old, and so do
    all of RabbitMQ, which does not show them.
    """
    if uses_amqp(application.settings):
        waiting = []
        with application.connection_for_read() as connection:
            for queue in _LEASED:
                declared = application.amqp.queues[queue](connection.default_channel)
                waiting += ["0" if declared.queue_declare().message_count else ""] * len(PRIORITIES)
        return waiting
    pipe = client.pipeline(transaction=False)
    for queue in _LEASED:
        for name in lists_of(queue):
            pipe.lindex(name, -1)
    return [_published(message) for message in pipe.execute(raise_on_error=False)]


def _published(message: Any) -> str:
    if message is None:
        return ""
    try:
        return str(int(json.loads(message)["headers"][PUBLISHED]))
    except (TypeError, ValueError, KeyError, RecursionError):
        return "0"


def send(
    application: Celery,
    task: str,
    *arguments: str | int,
    queue: str | None = None,
    level: int = DEFAULT_PRIORITY,
    id: str | None = None,
    headers: Mapping[str, Any] | None = None,
    producer: Any = None,
) -> None:
    """Publish one message of a task.

    Args:
        application: Of ``make_celery``.
        task: Its name, one of the above.
        *arguments: Ids and numbers.
        queue: Another than that of ``QUEUE_OF``.
        level: The priority, 0 runs first.
        id: The Celery id of the task; none: a random one.
        headers: Further headers of the message.
        producer: One of the application's, where several messages are sent.

    Raises:
        kombu.exceptions.OperationalError: the broker does not take it.
    """
    application.send_task(
        task,
        args=arguments,
        queue=queue or QUEUE_OF[task],
        task_id=id,
        priority=broker_priority(application.settings, level),
        headers=dict(headers or {}),
        producer=producer,
    )


def shorten_pauses() -> None:
    """For a process of threads whose start is over: none of them waits long for the interpreter.

    A thread back from the kernel or the broker waits 0.5 ms, not 5, for one that runs Python. What is there
    by now stays: a full collection that looks through it stops all threads for 100 ms.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()
