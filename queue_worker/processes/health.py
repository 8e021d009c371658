"""A health check of this host: ``python -m queue_worker.processes.health classify``.

For the health checks of containers, each of which is a host of its own. Ends with 0 when a process of the
kind (``classify``, ``retrain``, ``scheduler``) has given Valkey a sign of life lately, else with 1 and one
sentence on standard error. A check runs every few seconds: this module asks Valkey itself, since ``jobs``
would import the students' kernels.
"""

import argparse
import socket
import sys
from collections.abc import Sequence
from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pingti.errors import PingtiError
from queue_worker.celery_app import QUEUES, connect
from queue_worker.settings import Settings

SCHEDULER = "scheduler"
SCHEDULER_SECONDS = 30  # it tells every ten
_WORKER_SECONDS = 15  # they tell every three


def tell_scheduler(client: redis.Redis) -> None:
    """The scheduler's sign of life; it fades by itself."""
    client.set(_scheduler_key(socket.gethostname()), 1, ex=SCHEDULER_SECONDS)


def alive(client: redis.Redis, kind: str, host: str) -> bool:
    """Whether a process of ``kind`` (a queue's name or ``scheduler``) on ``host`` was heard of lately."""
    if kind == SCHEDULER:
        return bool(client.exists(_scheduler_key(host)))
    seconds, _ = client.time()
    names = client.zrangebyscore("pingti:workers", (seconds - _WORKER_SECONDS) * 1000, "+inf")
    # Named queue@host-process by queue_worker.worker.
    return any(name.rpartition("-")[0] == f"{kind}@{host}" for name in cast("list[str]", names))


def _scheduler_key(host: str) -> str:
    return f"pingti:scheduler:of:{host}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m queue_worker.processes.health", description="A health check."
    )
    parser.add_argument("kind", choices=(*QUEUES, SCHEDULER))
    kind = parser.parse_args(arguments).kind
    host = socket.gethostname()
    try:
        with connect(Settings.of_environment()) as client:
            client.set_retry(Retry(NoBackoff(), retries=0))  # the next check is the next attempt
            if alive(client, kind, host):
                return 0
        reason = f"no {kind} process on {host} has given a sign of life lately"
    except PingtiError as error:
        reason = str(error)
    except redis.RedisError as error:
        reason = f"Valkey does not answer: {' '.join(str(error).split())}"
    print(reason, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
