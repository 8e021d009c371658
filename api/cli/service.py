"""``pingti up``, ``worker`` and ``scheduler``: the service whole, or one part of it; ``pingti stress``."""

import os
import sys
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.console import Screen
from api.cli.tasks import WORKSPACE, Home, Json
from pingti.errors import InputError, NotFoundError

# The command line also runs where the extra "service" is not installed: the queue is imported when needed.
if TYPE_CHECKING:
    import pyarrow as pa

    from pingti.workspace.registry import Workspace
    from queue_worker.settings import Settings

app = typer.Typer()


class Queue(StrEnum):
    """What a worker works on; the names are those of ``queue_worker.celery_app``."""

    CLASSIFY = "classify"
    RETRAIN = "retrain"
    TEACH = "teach"
    CONTROL = "control"


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

    Where a task has a cascade, one worker more asks its teacher for jobs, whatever retraining is under way.
    What ends by itself is started again, after pauses that grow to ten seconds. Ctrl-C ends it all.
    """
    from api.cli.up import run_up

    run_up(home=home, redis_url=redis_url, host=host, port=port, workers=workers)


@app.command()
def worker(
    queue: Annotated[
        Queue, typer.Option(help="What it works on; retrain and teach need the extra teacher.")
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
    _become(_settings(home, redis_url), "queue_worker.scheduler")


@app.command()
def stress(
    tasks: Annotated[
        list[str] | None, typer.Option("--task", help="Again for more tasks; else all with a student in use.")
    ] = None,
    file: Annotated[str | None, typer.Option("--input", help="Texts; else the first task's corpus.")] = None,
    text: Annotated[str, typer.Option(help="The column of the texts.")] = "text",
    most: Annotated[
        int, typer.Option("--threads", min=1, max=256, help="Most threads to try.", show_default="cores + 1")
    ] = (os.cpu_count() or 1) + 1,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Of each of the three turns.")] = 3.0,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Try how many threads a worker should have on this machine (PINGTI_CONCURRENCY), on real texts."""
    from pingti.inference.classifier import Classifier
    from pingti.inference.pins import Choice
    from pingti.workspace.registry import Workspace
    from queue_worker.classifying.tuning import recommended
    from queue_worker.classifying.tuning import stress as run

    screen = Screen(as_json=as_json)
    workspace = Workspace(home)
    names = tasks or [name for name in workspace.task_names() if workspace.task(name).current() is not None]
    if not names:
        raise NotFoundError(f"{home}: no task has a student in use; pingti replace TASK --promote makes one")
    classifier = Classifier.of(workspace, names)
    texts = _some_texts(workspace, Choice.parse(names[0]).task, file, text)
    with screen.progress():
        tried = run(
            classifier,
            texts,
            most=most,
            seconds=seconds,
            progress=lambda done, total: screen.advance("turns", done, total),
        )
    best = recommended(tried)
    screen.table(
        ["threads", "rows/s", "cores used"],
        [[turn.threads, f"{turn.rows_per_second:,.0f}", f"{turn.cores_used:.2f}"] for turn in tried],
    )
    screen.say(f"{len(names)} tasks; recommended: PINGTI_CONCURRENCY={best} (or --concurrency {best})")
    screen.result({"tasks": names, "tried": [asdict(turn) for turn in tried], "recommended": best})


def _some_texts(workspace: "Workspace", task: str, file: str | None, text: str) -> "pa.Array":
    """The first texts of a file, or of a task's corpus; InputError where it cannot be read."""
    from pingti.corpus.reader import Columns, expand_all, read_rows

    entry = workspace.task(task)
    corpus = entry.definition.corpus
    columns = Columns(text=text) if file else replace(corpus.columns, id=None, time=None)
    for path in [file] if file else expand_all(corpus.files, entry.path.parent):
        for batch in read_rows(path, columns, lambda bad: None, batch_rows=20_000):
            return batch["text"]
    raise InputError(f"{file or task}: there is no row to classify")


def _settings(home: Path, redis_url: str | None) -> "Settings":
    from queue_worker.celery_app import store_url
    from queue_worker.settings import Settings

    settings = Settings(home=home, redis_url=redis_url)
    store_url(settings)  # says what to do where there is none
    return settings


def _become(settings: "Settings", module: str, *arguments: str) -> None:
    """This process goes on as the part: signals and the exit code are the part's own."""
    sys.stdout.flush()
    os.execve(
        sys.executable,
        [sys.executable, "-P", "-m", module, *arguments],
        {**os.environ, **settings.environment()},
    )
