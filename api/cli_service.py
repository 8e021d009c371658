"""``pingti up``, ``pingti worker`` and ``pingti scheduler``: the service whole, or one part of it."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli_tasks import WORKSPACE, Home

# The command line also runs where the extra "service" is not installed: the queue is imported when needed.
if TYPE_CHECKING:
    from queue_worker.settings import Settings

app = typer.Typer()


class Queue(StrEnum):
    """What a worker works on; the names are those of ``queue_worker.app``."""

    CLASSIFY = "classify"
    RETRAIN = "retrain"


RedisUrl = Annotated[
    str | None, typer.Option(envvar="PINGTI_REDIS_URL", help="A Valkey or Redis that is there.")
]
Threads = Annotated[
    int | None, typer.Option(min=1, envvar="PINGTI_CONCURRENCY", help="Threads of a worker; else the cores.")
]


@app.command()
def up(
    home: Home = WORKSPACE,
    redis_url: RedisUrl = None,
    host: Annotated[str, typer.Option(envvar="PINGTI_HOST", help="Where the API listens.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="PINGTI_PORT", help="0 takes a free one.")] = 8080,
    workers: Annotated[int, typer.Option(help="Classifying worker processes.", min=0)] = 1,
) -> None:
    """Start everything: Valkey, workers, the scheduler, the API with its dashboard.

    What ends by itself is started again, after pauses that grow to ten seconds. Ctrl-C ends it all.
    """
    from api.up import run_up

    run_up(home=home, redis_url=redis_url, host=host, port=port, workers=workers)


@app.command()
def worker(
    queue: Annotated[
        Queue, typer.Option(help="What it works on; retrain needs the extra teacher.")
    ] = Queue.CLASSIFY,
    home: Home = WORKSPACE,
    redis_url: RedisUrl = None,
    concurrency: Threads = None,
) -> None:
    """One more worker for a service that runs. SIGTERM lets it finish what it is at."""
    settings = _settings(home, redis_url)
    if concurrency is not None:
        settings = settings.model_copy(update={"concurrency": concurrency})
    _become(settings, "queue_worker.worker", "--queue", queue.value)


@app.command()
def scheduler(home: Home = WORKSPACE, redis_url: RedisUrl = None) -> None:
    """The scheduler of a service: nightly retraining, and work that dead workers held. One is enough."""
    _become(_settings(home, redis_url), "queue_worker.nightly")


def _settings(home: Path, redis_url: str | None) -> "Settings":
    from queue_worker.app import broker_url
    from queue_worker.settings import Settings

    settings = Settings(home=home, redis_url=redis_url)
    broker_url(settings)  # says what to do where there is none
    return settings


def _become(settings: "Settings", module: str, *arguments: str) -> None:
    """This process goes on as the part: signals and the exit code are the part's own."""
    sys.stdout.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-m", module, *arguments],
        {**os.environ, **settings.environment()},
    )
