"""``pingti jobs``: batches through the service, over its REST door."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from api.cli_tasks import Json, TaskChoices
from api.console import Screen
from pingti.errors import ConflictError, InputError, NotFoundError, PingtiError, UnavailableError

if TYPE_CHECKING:
    import httpx

app = typer.Typer(help="Batch jobs of the running service.", no_args_is_help=True)

DONE = ("completed", "failed", "cancelled")
Url = Annotated[str, typer.Option("--url", envvar="PINGTI_URL", help="Where the service listens.")]
Key = Annotated[
    str | None, typer.Option("--key", envvar="PINGTI_API_KEY", help="Bearer key.", show_default=False)
]
JobId = Annotated[str, typer.Argument(help="The job's id.")]
LOCAL = "http://127.0.0.1:8080"


class Door:
    """The REST door of a running service; its problem documents become Pingti's errors."""

    def __init__(self, url: str, key: str | None = None) -> None:
        import httpx

        self._transport_error = httpx.TransportError
        self._client = httpx.Client(
            base_url=url, headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=60.0
        )
        self._url = url

    def __enter__(self) -> "Door":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        wanted = {name: value for name, value in query.items() if value is not None}
        return self._ask("GET", path, params=wanted).json()

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self._ask("POST", path, json=body, headers=headers).json()

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def upload(self, path: Path) -> str:
        """Send a file; its name on the server."""
        try:
            with path.open("rb") as file:
                # The time-out is a packet's, not the file's.
                stored = self._ask("POST", "/v1/files", files={"file": (path.name, file)}).json()
        except OSError as error:
            raise InputError(f"{path}: not readable: {error.strerror}") from error
        return str(stored["path"])

    def download(self, path: str, target: Path, **query: str) -> int:
        """Stream an answer into a file that appears whole; its size in bytes."""
        from pingti import files

        try:
            with self._client.stream("GET", path, params=query) as answer:
                if answer.is_error:
                    answer.read()
                    _refuse(answer)
                with files.replacing(target) as temporary, temporary.open("wb") as file:
                    for piece in answer.iter_bytes():
                        file.write(piece)
        except self._transport_error as error:
            raise UnavailableError(f"{self._url}: the download broke off: {error}") from error
        return target.stat().st_size

    def _ask(self, method: str, path: str, **options: Any) -> "httpx.Response":
        try:
            answer = self._client.request(method, path, **options)
        except self._transport_error as error:
            raise UnavailableError(
                f"{self._url}: no answer ({error}); pingti up starts the service, --url names another"
            ) from error
        if answer.is_error:
            _refuse(answer)
        return answer


def _refuse(answer: "httpx.Response") -> None:
    try:
        problem = answer.json()
        message = str(problem.get("detail") or problem["title"])
    except (ValueError, KeyError, AttributeError):
        message = f"{answer.request.url}: HTTP {answer.status_code}"
    kinds: dict[int, type[PingtiError]] = {404: NotFoundError, 409: ConflictError, 503: UnavailableError}
    if answer.status_code < 500:
        raise kinds.get(answer.status_code, InputError)(message)
    raise kinds.get(answer.status_code, PingtiError)(message)


@app.command()
def submit(
    inputs: Annotated[list[str], typer.Argument(help="Files that the service may read.")],
    tasks: TaskChoices,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="0 runs first.")] = None,
    text: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    id_column: Annotated[str | None, typer.Option("--id", help="Column of the id.")] = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Send the files; else the service reads them where they are.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Come back when the job has ended.")] = False,
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Submit a job."""
    screen = Screen(as_json=as_json)
    with Door(url, key) as door:
        # A relative path is the caller's, not the service's.
        places = [door.upload(Path(path)) for path in inputs] if upload else _places(inputs)
        body = {"inputs": places, "tasks": tasks, "priority": priority, "text": text, "id": id_column}
        try:
            job = door.post("/v1/jobs", {name: value for name, value in body.items() if value is not None})
        except InputError as error:
            if "allowed folder" not in str(error):
                raise
            raise InputError(f"{error}; --upload sends the files instead") from None
        if wait:
            job = follow(door, job["id"], screen)
    _show(job, screen)


@app.command("list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many, the newest first.")] = 20,
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """The newest jobs."""
    screen = Screen(as_json=as_json)
    with Door(url, key) as door:
        jobs = door.get("/v1/jobs", limit=limit, status=status)["items"]
    if not jobs:
        screen.note("no such job; pingti jobs submit FILE --task TASK sends one")
    screen.table(
        ["job", "status", "priority", "tasks", "rows", "done", "failed"],
        [
            [
                job["id"],
                job["status"],
                job["priority"],
                len(job["tasks"]),
                *(f"{job['counts'][name]:,}" for name in ("total", "completed", "failed")),
            ]
            for job in jobs
        ],
    )
    screen.result(jobs)


@app.command()
def show(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """One job."""
    with Door(url, key) as door:
        _show(door.get(_path(job)), Screen(as_json=as_json))


@app.command()
def cancel(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Stop a job; what is finished stays."""
    with Door(url, key) as door:
        _show(door.post(_path(job, "cancel")), Screen(as_json=as_json))


@app.command()
def wait(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Watch a job until it has ended."""
    screen = Screen(as_json=as_json)
    with Door(url, key) as door:
        _show(follow(door, job, screen), screen)


@app.command()
def delete(job: JobId, url: Url = LOCAL, key: Key = None, as_json: Json = False) -> None:
    """Remove a job that has ended, with its results."""
    screen = Screen(as_json=as_json)
    with Door(url, key) as door:
        door.delete(_path(job))
    screen.say(f"{job}: deleted")
    screen.result({"id": job, "deleted": True})


@app.command()
def errors(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write, one JSON object a line.")],
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Download the rows that could not be classified."""
    with Door(url, key) as door:
        size = door.download(_path(job, "errors"), out)
    _downloaded(out, size, Screen(as_json=as_json))


@app.command()
def results(
    job: JobId,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .parquet, .jsonl or .csv.")],
    url: Url = LOCAL,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Download a job's results."""
    form = out.suffix.removeprefix(".")
    if form not in ("parquet", "jsonl", "csv"):
        raise InputError(f"{out}: the name must end in .parquet, .jsonl or .csv")
    with Door(url, key) as door:
        size = door.download(_path(job, "results"), out, format=form)
    _downloaded(out, size, Screen(as_json=as_json))


def _path(job: str, part: str = "") -> str:
    # Whatever was typed stays one piece of the path.
    return f"/v1/jobs/{quote(job, safe='')}" + (f"/{part}" if part else "")


def _places(inputs: Sequence[str]) -> list[str]:
    """Paths as the service is to see them; addresses and ids of uploaded files stay as they are."""
    return [
        path if "://" in path or path.startswith("file-") else str(Path(path).absolute()) for path in inputs
    ]


def _downloaded(out: Path, size: int, screen: Screen) -> None:
    screen.say(f"{out}: {size:,} bytes")
    screen.result({"out": str(out), "bytes": size})


def follow(door: Door, job: str, screen: Screen) -> Any:
    """Poll a job until it has ended, showing its progress; the job as it ended."""
    with screen.progress():
        pause = 0.05
        while True:
            found = door.get(_path(job))
            counts = found["counts"]
            if counts["total"]:
                screen.advance("rows", counts["completed"] + counts["failed"], counts["total"])
            if found["status"] in DONE:
                return found
            time.sleep(pause)
            pause = min(1.0, pause * 1.3)


def _show(job: Any, screen: Screen) -> None:
    counts = job["counts"]
    screen.say(f"{job['id']}: {job['status']}" + (f": {job['error']}" if job["error"] else ""))
    screen.say(f"rows: {counts['total']:,}; done {counts['completed']:,}, failed {counts['failed']:,}")
    screen.result(job)
