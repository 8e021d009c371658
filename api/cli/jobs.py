"""``pingti jobs``: batches through the service, by the Python client of its REST door."""

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from api.cli.console import Screen
from api.cli.tasks import Delimiter, Encoding, Escape, Json, Keep, Quoting, TaskChoices, delimiter_of, keep_of
from pingti.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from pingti.client import Client
    from pingti.rest_models import JobOut

app = typer.Typer(help="Batch jobs of the running service.", no_args_is_help=True)

Url = Annotated[str, typer.Option("--url", envvar="PINGTI_URL", help="Where the service listens.")]
Key = Annotated[
    str | None, typer.Option("--key", envvar="PINGTI_API_KEY", help="Bearer key.", show_default=False)
]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
LOCAL = "http://127.0.0.1:8080"
_FORMS: dict[str, Literal["parquet", "jsonl", "csv"]] = {
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".csv": "csv",
}


IdempotencyKey = Annotated[
    str | None, typer.Option(help="Sent again with the same request it gives the same job again.")
]
MaxBad = Annotated[
    str | None,
    typer.Option(help='Bad rows that are allowed: "100", or "5%" of all. With more it fails.'),
]
Metadata = Annotated[
    list[str] | None, typer.Option(help="Your own note, NAME=VALUE; repeatable.", metavar="NAME=VALUE")
]


@app.command()
def submit(
    inputs: Annotated[
        list[str], typer.Argument(help="Files, folders or patterns that the service may read.")
    ],
    tasks: TaskChoices,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 runs first.")] = None,
    text: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the id.")] = None,
    delimiter: Delimiter = None,
    quoting: Quoting = "auto",
    escape: Escape = None,
    encoding: Encoding = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Send the files; else the service reads them where they are.")
    ] = False,
    metadata: Metadata = None,
    callback: Annotated[str | None, typer.Option(help="Address that is told of the job's end.")] = None,
    output: Annotated[
        str | None, typer.Option(help="Folder of an object store that gets the results (s3://...).")
    ] = None,
    idempotency_key: IdempotencyKey = None,
    max_bad: MaxBad = None,
    keep: Keep = None,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when the job has ended.")] = False,
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Submit a job. With --wait, exit code 1 where it failed or was cancelled."""
    from pingti.client import Client
    from pingti.inference.bad_rows import parse_max_bad

    screen = Screen(as_json=as_json)
    with Client(url, key) as pingti:
        # A relative path is the caller's, not the service's.
        places = _files(inputs) if upload else _places(inputs)
        if missing := [path for path in places if upload and not Path(path).is_file()]:
            raise InputError(f"{missing[0]}: there is no such file to send")
        try:
            job = pingti.submit(
                places,
                tasks,
                upload=upload,
                text=text,
                id=id_column,
                priority=priority,
                metadata=dict(_pair(note) for note in metadata or []),
                callback=callback,
                output=output,
                idempotency_key=idempotency_key,
                delimiter=delimiter_of(delimiter),
                quoting=quoting,
                escape=escape,
                encoding=encoding,
                max_bad_rows=None if max_bad is None else parse_max_bad(max_bad),
                keep=keep_of(keep),
            )
        except InputError as error:
            if upload or not any((fault.pointer or "").startswith("/inputs/") for fault in error.faults):
                raise
            raise InputError(
                f"{error}; where the service may not read them, --upload sends the files instead"
            ) from None
        if wait:
            _follow_and_show(pingti, job.id, screen)
        else:
            _show(job, screen)


@app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    task: Annotated[str | None, typer.Option(help="Only jobs that ask this task.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 20,
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """The newest jobs."""
    from pingti.client import Client

    screen = Screen(as_json=as_json)
    with Client(url, key) as pingti:
        jobs = list(islice(pingti.jobs(status=status, task=task), limit))
    if not jobs:
        screen.note("no such job; pingti jobs submit FILE --task TASK sends one")
    screen.table(
        ["job", "status", "prio", "tasks", "rows", "done", "failed"],
        [
            [
                job.id,
                job.status,
                job.priority,
                len(job.tasks),
                *(f"{count:,}" for count in (job.counts.total, job.counts.completed, job.counts.failed)),
            ]
            for job in jobs
        ],
    )
    screen.result([job.model_dump(mode="json") for job in jobs])


@app.command()
def show(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """One job."""
    from pingti.client import Client

    with Client(url, key) as pingti:
        _show(pingti.job(job), Screen(as_json=as_json))


@app.command()
def cancel(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Stop a job; what is finished stays."""
    from pingti.client import Client

    with Client(url, key) as pingti:
        _show(pingti.cancel(job), Screen(as_json=as_json))


@app.command()
def wait(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Watch a job until it has ended; exit code 1 where it failed or was cancelled."""
    from pingti.client import Client

    with Client(url, key) as pingti:
        _follow_and_show(pingti, job, Screen(as_json=as_json))


@app.command()
def delete(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Remove a job that has ended, with its results."""
    from pingti.client import Client

    screen = Screen(as_json=as_json)
    with Client(url, key) as pingti:
        pingti.delete(job)
    screen.say(f"{job}: deleted")
    screen.result({"id": job, "deleted": True})


@app.command()
def errors(
    job: JobId,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write, one JSON object a line; stdout where absent."),
    ] = None,
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Download the rows that could not be classified."""
    from pingti.client import Client

    with Client(url, key) as pingti:
        _download(out, partial(pingti.download_errors, job), Screen(as_json=as_json))


@app.command()
def results(
    job: JobId,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="File to write: .parquet, .jsonl or .csv; JSON lines to stdout where absent."
        ),
    ] = None,
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Download a job's results."""
    from pingti.client import Client

    form = "jsonl" if out is None else _FORMS.get(out.suffix.lower())
    if form is None:
        raise InputError(f"{out}: the name must end in .parquet, .jsonl or .csv")
    with Client(url, key) as pingti:
        _download(out, partial(pingti.download, job, form=form), Screen(as_json=as_json))


def _files(inputs: Sequence[str]) -> list[str]:
    """What is to be sent: in the place of a folder and of a pattern its files."""
    from pingti.corpus.paths import input_files

    return [file for path in inputs for file in ([path] if "://" in path else input_files([path]))]


def _places(inputs: Sequence[str]) -> list[str]:
    """Paths as the service is to see them; addresses and ids of uploaded files stay as they are."""
    return [
        path if "://" in path or path.startswith("file-") else str(Path(path).absolute()) for path in inputs
    ]


def _pair(note: str) -> tuple[str, str]:
    name, equals, value = note.partition("=")
    if not name or not equals:
        raise InputError(f"--metadata {note!r}: needed is NAME=VALUE")
    return name, value


def _download(out: Path | None, download: Callable[[Path], int], screen: Screen) -> None:
    """Download into a file, or to standard output once it is whole."""
    if out is not None:
        size = download(out)
        screen.say(f"{out}: {size:,} bytes")
        screen.result({"out": str(out), "bytes": size})
        return
    if sys.stdout is None:  # as of a process that was started without one
        raise UnavailableError("standard output is closed; --out names a file instead")
    with TemporaryDirectory() as folder:
        target = Path(folder) / "download"
        download(target)
        with target.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)  # bytes: a terminal's encoding may lack letters
            sys.stdout.buffer.flush()


def follow(pingti: "Client", job_id: str, screen: Screen) -> "JobOut":
    """Wait for a job's end, showing its progress; JobFailedError where it is not completed."""

    def show_progress(job: "JobOut") -> None:
        counts = job.counts
        if counts.total:
            screen.advance("rows", counts.completed + counts.failed, counts.total)

    with screen.progress():
        return pingti.wait(job_id, progress=show_progress)


def _follow_and_show(pingti: "Client", job: str, screen: Screen) -> None:
    from pingti.client import JobFailedError

    try:
        _show(follow(pingti, job, screen), screen)
    except JobFailedError as error:
        _show(error.job, screen)
        raise


def _show(job: "JobOut", screen: Screen) -> None:
    counts = job.counts
    screen.say(f"{job.id}: {job.status}" + (f": {job.error}" if job.error else ""))
    total = f"{counts.total:,}" if counts.total or job.status == "completed" else "not counted yet"
    screen.say(f"rows: {total}; done {counts.completed:,}, failed {counts.failed:,}")
    for task, decided in job.decided.items():
        screen.say(f"{task} decided by " + ", ".join(f"{who} {rows:,}" for who, rows in decided.items()))
    if job.waits_for:
        screen.say(f"waits for {job.waits_for}")
    for shard, worker in job.workers.items():
        screen.say(f"{f'shard {shard}' if shard.isdigit() else shard}: {worker}")
    if job.status == "completed":
        screen.say(f"next is pingti jobs results {job.id} --out results.parquet")
    if counts.failed:
        screen.say(f"what was wrong with rows: pingti jobs errors {job.id} --out errors.jsonl")
    screen.result(job.model_dump(mode="json"))
