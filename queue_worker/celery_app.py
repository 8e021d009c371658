"""The Celery application, and the one place that names queues, messages and priorities.

A classify message is a *ticket*: it says "there is work", not which. The worker that gets it asks the job
store for the most urgent unit (``JobStore.claim``), again and again until nothing waits: a message costs
more than a small job. So a lost message costs nothing that a new ticket does not mend, a message delivered
twice finds nothing to do, and the order among jobs is decided in one place, by one script.
"""

import gc
import logging
import sys
from functools import lru_cache
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import redis
from celery import Celery
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from pingti.errors import UnavailableError
from queue_worker.settings import Settings

CLASSIFY = "classify"  # queue: tickets
RETRAIN = "retrain"  # queue: retrainings, kept by ``runs`` without messages, for a worker of its own
QUEUES = (CLASSIFY, RETRAIN)

WORK = "pingti.work"  # message: take units until none waits

PRIORITIES = tuple(range(10))  # 0 runs first; Celery's own default has four steps and merges 4 with 5
DEFAULT_PRIORITY = 5
# Tickets that wait at most: each wakes a thread, which works until nothing waits and asks for another
# ticket as long as there is work for more. A message costs as much as a small job.
MOST_TICKETS = 4
_SWITCH_SECONDS = 0.0005

# The same in every producer and worker. The time-out is long because an expired one runs a task twice:
# lost work comes back through our own leases, within seconds.
TRANSPORT = {
    "queue_order_strategy": "round_robin",
    "priority_steps": list(PRIORITIES),
    "sep": ":",
    "visibility_timeout": 3600,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 5,
    "socket_keepalive": True,
}

CLASSIFY_LISTS = tuple(f"{CLASSIFY}{TRANSPORT['sep']}{level}" if level else CLASSIFY for level in PRIORITIES)
"""The broker's lists of tickets, one a priority."""


def broker_url(settings: Settings) -> str:
    """The server's address; UnavailableError where none is set."""
    if not settings.redis_url:
        raise UnavailableError("no Valkey is set: give PINGTI_REDIS_URL, or start everything by 'pingti up'")
    return settings.redis_url


def kombu_url(url: str) -> str:
    """The server's address as kombu spells it, which knows no ``unix://[USER:PASSWORD@]PATH?db=NUMBER``."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    options = dict(parse_qsl(parts.query))
    database = options.get("db", "0")
    password = unquote(parts.password or "") or options.get("password", "")
    user = unquote(parts.username or "") or options.get("username", "")
    account = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
    return f"redis+socket://{account}{parts.path}?virtual_host={database}"


def connect(settings: Settings) -> redis.Redis:
    """A client that waits out a restart of the server of up to some ten seconds."""
    retry = Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.5), retries=12)
    return redis.Redis.from_url(
        broker_url(settings),
        decode_responses=True,
        retry=retry,
        retry_on_error=[redis.exceptions.BusyLoadingError],
        socket_connect_timeout=5,
        socket_timeout=settings.durable_seconds + 10,  # longer than the longest blocking command
        health_check_interval=30,
    )


@lru_cache(maxsize=8)
def make_celery(settings: Settings, *, seconds: float | None = None) -> Celery:
    """A Celery application with no tasks registered: enough to publish. ``worker`` adds the tasks.

    Args:
        settings: where the server is.
        seconds: that an answer of it is waited for; without end where absent.
    """
    app = Celery(
        "pingti",
        broker=kombu_url(broker_url(settings)),
        amqp="queue_worker.processes.channel:Amqp",  # which puts bad messages aside, as the consumer does
        set_as_current=False,
    )
    app.settings = settings
    app.conf.update(
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_default_queue=CLASSIFY,
        task_default_priority=DEFAULT_PRIORITY,
        task_create_missing_queues=True,
        worker_consumer="queue_worker.processes.consumer:Consumer",
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_transport_options={**TRANSPORT, "socket_timeout": seconds},
        task_publish_retry_policy={
            "max_retries": 5,
            "interval_start": 0,
            "interval_step": 0.2,
            "interval_max": 1,
        },
    )
    return app


def publish_tickets(app: Celery, count: int, priority: int) -> None:
    """Publish ``count`` tickets (at most 4) on the classify queue."""
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(min(count, MOST_TICKETS)):
            app.send_task(WORK, queue=CLASSIFY, priority=priority, producer=producer)


def tickets_waiting(client: redis.Redis) -> int:
    """Messages on the classify queue that no worker has taken."""
    pipe = client.pipeline(transaction=False)
    for name in CLASSIFY_LISTS:
        pipe.llen(name)
    return sum(pipe.execute())


def shorten_pauses() -> None:
    """For a process of threads whose start is over: none of them waits long for the interpreter.

    A thread back from the kernel or the broker waits 0.5 ms, not 5, for one that runs Python. What is there
    by now stays: a full collection that looks through it stops all threads for 100 ms.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    gc.collect()
    gc.freeze()


def configure_logging() -> None:
    """For the room's processes: one line an event, to standard error."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    logging.getLogger("celery").setLevel(logging.WARNING)  # a line for each ticket would say nothing
